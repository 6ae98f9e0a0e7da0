"""The queue of deliveries, in the records store.

A delivery is claimed in a transaction before it is sent, for as long as the lease: no other process
sends it meanwhile, and after a kill it is free again. So it is sent at least once, and twice only
where a process died, or lost the database, between sending and noting that.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop.modelfile import AlertSettings, ChannelUrl
from tuneloop.monitoring.notifications import rules
from tuneloop.monitoring.notifications.rules import News, Waiting
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

LEASE = timedelta(minutes=5)
"""Longer than any attempt takes: services are given up after seconds."""
_EVENTS_AT_ONCE = 500

DeliveryStatus = Literal["waiting", "sending", "sent", "gave_up", "withdrawn"]

_events, _alerts, _deliveries = tables.alert_events, tables.alerts, tables.deliveries
_joined = _deliveries.join(_events, _events.c.id == _deliveries.c.event).join(
    _alerts, _alerts.c.id == _events.c.alert
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Deliveries that this process alone sends, to one channel in one message."""

    id: str
    channel: ChannelUrl
    told: tuple[Waiting, ...]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One event of an alert on its way to one channel."""

    id: int
    model: str
    monitor: str
    alert: str
    """Its id."""
    event: str
    """opened, repeated, reopened or resolved."""
    channel: str
    """As it is shown: no secret."""
    status: DeliveryStatus
    attempts: int
    last_error: str
    """Why the last attempt failed, or why there is no other; empty while there was none."""
    at: datetime
    """When the event happened."""
    ready_at: datetime
    """Not told before."""
    retry_at: datetime | None
    """When a failed one is tried again."""
    finished_at: datetime | None


def queue_new(workspace: Workspace, settings: Mapping[str, AlertSettings]) -> int:
    """Make deliveries of the new events of these models, each once; how many there were."""
    query = (
        sa.select(_events, _alerts.c.model)
        .join(_alerts, _alerts.c.id == _events.c.alert)
        .where(_events.c.queued_at.is_(None), _alerts.c.model.in_(list(settings)))
        .order_by(_events.c.id)
        .limit(_EVENTS_AT_ONCE)
        # Another process that queues the same events is waited for; they are not new afterwards.
        .with_for_update(of=_events)
    )
    made = 0
    with workspace.records.begin() as tx:
        found = tx.execute(query).all()
        for row in found:
            made += _queue(tx, row, settings[row.model])
        if found:
            tx.execute(
                sa.update(_events)
                .where(_events.c.id.in_([row.id for row in found]))
                .values(queued_at=workspace.now())
            )
    return made


def claim(workspace: Workspace, settings: Mapping[str, AlertSettings]) -> Claim | None:
    """Claim the next message that is due, None: there is none.

    Deliveries that have become pointless are ended on the way.
    """
    now = workspace.now()
    channels = {model: rules.channels(of_model) for model, of_model in settings.items()}
    by_channel: dict[ChannelUrl, list[Waiting]] = {}
    with workspace.records.begin() as tx:
        for one in _waiting(tx, settings, now):
            url = channels[one.model].get(one.channel)
            if rules.overtaken(one):
                _end(tx, one, "withdrawn", "The alert came back.", now)
            elif url is None:
                _end(tx, one, "gave_up", "alerts.notify no longer has this channel.", now)
            else:
                by_channel.setdefault(url, []).append(one)
        for url, waiting in by_channel.items():
            if told := rules.together(waiting, settings, now):
                return _claim(tx, url, told, now)
    return None


def sent(workspace: Workspace, claim: Claim) -> None:
    """Note that a claimed message was delivered."""
    values = {"status": "sent", "finished_at": workspace.now(), "last_error": ""}
    _finish(workspace, claim, {one.id: values for one in claim.told})


def failed(
    workspace: Workspace,
    claim: Claim,
    *,
    error: str,
    settings: Mapping[str, AlertSettings],
    jitter: float,
) -> list[Waiting]:
    """Note that a claimed message was not delivered; returns what is given up by that."""
    now = workspace.now()
    given_up, values = [], {}
    for one in claim.told:
        again = rules.retry_at(one, settings[one.model], now=now, jitter=jitter)
        values[one.id] = {"last_error": error, "retry_at": again}
        if again is None:
            given_up.append(one)
            values[one.id] |= {"status": "gave_up", "finished_at": now}
    _finish(workspace, claim, values)
    return given_up


def listing(
    workspace: Workspace, model: str, *, alert: str | None = None, limit: int | None = None
) -> list[Delivery]:
    """The deliveries of a model, the newest first; of one alert, where it is given."""
    query = (
        sa.select(_deliveries, _events.c.alert, _events.c.event.label("step"), _events.c.at)
        .add_columns(_alerts.c.model, _alerts.c.monitor)
        .select_from(_joined)
        .where(_alerts.c.model == model)
        .order_by(_deliveries.c.id.desc())
        .limit(limit)
    )
    if alert is not None:
        query = query.where(_alerts.c.id == alert)
    now = workspace.now()
    with workspace.records.begin() as tx:
        return [_delivery(row, now) for row in tx.execute(query)]


def _queue(tx: sa.Connection, event: sa.Row[Any], settings: AlertSettings) -> int:
    told = (
        sa.select(sa.func.max(_events.c.at))
        .join(_deliveries, _deliveries.c.event == _events.c.id)
        .where(_events.c.alert == event.alert, _events.c.event != "resolved")
    )
    acknowledged = sa.select(_events.c.id).where(
        _events.c.alert == event.alert,
        _events.c.event == "acknowledged",
        _events.c.id < event.id,
    )
    news = News(
        event=event.event,
        at=event.at,
        acknowledged=tx.execute(acknowledged.limit(1)).first() is not None,
        last_told_at=tx.execute(told).scalar(),
    )
    channels = rules.channels(settings)
    if not channels or not rules.worth_telling(news, settings):
        return 0
    row = {
        "event": event.id,
        "status": "waiting",
        "attempts": 0,
        "last_error": "",
        "ready_at": rules.ready_at(news),
    }
    tx.execute(sa.insert(_deliveries), [{**row, "channel": name} for name in channels])
    return len(channels)


def _waiting(
    tx: sa.Connection, settings: Mapping[str, AlertSettings], now: datetime
) -> list[Waiting]:
    """What nobody is sending at this moment, locked until the transaction ends."""
    query = (
        sa.select(_deliveries, _events.c.alert, _events.c.event.label("step"), _events.c.at)
        .add_columns(_events.c.message, _events.c.bundle, _events.c.examples)
        .add_columns(_alerts.c.model, _alerts.c.monitor, _alerts.c.seen)
        .add_columns(_alerts.c.opened_at, _alerts.c.resolved_at)
        .select_from(_joined)
        .where(
            _deliveries.c.status == "waiting",
            sa.or_(_deliveries.c.claimed_until.is_(None), _deliveries.c.claimed_until <= now),
            _alerts.c.model.in_(list(settings)),
        )
        .order_by(_deliveries.c.id)
        .with_for_update(of=_deliveries, skip_locked=True)
    )
    return [
        Waiting(
            id=row.id,
            model=row.model,
            monitor=row.monitor,
            alert=row.alert,
            event=row.step,
            at=row.at,
            message=row.message,
            bundle=row.bundle,
            examples=tuple(row.examples),
            opened_at=row.opened_at,
            resolved_at=row.resolved_at,
            seen=row.seen,
            channel=row.channel,
            attempts=row.attempts,
            ready_at=row.ready_at,
            retry_at=row.retry_at,
        )
        for row in tx.execute(query)
    ]


def _claim(tx: sa.Connection, channel: ChannelUrl, told: Sequence[Waiting], now: datetime) -> Claim:
    identity = uuid.uuid4().hex
    tx.execute(
        sa.update(_deliveries)
        .where(_deliveries.c.id.in_([one.id for one in told]))
        .values(claim=identity, claimed_until=now + LEASE, attempts=_deliveries.c.attempts + 1)
    )
    counted = tuple(dataclasses.replace(one, attempts=one.attempts + 1) for one in told)
    return Claim(id=identity, channel=channel, told=counted)


def _finish(workspace: Workspace, claim: Claim, values: Mapping[int, Mapping[str, Any]]) -> None:
    """Give a claim back; what another process claimed after the lease is left to that."""
    with workspace.records.begin() as tx:
        for identity, changed in values.items():
            tx.execute(
                sa.update(_deliveries)
                .where(_deliveries.c.id == identity, _deliveries.c.claim == claim.id)
                .values(claimed_until=None, **changed)
            )


def _end(
    tx: sa.Connection, one: Waiting, status: DeliveryStatus, reason: str, now: datetime
) -> None:
    tx.execute(
        sa.update(_deliveries)
        .where(_deliveries.c.id == one.id)
        .values(status=status, last_error=reason, finished_at=now)
    )


def _delivery(row: sa.Row[Any], now: datetime) -> Delivery:
    sending = row.status == "waiting" and row.claimed_until is not None and row.claimed_until > now
    return Delivery(
        id=row.id,
        model=row.model,
        monitor=row.monitor,
        alert=row.alert,
        event=row.step,
        channel=row.channel,
        status="sending" if sending else row.status,
        attempts=row.attempts,
        last_error=row.last_error,
        at=row.at,
        ready_at=row.ready_at,
        retry_at=row.retry_at,
        finished_at=row.finished_at,
    )
