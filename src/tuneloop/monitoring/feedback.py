"""What people and judges said about a window's answers, in memory that does not grow with it.

Feedback arrives later than its interaction and in another table. Joining the two whole would hold
one of them in memory, so at most `MOST` interactions with feedback are kept: those whose id hashes
below a threshold that is halved as often as it takes (adaptive sampling: Flajolet 1990, "On
adaptive sampling", Computing 43). The same threshold picks the interactions that they are counted
among, so a share is that of an unbiased sample; windows with less feedback are counted whole.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tuneloop.monitoring.window import BATCH_ROWS, Window
from tuneloop.storage import captured, tables
from tuneloop.storage.traffic import Traffic
from tuneloop.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

MOST = 20_000
"""Interactions whose feedback is kept; their share is known to 0.7 points or better."""
SAMPLE = "sample"
"""The kind of the review items of weekly samples, see `online_evaluation.sampling`."""
_HASHES = 2**64


@dataclass(frozen=True, kw_only=True)
class FeedbackSample:
    """The last feedback of each kind on the interactions whose id hashes below a threshold."""

    rows: pl.DataFrame
    """interaction, kind, value (JSON)."""
    share: float = 1.0
    """Of all interactions, how many the sample speaks for: 2 to the minus k."""

    def sampled(self, answers: pl.DataFrame) -> pl.DataFrame:
        """Those of some answers that the sample speaks for."""
        return answers if self.share == 1 else answers.filter(_hash("id") < _below(self.share))

    def on(self, answers: pl.DataFrame) -> pl.DataFrame:
        """Feedback on some answers: id, response, kind, value."""
        return answers.select("id", "response").join(
            self.rows, left_on="id", right_on="interaction"
        )


def sample_feedback(
    traffic: Traffic, window: Window, kinds: Collection[str], *, most: int = MOST
) -> FeedbackSample:
    """The feedback of these kinds on the window's answers, the last of each kind counting.

    Up to the window's end, and for as long as it waited after that.

    Raises:
        StoreError: the table cannot be read.
    """
    import polars as pl

    said = captured.feedback(traffic, *kinds, since=window.start, until=window.said_until)
    frame = _of_endpoint(said, window).select("interaction", "kind", "value", "time", "id")
    share = 1.0
    kept = pl.DataFrame(schema=frame.collect_schema())
    for batch in frame.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False):
        kept = captured.last_said(pl.concat([kept, batch]).lazy()).collect()
        while True:
            kept = kept.filter(_hash("interaction") < _below(share)) if share < 1 else kept
            if kept["interaction"].n_unique() <= most:
                break
            share /= 2
    return FeedbackSample(rows=kept.select("interaction", "kind", "value"), share=share)


def sample_weights(workspace: Workspace, model: str) -> dict[str, float]:
    """Interaction → answers of its slice that it stands for, of a model's weekly samples.

    An answer that was drawn in two weeks, which a repaired clock can bring about, has the last.
    """
    table = tables.review_items
    query = sa.select(table.c.interaction, table.c.detail).where(
        table.c.model == model, table.c.kind == SAMPLE, table.c.interaction.is_not(None)
    )
    with workspace.records.begin() as tx:
        rows = tx.execute(query).all()
    return {row.interaction: float(row.detail.get("weight", 1.0)) for row in rows}


def any_feedback(traffic: Traffic, window: Window, kinds: Collection[str]) -> bool:
    """Whether the window's endpoint had any feedback of these kinds before the window's end.

    Raises:
        StoreError: the table cannot be read.
    """
    said = _of_endpoint(captured.feedback(traffic, *kinds, until=window.end), window)
    return not said.head(1).collect().is_empty()


def _of_endpoint(feedback: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    import polars as pl

    return feedback.filter(pl.col("endpoint").fill_null(window.endpoint) == window.endpoint)


def _hash(column: str) -> pl.Expr:
    import polars as pl

    return pl.col(column).hash()


def _below(share: float) -> pl.Expr:
    import polars as pl

    return pl.lit(int(share * _HASHES), dtype=pl.UInt64)
