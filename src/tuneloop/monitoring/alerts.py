"""Alerts: opened when a monitor crosses its limit, resolved when it is clearly back.

    (none) ──alert──► open ──acknowledge──► acknowledged
                       │ ▲ alert: seen + 1        │ alert: seen + 1
                       └──────────── cleared ─────┴──► resolved ──alert──► as it was before

A model has at most one alert of a monitor that is not resolved. Too little data, a value that is
back by a hair, and a monitor that could not run change nothing. A crossing soon after an alert was
resolved is that alert again: noise around a limit makes one alert and not many.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop.errors import ConflictError, UsageError
from tuneloop.hashing import digest_json
from tuneloop.monitoring.examples import quotable
from tuneloop.monitoring.measurement import Measurement
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

AlertStatus = Literal["open", "acknowledged", "resolved"]
Change = Literal["opened", "repeated", "resolved", "reopened"]
MONITORING = "monitoring"
"""The actor of what monitors do on their own."""
SAME_ALERT_WITHIN = timedelta(hours=72)
"""A crossing so soon after an alert was resolved reopens it; its end is final after that."""
_ID_DIGITS = 12
_RETRIES = 10
_UNRESOLVED = ("open", "acknowledged")


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One threshold crossing with its life cycle."""

    id: str
    model: str
    monitor: str
    status: AlertStatus
    message: str
    """What the monitor said when it last crossed."""
    seen: int
    """Measurements that crossed the limit, the first one included."""
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class AlertEvent:
    """One step in an alert's life."""

    event: str
    """opened, repeated, acknowledged, resolved or reopened."""
    actor: str
    message: str
    bundle: str | None
    """Id of the bundle that was measured, if it was one."""
    examples: tuple[str, ...]
    """A few short texts that the monitor saw."""
    at: datetime


def change(
    measurement: Measurement, *, unresolved: bool, just_resolved: bool = False
) -> Change | None:
    """What a measurement does to the monitor's alert, if there is one or was one just now."""
    if measurement.verdict == "alert":
        if unresolved:
            return "repeated"
        return "reopened" if just_resolved else "opened"
    if unresolved and measurement.cleared:
        return "resolved"
    return None


def apply(
    workspace: Workspace,
    *,
    model: str,
    measurements: Sequence[Measurement],
    now: datetime,
    bundle: str | None = None,
) -> list[Change | None]:
    """Move the alerts of a model by its newest measurements, all or none of them.

    `bundle` is the id of the one that was measured, if it was one. Every crossing counts: when
    somebody else moves one of them at the same moment, what that left is looked at again. The event
    that is written with each move is what `notifications` makes messages of.

    Raises:
        ConflictError: that happened again and again; nothing changed.
    """
    for _ in range(_RETRIES):
        with suppress(ConflictError):
            return _apply_all(workspace, model, measurements, now, bundle)
    return _apply_all(workspace, model, measurements, now, bundle)


def acknowledge(workspace: Workspace, alert: str, *, actor: str, comment: str = "") -> Alert:
    """Note that somebody takes care of an alert; acknowledging it again changes nothing.

    Raises:
        UsageError: there is no such alert, or it is resolved.
        ConflictError: it was moved at the same moment.
    """
    with workspace.records.begin() as tx:
        current = _find(tx, alert)
        if current.status == "resolved":
            raise UsageError(
                f"Alert {alert} is resolved already.",
                remedy="See the open ones with: tuneloop alert list",
            )
        if current.status == "open":
            _move(tx, current, status="acknowledged")
            _record(tx, current.id, "acknowledged", actor, comment, workspace.now())
        return _find(tx, alert)


def listing(workspace: Workspace, model: str, *, unresolved_only: bool = True) -> list[Alert]:
    """The alerts of a model, the newest first."""
    table = tables.alerts
    query = (
        sa.select(table)
        .where(table.c.model == model)
        .order_by(table.c.opened_at.desc(), table.c.monitor)
    )
    if unresolved_only:
        query = query.where(table.c.status.in_(_UNRESOLVED))
    with workspace.records.begin() as tx:
        return [record_of(Alert, row) for row in tx.execute(query)]


def events(workspace: Workspace, alert: str) -> list[AlertEvent]:
    """The life of an alert, the oldest step first."""
    table = tables.alert_events
    query = sa.select(table).where(table.c.alert == alert).order_by(table.c.id)
    with workspace.records.begin() as tx:
        return [record_of(AlertEvent, row) for row in tx.execute(query)]


def find(workspace: Workspace, alert: str) -> Alert:
    """An alert by its id.

    Raises:
        UsageError: there is no such alert.
    """
    with workspace.records.begin() as tx:
        return _find(tx, alert)


def _apply_all(
    workspace: Workspace,
    model: str,
    measurements: Sequence[Measurement],
    now: datetime,
    bundle: str | None,
) -> list[Change | None]:
    with workspace.records.begin() as tx:
        return [_apply(tx, model, m, now, bundle) for m in measurements]


def _apply(
    tx: sa.Connection, model: str, measurement: Measurement, now: datetime, bundle: str | None
) -> Change | None:
    newest = _newest(tx, model, measurement.monitor)
    unresolved = newest is not None and newest.status != "resolved"
    just_resolved = (
        newest is not None
        and newest.resolved_at is not None
        and now - newest.resolved_at < SAME_ALERT_WITHIN
    )
    step = change(measurement, unresolved=unresolved, just_resolved=just_resolved)
    if step is None:
        return None
    if newest is None or step == "opened":
        identity = _open(tx, model=model, measurement=measurement, now=now)
    else:
        identity = newest.id
        _move(tx, newest, **_moved(tx, newest, step, measurement, now))
    examples = [] if step == "resolved" else quotable(measurement.detail)
    _record(tx, identity, step, MONITORING, measurement.message, now, bundle, examples)
    return step


def _moved(
    tx: sa.Connection, alert: Alert, step: Change, measurement: Measurement, now: datetime
) -> dict[str, Any]:
    """The columns that a step changes."""
    if step == "resolved":
        return {"status": "resolved", "resolved_at": now}
    seen = {"message": measurement.message, "seen": alert.seen + 1, "last_seen_at": now}
    if step == "repeated":
        return seen
    # It has hardly ended: whoever looked after it still does.
    status = "acknowledged" if _was_acknowledged(tx, alert.id) else "open"
    return {**seen, "status": status, "resolved_at": None}


def _open(tx: sa.Connection, *, model: str, measurement: Measurement, now: datetime) -> str:
    table = tables.alerts
    before = tx.execute(
        sa.select(sa.func.count())
        .select_from(table)
        .where(table.c.model == model, table.c.monitor == measurement.monitor)
    ).scalar_one()
    # Two processes that open the same alert at once make the same id: one of them is refused.
    identity = digest_json([model, measurement.monitor, before])[:_ID_DIGITS]
    try:
        tx.execute(
            sa.insert(table).values(
                id=identity,
                model=model,
                monitor=measurement.monitor,
                status="open",
                message=measurement.message,
                seen=1,
                opened_at=now,
                last_seen_at=now,
            )
        )
    except sa.exc.IntegrityError as e:
        raise _conflict(measurement.monitor) from e
    return identity


def _move(tx: sa.Connection, alert: Alert, **values: Any) -> None:
    """Compare and set: only if the alert is still as it was found."""
    table = tables.alerts
    moved = tx.execute(
        sa.update(table)
        .where(table.c.id == alert.id, table.c.status == alert.status, table.c.seen == alert.seen)
        .values(**values)
    )
    if moved.rowcount != 1:
        raise _conflict(alert.monitor)


def _record(
    tx: sa.Connection,
    alert: str,
    event: str,
    actor: str,
    message: str,
    now: datetime,
    bundle: str | None = None,
    examples: Sequence[str] = (),
) -> None:
    tx.execute(
        sa.insert(tables.alert_events).values(
            alert=alert,
            event=event,
            actor=actor,
            message=message,
            bundle=bundle,
            examples=list(examples),
            at=now,
        )
    )


def _newest(tx: sa.Connection, model: str, monitor: str) -> Alert | None:
    """The unresolved alert of a monitor, else the one that was resolved last."""
    table = tables.alerts
    row = tx.execute(
        sa.select(table)
        .where(table.c.model == model, table.c.monitor == monitor)
        .order_by(sa.case((table.c.status == "resolved", 1), else_=0), table.c.resolved_at.desc())
        .limit(1)
    ).first()
    return None if row is None else record_of(Alert, row)


def _was_acknowledged(tx: sa.Connection, alert: str) -> bool:
    table = tables.alert_events
    query = sa.select(table.c.id).where(table.c.alert == alert, table.c.event == "acknowledged")
    return tx.execute(query.limit(1)).first() is not None


def _find(tx: sa.Connection, alert: str) -> Alert:
    row = tx.execute(sa.select(tables.alerts).where(tables.alerts.c.id == alert)).first()
    if row is None:
        raise UsageError(
            f"There is no alert {alert!r}.",
            remedy="See the open ones with: tuneloop alert list",
        )
    return record_of(Alert, row)


def _conflict(monitor: str) -> ConflictError:
    return ConflictError(
        f"The alert of the monitor '{monitor}' was moved by somebody else meanwhile.",
        remedy="Look with `tuneloop status` and run the command again.",
    )
