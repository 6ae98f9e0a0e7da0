"""The traffic that the monitors look at: one bundle behind one endpoint, from start to end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tuneloop.answer_form import corrects
from tuneloop.storage.traffic import Traffic

if TYPE_CHECKING:
    import polars as pl

PROBE_TAG = "probe"
"""Requests tagged so are ours: smoke tests, golden sets. They say nothing about production."""

_COLUMNS = (
    "id",
    "time",
    "status",
    "error",
    "messages",
    "response",
    "tool_calls",
    "latency_ms",
    "tags",
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Interactions with `start` <= time < `end`, in order of their ids."""

    start: datetime
    end: datetime
    interactions: pl.DataFrame
    """The columns of the table that monitors use, and `edited`: whether a person changed the
    answer, as far as feedback until `end` tells."""

    @property
    def answers(self) -> pl.DataFrame:
        """The interactions whose client got a whole answer."""
        import polars as pl

        return self.interactions.filter(pl.col("status") == 200, pl.col("error").is_null())


def read_window(
    traffic: Traffic, *, endpoint: str, bundle: str, start: datetime, end: datetime
) -> Window:
    """Read a window from the traffic tables.

    Raises:
        StoreError: the tables cannot be read.
    """
    import polars as pl

    rows = (
        traffic.scan("interactions", since=start, until=end)
        .filter(pl.col("endpoint") == endpoint, pl.col("bundle") == bundle)
        # Embeddings are no answers; what an earlier version captured was all chat.
        .filter(pl.col("operation").fill_null("chat") == "chat")
        .select(_COLUMNS)
        .sort("id")
        .collect()
    )
    rows = rows.filter(pl.Series([not _is_probe(tags) for tags in rows["tags"]], dtype=pl.Boolean))
    edits = (
        traffic.scan("feedback", since=start, until=end)
        .filter(pl.col("kind") == "edit")
        .sort("time", "id")
        .group_by("interaction")
        .agg(pl.col("value").last())
        .collect()
    )
    return Window(start=start, end=end, interactions=_with_edits(rows, edits))


def _with_edits(rows: pl.DataFrame, edits: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    latest = dict(zip(edits["interaction"], edits["value"], strict=True))
    edited = [
        identity in latest and corrects(latest[identity], response or "")
        for identity, response in zip(rows["id"], rows["response"], strict=True)
    ]
    return rows.with_columns(pl.Series("edited", edited, dtype=pl.Boolean))


def _is_probe(tags_json: str | None) -> bool:
    if not tags_json or PROBE_TAG not in tags_json:
        return False
    tags = json.loads(tags_json)
    return isinstance(tags, dict) and PROBE_TAG in tags
