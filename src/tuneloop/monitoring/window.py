"""The traffic that the monitors look at, a batch at a time: one bundle behind one endpoint.

A window is never held in memory: it is a stream of batches, in no order that a monitor may rely
on. Where the vectors of the prompts are asked for, a batch is a slice of time, for an interaction
and its vector have the same time: joining the two tables whole would hold one of them in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from tuneloop.storage import captured
from tuneloop.storage.messages import prompt_of
from tuneloop.storage.traffic import Traffic

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

BATCH_ROWS = 32_768
"""About as many interactions are looked at together; 384-dimensional vectors of them take 50 MB."""

_MINUTE = timedelta(minutes=1)
_COLUMNS = (
    "id",
    "time",
    "status",
    "error",
    "messages",
    "response",
    "finish_reason",
    "tool_calls",
    "latency_ms",
    "prompt_tokens",
    "completion_tokens",
    "mean_logprob",
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """The interactions of a bundle behind an endpoint, `start` <= time < `end`, without probes."""

    endpoint: str
    bundle: str
    start: datetime
    end: datetime
    waited: timedelta = timedelta(0)
    """How long people had to speak of its last answer."""
    level: float = 0.025
    """With what chance, 0..0.5, a monitor that looks at it may alert for nothing; by default that
    of an end of the 95 % interval. See `false_alarms`."""

    @property
    def said_until(self) -> datetime:
        """What people said later than this does not count."""
        return self.end + self.waited

    def interactions(self, traffic: Traffic) -> pl.LazyFrame:
        """The columns that monitors use.

        Raises:
            StoreError: the table cannot be read.
        """
        return captured.chats(
            traffic,
            endpoint=self.endpoint,
            bundle=self.bundle,
            since=self.start,
            until=self.end,
        ).select(_COLUMNS)

    def embeddings(self, traffic: Traffic, embedder: str) -> pl.LazyFrame:
        """Stored vectors of the window's prompts: id, time, vector.

        Raises:
            StoreError: the table cannot be read.
        """
        import polars as pl

        return (
            traffic.scan("embeddings", since=self.start, until=self.end)
            .filter(pl.col("endpoint") == self.endpoint, pl.col("bundle") == self.bundle)
            .filter(pl.col("embedder") == embedder)
            .select("id", "time", "vector")
        )

    def batches(self, traffic: Traffic, *, embedder: str | None = None) -> Iterator[Batch]:
        """The interactions, with the stored vectors of this embedder if one is named.

        Raises:
            StoreError: the tables cannot be read.
        """
        interactions = self.interactions(traffic)
        if embedder is None:
            for rows in interactions.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False):
                yield Batch(rows)
            return
        vectors = self.embeddings(traffic, embedder).select("id", "time", "vector")
        for start, end in _slices(interactions):
            asked, stored = _between(interactions, start, end), _between(vectors, start, end)
            yield Batch(asked.join(stored.drop("time"), on="id", how="left").collect())


def _slices(interactions: pl.LazyFrame) -> Iterator[tuple[datetime, datetime]]:
    """Times between which there are about `BATCH_ROWS` interactions, in whole minutes."""
    import polars as pl

    minute = pl.col("time").dt.truncate("1m").alias("minute")
    counted = interactions.group_by(minute).agg(pl.len()).sort("minute").collect(engine="streaming")
    start, rows = None, 0
    for at, count in counted.iter_rows():
        start, rows = start or at, rows + count
        if rows >= BATCH_ROWS:
            yield start, at + _MINUTE
            start, rows = None, 0
    if start is not None:
        yield start, counted["minute"][-1] + _MINUTE


def _between(frame: pl.LazyFrame, start: datetime, end: datetime) -> pl.LazyFrame:
    import polars as pl

    return frame.filter(pl.col("time") >= start, pl.col("time") < end)


@dataclass(frozen=True)
class Batch:
    """Some of a window's interactions."""

    interactions: pl.DataFrame

    @cached_property
    def answers(self) -> pl.DataFrame:
        """The interactions whose client got a whole answer."""
        return self.interactions.filter(captured.whole())

    @cached_property
    def texts(self) -> pl.DataFrame:
        """Whole answers that are text, for a call of a tool has another form: id, response."""
        return self.answers.filter(captured.in_text()).select("id", captured.text())

    @cached_property
    def answered(self) -> pl.DataFrame:
        """The same with what was asked: id, time, messages, response."""
        text = self.answers.filter(captured.in_text())
        return text.select("id", "time", "messages", captured.text())

    @cached_property
    def answered_vectors(self) -> pl.DataFrame:
        """Those with words whose prompt has a vector: id, time, messages, response, vector."""
        import polars as pl

        vectors = self.embedded.select("id", "vector")
        words = self.answered.filter(pl.col("response").str.strip_chars() != "")
        return words.join(vectors, on="id", maintain_order="left")

    @cached_property
    def different_texts(self) -> pl.DataFrame:
        """Each text answer once: response, times, and the id of one interaction that got it.

        The answers of a narrow task repeat; what looks at their words need not look twice.
        """
        import polars as pl

        return self.texts.group_by("response").agg(pl.len().alias("times"), pl.col("id").first())

    @cached_property
    def embedded(self) -> pl.DataFrame:
        """The interactions whose prompt has a vector: none unless vectors were asked for."""
        import polars as pl

        if "vector" not in self.interactions.columns:
            return self.interactions.clear()
        return self.interactions.filter(pl.col("vector").is_not_null())

    @cached_property
    def prompts(self) -> list[str]:
        """The prompts of the `embedded`, in their order; empty where there is no text."""
        return [prompt_of(messages) for messages in self.embedded["messages"]]

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Vectors (n, d) of the `embedded`, in their order; length 1, or 0 without any text."""
        flat = self.embedded["vector"].explode().to_numpy()
        return flat.reshape(self.embedded.height, -1)
