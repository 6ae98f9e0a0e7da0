"""Who changed what: an append-only record, written in the transaction of the change itself.

The events of a workspace are one chain: each keeps the digest of the one before it and its own, so
that a changed, removed or moved event is found (`audit_chain`). The database itself refuses to
change or remove one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tuneloop.hashing import digest_json
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

GENESIS = "0" * 64
"""Stands for the event before the first."""
_READ_ROWS = 1_000


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One change of state."""

    id: int
    """Grows with every event."""
    model: str
    """Empty: it concerns the whole workspace."""
    at: datetime
    actor: str
    action: str
    """For example `endpoint.move`."""
    detail: Mapping[str, Any]
    previous: str
    """Digest of the event before it."""
    digest: str
    """SHA-256 of the canonical JSON of everything but the id."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The end of the chain: whoever keeps its digest elsewhere can prove that nothing is gone."""

    event: int
    """Id of the last event; 0 before the first."""
    digest: str


def record(
    tx: sa.Connection,
    *,
    model: str,
    actor: str,
    action: str,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """Append one event to the transaction that makes the change.

    From here to its end the transaction holds the lock of the chain's head: call it last.
    """
    heads, events = tables.audit_head, tables.audit_events
    last = tx.execute(sa.select(heads.c.event, heads.c.digest).with_for_update()).one()
    event = AuditEvent(
        id=last.event + 1,
        model=model,
        at=now,
        actor=actor,
        action=action,
        # As it will be read: JSON has neither tuples nor numbers as keys nor not-a-number.
        detail=json.loads(json.dumps(dict(detail)), parse_constant=str),
        previous=last.digest,
        digest="",
    )
    digest = digest_of(event)
    tx.execute(sa.insert(events).values({**vars(event), "digest": digest}))
    tx.execute(sa.update(heads).values(event=event.id, digest=digest))


def digest_of(event: AuditEvent) -> str:
    """What the digest of an event has to be."""
    return digest_json(
        {
            "model": event.model,
            "actor": event.actor,
            "action": event.action,
            "detail": event.detail,
            "at": event.at.astimezone(UTC).isoformat(),
            "previous": event.previous,
        }
    )


def head(workspace: Workspace) -> Head:
    """The end of the chain as the store remembers it."""
    heads = tables.audit_head
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(heads.c.event, heads.c.digest)).one()
    return record_of(Head, row)


def listing(workspace: Workspace, model: str | None, *, limit: int = 100) -> list[AuditEvent]:
    """A model's events (None: all of the workspace), the newest first."""
    table = tables.audit_events
    query = sa.select(table).order_by(table.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(table.c.model == model)
    with workspace.records.begin() as tx:
        return [record_of(AuditEvent, row) for row in tx.execute(query)]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many events there are, by whom they concern."""

    model: int
    """A model's own."""
    workspace: int
    """Of the workspace as a whole: people, API keys, erasures."""
    others: int
    """Of other models."""


def count(workspace: Workspace, model: str) -> Counted:
    """How many events there are of a model, and beside them."""
    column = tables.audit_events.c.model
    query = sa.select(column, sa.func.count()).group_by(column)
    with workspace.records.begin() as tx:
        counts = {str(row[0]): int(row[1]) for row in tx.execute(query)}
    return Counted(
        model=counts.get(model, 0),
        workspace=counts.get("", 0),
        others=sum(number for name, number in counts.items() if name not in (model, "")),
    )


def after(tx: sa.Connection, model: str, event: int, *, limit: int) -> list[AuditEvent]:
    """A model's events after one with this id, the oldest first, inside a transaction."""
    table = tables.audit_events
    query = (
        sa.select(table)
        .where(table.c.model == model, table.c.id > event)
        .order_by(table.c.id)
        .limit(limit)
    )
    return [record_of(AuditEvent, row) for row in tx.execute(query)]


def every(workspace: Workspace) -> Iterator[AuditEvent]:
    """All events, the oldest first; nobody is kept from writing more of them meanwhile."""
    table, last = tables.audit_events, 0
    page = sa.select(table).order_by(table.c.id).limit(_READ_ROWS)
    while True:
        with workspace.records.begin() as tx:
            rows = tx.execute(page.where(table.c.id > last)).all()
        if not rows:
            return
        yield from (record_of(AuditEvent, row) for row in rows)
        last = rows[-1].id
