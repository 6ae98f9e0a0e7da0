"""Removing what was captured of one person, conversation or request, so that its bytes are gone.

Rows go by their ids: a predicate would stay behind in the table's log and name the person.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tuneloop.errors import BusyError, require
from tuneloop.storage.ingest import ingest
from tuneloop.storage.spool.segments import OPEN_SUFFIX
from tuneloop.storage.traffic import Table, Traffic

if TYPE_CHECKING:
    import polars as pl

By = Literal["user", "conversation", "interaction"]
_COLUMN: Mapping[By, str] = {"user": "user", "conversation": "conversation", "interaction": "id"}
_SETTLE_SECONDS = 30.0
"""A living gateway seals what it writes within seconds."""
_POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Captured:
    """Ids of what the traffic tables hold of somebody."""

    interactions: tuple[str, ...]
    shadows: tuple[str, ...]
    feedback: tuple[str, ...]
    """On these interactions, or by this user on others."""
    embeddings: tuple[str, ...]
    """Of the interactions."""


def settle(spool_folder: Path, traffic: Traffic) -> None:
    """Move everything that the gateways have captured until now into the tables.

    Raises:
        BusyError: a gateway does not seal what it wrote, or another process moves the spool.
        StoreError: the tables cannot be written.
    """
    writing = list(spool_folder.glob(f"*{OPEN_SUFFIX}"))
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        still = [path for path in writing if path.exists()]
        ingest(spool_folder, traffic)
        if not still:
            return
        if time.monotonic() > deadline:
            raise BusyError(
                f"{still[0].name} in the spool is still being written after "
                f"{_SETTLE_SECONDS:g} seconds.",
                remedy="Is a gateway stuck? Restart it (tuneloop restart) and run this again.",
            )
        time.sleep(_POLL_SECONDS)


def find(traffic: Traffic, by: By, values: Collection[str]) -> Captured:
    """What the tables hold by a user, of a conversation, or of one interaction.

    `values` are the names that it goes by: one is enough to match.

    Raises:
        StoreError: the tables cannot be read.
    """
    require("polars", extra="traffic")
    import polars as pl

    named = pl.col(_COLUMN[by]).is_in(list(values))
    interactions = set(_ids(traffic.scan("interactions").filter(named)))
    if by == "interaction":
        interactions |= set(values)  # feedback may have come without it
    theirs = pl.col("interaction").is_in(sorted(interactions))
    return Captured(
        interactions=_ids(traffic.scan("interactions").filter(named)),
        shadows=_ids(
            traffic.scan("shadows").filter(theirs | named if by == "conversation" else theirs)
        ),
        feedback=_ids(traffic.scan("feedback").filter(theirs | named if by == "user" else theirs)),
        embeddings=_ids(
            traffic.scan("embeddings").filter(pl.col("id").is_in(sorted(interactions)))
        ),
    )


def remove(traffic: Traffic, table: Table, ids: Collection[str]) -> None:
    """Delete rows and give their bytes back.

    Raises:
        StoreError: the store is full or unreachable; run it again.
    """
    traffic.delete(table, sorted(ids))
    traffic.free(table)


def _ids(rows: pl.LazyFrame) -> tuple[str, ...]:
    return tuple(sorted(rows.select("id").unique().collect()["id"].to_list()))
