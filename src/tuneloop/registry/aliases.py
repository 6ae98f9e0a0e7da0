"""Which bundle is production, previous and candidate: moved by compare-and-set, with history.

This is the one place that says what is in production; an endpoint sends clients where these point.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop.errors import ConflictError
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

AliasName = Literal["production", "previous", "candidate"]


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A name that points at a bundle."""

    name: str
    bundle: str
    revision: int
    """Grows with every move."""
    moved_at: datetime
    """Drills left out: they end where they began."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One line of the history: who moved a name, when and why."""

    name: str
    from_bundle: str | None
    to_bundle: str | None
    actor: str
    reason: str
    drill: bool
    """A rehearsal of a rollback; its moves cancel each other out."""
    at: datetime


def current(workspace: Workspace, model: str) -> dict[str, Alias]:
    """Alias name → alias of one model."""
    with workspace.records.begin() as tx:
        return read(tx, model)


def in_production(workspace: Workspace, model: str) -> Alias | None:
    """What is in production of a model, and since when."""
    return current(workspace, model).get("production")


def read(tx: sa.Connection, model: str) -> dict[str, Alias]:
    """`current` inside a transaction."""
    rows = tx.execute(sa.select(tables.aliases).where(tables.aliases.c.model == model))
    return {row.name: record_of(Alias, row) for row in rows}


def move(
    tx: sa.Connection,
    *,
    model: str,
    name: AliasName,
    bundle: str | None,
    expected: Alias | None,
    actor: str,
    reason: str,
    drill: bool = False,
    now: datetime,
) -> None:
    """Point a name at a bundle (None: at nothing) if it is still where `expected` saw it.

    A `drill` leaves the time of the last real move as it is.

    Raises:
        ConflictError: somebody moved it in between; nothing changed.
    """
    table = tables.aliases
    here = (table.c.model == model) & (table.c.name == name)
    if expected is not None:
        seen = here & (table.c.revision == expected.revision)
        change: Any = (
            sa.delete(table).where(seen)
            if bundle is None
            else sa.update(table)
            .where(seen)
            .values(
                bundle=bundle,
                revision=expected.revision + 1,
                moved_at=expected.moved_at if drill else now,
            )
        )
        moved = tx.execute(change).rowcount == 1
    elif bundle is None:
        return
    else:
        taken = tx.execute(sa.select(table.c.revision).where(here)).first()
        moved = taken is None
        if moved:
            tx.execute(
                sa.insert(table).values(
                    model=model, name=name, bundle=bundle, revision=1, moved_at=now
                )
            )
    if not moved:
        raise ConflictError(
            f"The alias '{name}' of {model} was moved by somebody else meanwhile.",
            remedy="Look with `tuneloop status` and decide again.",
        )
    tx.execute(
        sa.insert(tables.alias_events).values(
            model=model,
            name=name,
            from_bundle=expected.bundle if expected else None,
            to_bundle=bundle,
            actor=actor,
            reason=reason,
            drill=drill,
            at=now,
        )
    )


def history(workspace: Workspace, model: str) -> list[Move]:
    """Every move of a model's names, the newest first."""
    table = tables.alias_events
    query = sa.select(table).where(table.c.model == model).order_by(table.c.id.desc())
    with workspace.records.begin() as tx:
        return [record_of(Move, row) for row in tx.execute(query)]
