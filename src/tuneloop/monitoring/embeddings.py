"""The embeddings of captured prompts, stored so that each prompt is embedded once.

What is missing is found by counting: interactions and stored vectors have the same times, so only
hours whose counts differ are compared id by id. A run that is killed left whole commits behind, and
the next one goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop.embedders import Embedder
from tuneloop.monitoring.window import Window
from tuneloop.progress import Progress
from tuneloop.storage.messages import prompt_of
from tuneloop.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

COMMIT_ROWS = 8_192
"""Prompts that are embedded and stored together; a kill loses no more of the work."""
_HOUR = timedelta(hours=1)


def embed_missing(
    workspace: Workspace, window: Window, embedder: Embedder, *, progress: Progress
) -> int:
    """Embed the window's prompts that have no stored vector of this embedder; how many.

    Raises:
        BusyError: another process is at it.
        StoreError: the tables cannot be read or written.
        MissingExtraError: the embedder's package is not installed.
    """
    import polars as pl

    with workspace.exclusive("embeddings", doing="embed captured prompts"):
        missing = _missing_by_hour(workspace, window, embedder.name)
        total = sum(max(0, rows) for rows in missing.values())
        if total:
            progress.step(f"Embedding {total} prompts with {embedder.name}")
        done = 0
        for rows in _missing_rows(workspace, window, embedder.name, list(missing)):
            vectors = embedder.embed([prompt_of(messages) for messages in rows["messages"]])
            frame = rows.select(
                "id",
                "time",
                pl.lit(window.endpoint).alias("endpoint"),
                pl.lit(window.bundle).alias("bundle"),
                pl.lit(embedder.name).alias("embedder"),
            ).with_columns(vector=pl.Series(vectors).arr.to_list())
            workspace.traffic.append("embeddings", frame)
            done += rows.height
            progress.update(done, total)
        return done


def _missing_by_hour(workspace: Workspace, window: Window, embedder: str) -> dict[datetime, int]:
    """Hours in which interactions and vectors differ in number → how many have none."""
    import polars as pl

    def counted(frame: pl.LazyFrame) -> pl.LazyFrame:
        hour = pl.col("time").dt.truncate("1h").alias("hour")
        return frame.group_by(hour).agg(pl.len().cast(pl.Int64).alias("rows"))

    captured = counted(window.interactions(workspace.traffic))
    stored = counted(window.embeddings(workspace.traffic, embedder))
    missing = (
        captured.join(stored, on="hour", how="left", suffix="_stored")
        .select("hour", missing=pl.col("rows") - pl.col("rows_stored").fill_null(0))
        .filter(pl.col("missing") != 0)
        .sort("hour")
        .collect(engine="streaming")
    )
    return dict(missing.iter_rows())


def _missing_rows(
    workspace: Workspace, window: Window, embedder: str, hours: list[datetime]
) -> Iterator[pl.DataFrame]:
    """Interactions without a vector (id, time, messages), as many at a time as one commit takes."""
    import polars as pl

    waiting: list[pl.DataFrame] = []
    for hour in hours:
        within = pl.col("time").is_between(hour, hour + _HOUR, closed="left")
        stored = window.embeddings(workspace.traffic, embedder).filter(within).select("id")
        captured = window.interactions(workspace.traffic).filter(within)
        rows = captured.select("id", "time", "messages").join(stored, on="id", how="anti")
        for batch in rows.collect_batches(chunk_size=COMMIT_ROWS, maintain_order=False):
            waiting.append(batch)
            if sum(frame.height for frame in waiting) >= COMMIT_ROWS:
                yield pl.concat(waiting)
                waiting = []
    if rest := [frame for frame in waiting if frame.height]:
        yield pl.concat(rest)
