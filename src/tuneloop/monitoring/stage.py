"""Stage 5: move the captured traffic into its tables, measure a window, move the alerts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.errors import TuneloopError
from tuneloop.hashing import canonical_json, digest_json, short
from tuneloop.modelfile import ModelFile
from tuneloop.monitoring import alerts, monitors
from tuneloop.monitoring.embedders import Embedder, StaticEmbedder
from tuneloop.monitoring.measurement import Limit, Measurement, not_measured
from tuneloop.monitoring.monitors import LatencyBaseline
from tuneloop.monitoring.novelty import REFERENCE_VERSION, NoveltyReference, novelty_reference
from tuneloop.monitoring.window import Window, read_window
from tuneloop.progress import Progress
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.ingest import ingest
from tuneloop.storage.messages import last_user_text
from tuneloop.storage.spool import new_id
from tuneloop.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

SPOOL_FOLDER = "spool"


def run_monitors(
    workspace: Workspace,
    *,
    model_file: ModelFile,
    bundle: Bundle,
    endpoint: str,
    until: datetime | None = None,
    embedder: Embedder | None = None,
    progress: Progress,
) -> list[Measurement]:
    """Measure one bundle's traffic of the last window before `until` (default: now).

    Measurements are stored; alerts of the model open, repeat and resolve.

    Raises:
        StoreError: a store fails.
        BusyError: another process has been moving the captured traffic for a minute.
        ConflictError: somebody else moved an alert at the same moment; run it again.
    """
    now = workspace.now()
    end = until or now
    settings = model_file.settings.monitors
    collect_traffic(workspace, progress=progress)
    progress.step(f"Measuring {settings.window_days:g} days of {endpoint} on {bundle.short}")
    window = read_window(
        workspace.traffic,
        endpoint=endpoint,
        bundle=bundle.id,
        start=end - timedelta(days=settings.window_days),
        end=end,
    )
    found = [
        monitors.format_compliance(window, settings, task=bundle.manifest["task"]),
        monitors.latency_p95(
            window, settings, baseline=latency_baseline(workspace, bundle, endpoint, before=end)
        ),
        monitors.edit_rate(window, settings),
        _novelty(workspace, window, model_file, bundle, embedder or StaticEmbedder()),
        monitors.errors(window, settings),
    ]
    _store(workspace, found, bundle=bundle, endpoint=endpoint, now=now)
    # A kill before this leaves measurements without their alerts; the next run makes up for it,
    # since alerts follow from the state of the monitor, not from its changes.
    changes = alerts.apply(workspace, model=bundle.model, measurements=found, now=now)
    for measurement, change in zip(found, changes, strict=True):
        note = f"{measurement.monitor}: {measurement.message}"
        progress.note(note if change is None else f"{note} (alert {change})")
    return found


def collect_traffic(workspace: Workspace, *, progress: Progress) -> None:
    """Move what the gateway captured into the traffic tables.

    Raises:
        StoreError: the tables cannot be written; nothing is lost.
        BusyError: another process has been at it for a minute.
    """
    progress.step("Moving captured traffic into its tables")
    report = ingest(workspace.folder(SPOOL_FOLDER), workspace.traffic)
    progress.note(f"{report.interactions} interactions and {report.feedback} feedback records new")
    if report.torn:
        progress.note(f"{report.torn} lines of the capture were torn or unreadable and are lost")


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


def latency_baseline(
    workspace: Workspace, bundle: Bundle, endpoint: str, *, before: datetime
) -> LatencyBaseline | None:
    """What the bundle's evaluation measured, else its first window with enough data; or None."""
    import polars as pl

    evaluated = bundle.manifest["evaluation"].get("latency_p95_ms")
    if evaluated is not None:
        return LatencyBaseline(p95_ms=float(evaluated), source="its evaluation")
    first = _measurements(
        workspace.traffic.scan("measurements")
        .filter(
            pl.col("bundle") == bundle.id,
            pl.col("endpoint") == endpoint,
            pl.col("monitor") == "latency_p95",
            pl.col("verdict").is_in(["ok", "alert"]),
            pl.col("window_end") < before,
        )
        .sort("window_end", "id")
        .head(1)
    )
    if not first or first[0].value is None:
        return None
    source = f"its first window with enough data, until {first[0].window_end:%Y-%m-%d %H:%M}"
    return LatencyBaseline(p95_ms=first[0].value, source=source)


def reference_of(workspace: Workspace, dataset: str, embedder: Embedder) -> NoveltyReference:
    """The novelty reference of a dataset artifact; computed once and kept in the cache.

    Raises:
        StoreError: the dataset is not in the artifact store, or the embedder's weights are missing.
        CorruptArtifactError: its bytes have changed.
        MissingExtraError: the embedder's package is not installed.
        DataError: it has too few training rows.
    """
    name = f"{dataset}-{short(digest_json([embedder.name, REFERENCE_VERSION]))}"
    folder = workspace.folder("cache/novelty") / name
    known = NoveltyReference.load(folder)
    if known is not None:
        return known
    rows = workspace.artifacts.get(dataset)
    reference = novelty_reference(
        _prompts(rows / "train.jsonl"), _prompts(rows / "eval.jsonl"), embedder
    )
    reference.save(folder)
    return reference


def _novelty(
    workspace: Workspace, window: Window, model_file: ModelFile, bundle: Bundle, embedder: Embedder
) -> Measurement:
    try:
        reference = reference_of(workspace, bundle.manifest["dataset"]["digest"], embedder)
        return monitors.novelty(
            window, model_file.settings.monitors, reference=reference, embedder=embedder
        )
    except TuneloopError as e:
        # A missing package or dataset must not silence the other monitors.
        return not_measured("novelty", window, str(e).replace("\n", " "))


def _store(
    workspace: Workspace,
    found: list[Measurement],
    *,
    bundle: Bundle,
    endpoint: str,
    now: datetime,
) -> None:
    time_ns = int(now.timestamp() * 1_000_000) * 1_000
    workspace.traffic.append(
        "measurements",
        [
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
            for measurement in found
        ],
    )


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
    )


def _prompts(path: Path) -> list[str]:
    """The last user turn of each row of a dataset file; no file, no rows."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        texts = [last_user_text(json.loads(line)["messages"]) for line in lines if line.strip()]
    return [text for text in texts if text.strip()]
