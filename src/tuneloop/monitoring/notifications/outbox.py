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
from tuneloop.monitoring.notifications.rules import News, Waiting, WaitingAlert, WaitingNotice
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

LEASE = timedelta(minutes=5)
"""Longer than any attempt takes: services are given up after seconds."""
_EVENTS_AT_ONCE = 500

DeliveryStatus = Literal["waiting", "sending", "sent", "gave_up", "withdrawn"]

_events, _alerts, _deliveries = tables.alert_events, tables.alerts, tables.deliveries
_notices = tables.notices
_of_notices = _deliveries.join(_notices, _notices.c.id == _deliveries.c.notice)
_of_alerts = _deliveries.join(_events, _events.c.id == _deliveries.c.event).join(
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
    """One event of an alert, or a notice, on its way to one channel."""

    id: int
    model: str
    kind: str
    """What was told: alerts, another of `alerts.events`, or test."""
    about: str
    """The monitor that the alert is of, or what happened."""
    monitor: str | None
    """None: it tells of no alert."""
    alert: str | None
    """Its id."""
    event: str
    """opened, repeated, reopened or resolved; of a notice its kind."""
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
    """Make deliveries of the new events of alerts of these models, each once; how many it made."""
    query = (
        sa.select(_events, _alerts.c.model)
        .join(_alerts, _alerts.c.id == _events.c.alert)
        .where(_events.c.queued_at.is_(None), _alerts.c.model.in_(list(settings)))
        .order_by(_events.c.id)
        .limit(_EVENTS_AT_ONCE)
        # Another process that queues the same events is waited for; they are not new afterwards.
        .with_for_update(of=_events)
    )
    queued = 0
    with workspace.records.begin() as tx:
        rows = tx.execute(query).all()
        for row in rows:
            queued += _queue(tx, row, settings[row.model])
        if rows:
            tx.execute(
                sa.update(_events)
                .where(_events.c.id.in_([row.id for row in rows]))
                .values(queued_at=workspace.now())
            )
    return queued


def claim(workspace: Workspace, settings: Mapping[str, AlertSettings]) -> Claim | None:
    """Claim the next message that is due, None: there is none.

    Deliveries that have become pointless are ended on the way.
    """
    now = workspace.now()
    channels = {model: rules.channels(of_model) for model, of_model in settings.items()}
    by_channel: dict[ChannelUrl, list[Waiting]] = {}
    with workspace.records.begin() as tx:
        for delivery in _waiting(tx, settings, now):
            channel = channels[delivery.model].get(delivery.channel)
            if rules.overtaken(delivery):
                _end(tx, delivery, "withdrawn", "The alert came back.", now)
            elif channel is None:
                _end(tx, delivery, "gave_up", "alerts.notify no longer has this channel.", now)
            elif delivery.kind not in channel.events:
                _end(tx, delivery, "gave_up", f"It is no longer told of {delivery.kind}.", now)
            else:
                by_channel.setdefault(channel.url, []).append(delivery)
        for url, waiting in by_channel.items():
            if told := rules.together(waiting, settings, now):
                return _claim(tx, url, told, now)
    return None


def sent(workspace: Workspace, claim: Claim) -> None:
    """Note that a claimed message was delivered."""
    values = {"status": "sent", "finished_at": workspace.now(), "last_error": ""}
    _finish(workspace, claim, {delivery.id: values for delivery in claim.told})


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
    for delivery in claim.told:
        again = rules.retry_at(delivery, settings[delivery.model], now=now, jitter=jitter)
        values[delivery.id] = {"last_error": error, "retry_at": again}
        if again is None:
            given_up.append(delivery)
            values[delivery.id] |= {"status": "gave_up", "finished_at": now}
    _finish(workspace, claim, values)
    return given_up


def listing(
    workspace: Workspace, model: str, *, alert: str | None = None, limit: int | None = None
) -> list[Delivery]:
    """The deliveries of a model, the newest first; of one alert, where it is given."""
    of_alerts = (
        sa.select(_deliveries, _events.c.alert, _events.c.event.label("step"), _events.c.at)
        .add_columns(_alerts.c.model, _alerts.c.monitor)
        .select_from(_of_alerts)
        .where(_alerts.c.model == model)
    )
    of_notices = (
        sa.select(_deliveries, _notices.c.model, _notices.c.kind, _notices.c.title, _notices.c.at)
        .select_from(_of_notices)
        .where(_notices.c.model == model)
    )
    queries = [of_alerts, of_notices]
    if alert is not None:
        queries = [of_alerts.where(_alerts.c.id == alert)]
    now = workspace.now()
    with workspace.records.begin() as tx:
        deliveries = [
            _delivery(row, now)
            for query in queries
            for row in tx.execute(query.order_by(_deliveries.c.id.desc()).limit(limit))
        ]
    return sorted(deliveries, key=lambda delivery: -delivery.id)[:limit]


def put(tx: sa.Connection, channels: Sequence[str], *, ready_at: datetime, **subject: int) -> int:
    """Put deliveries of one subject, `event` or `notice`, into the queue; how many those are."""
    row = {**subject, "status": "waiting", "attempts": 0, "last_error": "", "ready_at": ready_at}
    if channels:
        tx.execute(sa.insert(_deliveries), [{**row, "channel": name} for name in channels])
    return len(channels)


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
    if not rules.worth_telling(news, settings):
        return 0
    channels = rules.told_of("alerts", settings)
    return put(tx, channels, ready_at=rules.ready_at(news), event=event.id)


def _waiting(
    tx: sa.Connection, settings: Mapping[str, AlertSettings], now: datetime
) -> list[Waiting]:
    """What nobody is sending at this moment, locked until the transaction ends."""
    free = sa.and_(
        _deliveries.c.status == "waiting",
        sa.or_(_deliveries.c.claimed_until.is_(None), _deliveries.c.claimed_until <= now),
    )
    of_alerts = (
        sa.select(_deliveries, _events.c.alert, _events.c.event.label("step"), _events.c.at)
        .add_columns(_events.c.message, _events.c.bundle, _events.c.examples)
        .add_columns(_alerts.c.model, _alerts.c.monitor, _alerts.c.seen)
        .add_columns(_alerts.c.opened_at, _alerts.c.resolved_at)
        .select_from(_of_alerts)
        .where(free, _alerts.c.model.in_(list(settings)))
        .with_for_update(of=_deliveries, skip_locked=True)
    )
    of_notices = (
        sa.select(_deliveries, _notices.c.model, _notices.c.kind, _notices.c.at)
        .add_columns(_notices.c.actor, _notices.c.title, _notices.c.body)
        .select_from(_of_notices)
        .where(free, _notices.c.model.in_(list(settings)))
        .with_for_update(of=_deliveries, skip_locked=True)
    )
    waiting: list[Waiting] = [
        record_of(WaitingAlert, row, event=row.step) for row in tx.execute(of_alerts)
    ]
    waiting += [record_of(WaitingNotice, row) for row in tx.execute(of_notices)]
    return sorted(waiting, key=lambda delivery: delivery.id)


def _claim(tx: sa.Connection, channel: ChannelUrl, told: Sequence[Waiting], now: datetime) -> Claim:
    identity = uuid.uuid4().hex
    tx.execute(
        sa.update(_deliveries)
        .where(_deliveries.c.id.in_([delivery.id for delivery in told]))
        .values(claim=identity, claimed_until=now + LEASE, attempts=_deliveries.c.attempts + 1)
    )
    counted = tuple(
        dataclasses.replace(delivery, attempts=delivery.attempts + 1) for delivery in told
    )
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
    tx: sa.Connection, delivery: Waiting, status: DeliveryStatus, reason: str, now: datetime
) -> None:
    tx.execute(
        sa.update(_deliveries)
        .where(_deliveries.c.id == delivery.id)
        .values(status=status, last_error=reason, finished_at=now)
    )


def _delivery(row: sa.Row[Any], now: datetime) -> Delivery:
    sending = row.status == "waiting" and row.claimed_until is not None and row.claimed_until > now
    of_alert = row.event is not None
    return record_of(
        Delivery,
        row,
        kind="alerts" if of_alert else row.kind,
        about=row.monitor if of_alert else row.title,
        monitor=row.monitor if of_alert else None,
        alert=row.alert if of_alert else None,
        event=row.step if of_alert else row.kind,
        status="sending" if sending else row.status,
    )
