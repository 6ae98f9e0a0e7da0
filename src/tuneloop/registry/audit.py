"""Who changed what: an append-only record, written in the transaction of the change itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tuneloop.storage import tables
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One change of state."""

    at: datetime
    actor: str
    action: str
    """For example `endpoint.move`."""
    detail: Mapping[str, Any]


def record(
    tx: sa.Connection,
    *,
    model: str,
    actor: str,
    action: str,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """Append one event to the transaction that makes the change."""
    tx.execute(
        sa.insert(tables.audit_events).values(
            model=model, actor=actor, action=action, detail=dict(detail), at=now
        )
    )


def listing(workspace: Workspace, model: str, *, limit: int = 100) -> list[AuditEvent]:
    """A model's events, the newest first."""
    table = tables.audit_events
    query = sa.select(table).where(table.c.model == model).order_by(table.c.id.desc()).limit(limit)
    with workspace.records.begin() as tx:
        return [
            AuditEvent(at=row.at, actor=row.actor, action=row.action, detail=row.detail)
            for row in tx.execute(query)
        ]
