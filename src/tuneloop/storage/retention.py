"""Removing captured traffic that is too old, so that its bytes are gone.

Feedback goes first and interactions last: a run that is killed leaves interactions that the next
run finds again. Feedback on what was never captured goes when it is itself too old. Measurements
stay, and so do review items and datasets, which people decided about.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.errors import require
from tuneloop.storage.ingest import ingest, moving
from tuneloop.storage.traffic import Table, Traffic

if TYPE_CHECKING:
    import polars as pl

_TABLES: tuple[Table, ...] = ("feedback", "shadows", "embeddings", "interactions")


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What one run removed, or would remove."""

    before: datetime
    """What was captured earlier goes."""
    interactions: int
    shadows: int
    feedback: int
    bytes_before: int
    """Of these tables and the embeddings of their prompts, on the disk."""
    bytes_after: int
    dry_run: bool

    @property
    def rows(self) -> int:
        """All rows that went."""
        return self.interactions + self.shadows + self.feedback


def prune(
    spool_folder: Path,
    traffic: Traffic,
    *,
    bundles: Collection[str],
    before: datetime,
    dry_run: bool = False,
) -> Pruned:
    """Remove the interactions, shadows and feedback of these bundles that are older than `before`.

    With an interaction goes the stored embedding of its prompt.

    What a reader opened before may be gone when it comes to read it: it has to start again.

    Raises:
        BusyError: another process has been moving captured traffic for a minute.
        StoreError: the tables cannot be read or written; run it again.
    """
    require("polars", extra="traffic")
    import polars as pl

    ingest(spool_folder, traffic)
    with moving(spool_folder):
        bytes_before = _size_bytes(traffic)
        feedback = _old_feedback(traffic, bundles, before)
        counts: dict[Table, int] = {
            table: int(_old(traffic, table, bundles, before).select(pl.len()).collect().item())
            for table in _TABLES
            if table != "feedback"
        }
        if not dry_run:
            traffic.delete("feedback", feedback)
            for table, old in counts.items():
                if old:
                    traffic.delete_where(table, _predicate(bundles, before))
            for table in _TABLES:
                traffic.free(table)
        return Pruned(
            before=before,
            interactions=counts["interactions"],
            shadows=counts["shadows"],
            feedback=len(feedback),
            bytes_before=bytes_before,
            bytes_after=_size_bytes(traffic),
            dry_run=dry_run,
        )


def _old(
    traffic: Traffic, table: Table, bundles: Collection[str], before: datetime
) -> pl.LazyFrame:
    import polars as pl

    return traffic.scan(table, until=before).filter(pl.col("bundle").is_in(list(bundles)))


def _old_feedback(traffic: Traffic, bundles: Collection[str], before: datetime) -> list[str]:
    """Ids of the feedback on old interactions, and of old feedback on none."""
    import polars as pl

    feedback, old = traffic.scan("feedback"), _old(traffic, "interactions", bundles, before)
    on_old = feedback.join(old, left_on="interaction", right_on="id", how="semi")
    on_none = feedback.filter(pl.col("time") < before).join(
        traffic.scan("interactions"), left_on="interaction", right_on="id", how="anti"
    )
    ids = pl.concat([on_old.select("id"), on_none.select("id")])
    return ids.unique().collect()["id"].to_list()


def _predicate(bundles: Collection[str], before: datetime) -> str:
    """The same in Delta's SQL. Bundle ids are hex digits: nothing in them can end the quotes."""
    named = ", ".join(f"'{bundle}'" for bundle in bundles)
    return f"time < '{before.astimezone(UTC).isoformat()}' AND bundle IN ({named})"


def _size_bytes(traffic: Traffic) -> int:
    return sum(traffic.size_bytes(table) for table in _TABLES)
