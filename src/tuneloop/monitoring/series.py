"""The stored measurements: of each monitor a series, which baselines are read from too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tuneloop.hashing import canonical_json
from tuneloop.monitoring.measurement import Limit, Measurement
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.spool import new_id
from tuneloop.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

_DAY = timedelta(days=1)


def store(
    workspace: Workspace,
    measurements: Sequence[Measurement],
    *,
    bundle: Bundle,
    endpoint: str,
    now: datetime,
) -> None:
    """Append measurements of a bundle behind an endpoint.

    Raises:
        StoreError: the table cannot be written.
    """
    time_ns = int(now.timestamp() * 1_000_000) * 1_000
    rows = [
        {
            "id": new_id(time_ns),
            "time": now,
            "model": bundle.model,
            "endpoint": endpoint,
            "bundle": bundle.id,
            "monitor": measurement.monitor,
            "value": measurement.value,
            "low": measurement.low,
            "high": measurement.high,
            "n": measurement.n,
            "verdict": measurement.verdict,
            "window_start": measurement.window_start,
            "window_end": measurement.window_end,
            "detail": canonical_json(
                {
                    "message": measurement.message,
                    "limit": measurement.limit and dataclasses.asdict(measurement.limit),
                    "seen": measurement.detail,
                }
            ),
        }
        for measurement in measurements
    ]
    workspace.traffic.append("measurements", rows)


def history(
    workspace: Workspace,
    *,
    model: str,
    monitor: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Measurement]:
    """Stored measurements of a model, the newest first; `since` is when they were taken.

    Raises:
        StoreError: the table cannot be read.
    """
    import polars as pl

    frame = workspace.traffic.scan("measurements", since=since).filter(pl.col("model") == model)
    if monitor is not None:
        frame = frame.filter(pl.col("monitor") == monitor)
    frame = frame.sort("id", descending=True)
    return _measurements(frame if limit is None else frame.head(limit))


def newest(
    workspace: Workspace, *, model: str, bundle: str | None = None, since: datetime | None = None
) -> dict[str, Measurement]:
    """The last measurement of each monitor of a model, or of one of its bundles; `since` is when
    they were taken.

    Raises:
        StoreError: the table cannot be read.
    """
    import polars as pl

    frame = workspace.traffic.scan("measurements", since=since).filter(pl.col("model") == model)
    if bundle is not None:
        frame = frame.filter(pl.col("bundle") == bundle)
    last = frame.sort("id").group_by("monitor").last()
    return {measurement.monitor: measurement for measurement in _measurements(last)}


def news(
    workspace: Workspace, measurements: Sequence[Measurement], *, model: str
) -> list[Measurement]:
    """Those of another verdict than the last stored one of their monitor, or a day after it: what
    looks every hour would bury all else in the history.

    Raises:
        StoreError: the table cannot be read.
    """
    last = newest(workspace, model=model)
    return [
        measurement
        for measurement in measurements
        if (before := last.get(measurement.monitor)) is None
        or before.verdict != measurement.verdict
        or measurement.time - before.time >= _DAY
    ]


def judged_before(
    workspace: Workspace,
    *,
    monitor: str,
    bundle: Bundle,
    endpoint: str,
    before: datetime,
    matching: Mapping[str, object],
) -> list[Measurement]:
    """Windows with a value and a verdict that end earlier, the oldest first.

    `matching` values are in their detail.

    Raises:
        StoreError: the table cannot be read.
    """
    import polars as pl

    judged = _measurements(
        workspace.traffic.scan("measurements")
        .filter(
            pl.col("bundle") == bundle.id,
            pl.col("endpoint") == endpoint,
            pl.col("monitor") == monitor,
            pl.col("verdict").is_in(["ok", "alert"]),
            pl.col("window_end") < before,
            pl.col("value").is_not_null() & pl.col("low").is_not_null(),
            pl.col("high").is_not_null(),
        )
        .sort("window_end", "id")
    )
    return [one for one in judged if matching.items() <= one.detail.items()]


def _measurements(frame: pl.LazyFrame) -> list[Measurement]:
    return [_measurement(row) for row in frame.collect().iter_rows(named=True)]


def _measurement(row: Mapping[str, Any]) -> Measurement:
    told = json.loads(row["detail"])
    return Measurement(
        monitor=row["monitor"],
        window_start=row["window_start"],
        window_end=row["window_end"],
        value=row["value"],
        low=row["low"],
        high=row["high"],
        n=row["n"],
        verdict=row["verdict"],
        message=told["message"],
        limit=Limit(**told["limit"]) if told["limit"] else None,
        detail=told["seen"],
        bundle=row["bundle"],
    )
