"""Puts notices into the queue: of the audit log's new events, of waiting reviews, of trials.

How far a model's events have been read is a row whose lock every step here takes first, so each
notice is made once, however many processes look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import ConflictError
from tuneloop.modelfile import AlertSettings
from tuneloop.monitoring.notifications import notices, outbox, rules
from tuneloop.monitoring.notifications.notices import Notice, Queue
from tuneloop.registry import audit
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

_log = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 500
_notices, _read = tables.notices, tables.notices_read


def queue_new(workspace: Workspace, settings: Mapping[str, AlertSettings]) -> int:
    """Make deliveries of what happened to these models, each once; how many it made."""
    queued = 0
    for model, of_model in settings.items():
        with suppress(ConflictError):  # Another process begins with this model at this moment.
            queued += _queue_new(workspace, model, of_model)
    return queued


def tell_of_reviews(
    workspace: Workspace, model: str, settings: AlertSettings, look: Callable[[], Queue | None]
) -> int:
    """Put the digest of waiting reviews into the queue if it is due; how many deliveries it made.

    `look` gives what waits; it is called only where somebody might be told.
    """
    channels = rules.told_of("reviews", settings)
    now, day = workspace.now(), notices.DIGEST_EVERY
    told_at = _last_digest(workspace, model) if channels else None
    if not channels or (told_at is not None and now - told_at < day):
        return 0
    queue = look()
    repeat = timedelta(hours=settings.repeat_hours)
    if queue is None or not notices.reviews_due(queue, told_at=told_at, now=now, repeat=repeat):
        return 0
    with suppress(ConflictError), workspace.records.begin() as tx:
        _read_until(tx, model)
        if _told_reviews_at(tx, model) == told_at:  # else another process was faster
            return _put(tx, model, notices.reviews(queue, now), settings)
    return 0


def record_trial(
    workspace: Workspace, model: str, errors: Mapping[str, str | None], *, actor: str
) -> None:
    """Note what came of a test message: channel → why it was not delivered, None where it was."""
    now = workspace.now()
    with workspace.records.begin() as tx:
        told = {"kind": "test", "title": "test message", "body": "", "actor": actor, "at": now}
        notice = _insert(tx, model=model, **told)
        for channel, error in errors.items():
            tx.execute(
                sa.insert(tables.deliveries).values(
                    notice=notice,
                    channel=channel,
                    status="sent" if error is None else "gave_up",
                    attempts=1,
                    last_error=error or "",
                    ready_at=now,
                    finished_at=now,
                )
            )


def _queue_new(workspace: Workspace, model: str, settings: AlertSettings) -> int:
    oldest = workspace.now() - timedelta(hours=settings.give_up_hours)
    queued, late = 0, 0
    with workspace.records.begin() as tx:
        last = _read_until(tx, model)
        events = audit.after(tx, model, last, limit=_EVENTS_AT_ONCE)
        for event in events:
            notice = notices.notice_of(event)
            if notice is None or not rules.told_of(notice.kind, settings):
                continue
            if event.at < oldest:
                late += 1
                continue
            queued += _put(tx, model, notice, settings, event=event.id)
        if events:
            here = _read.c.model == model
            tx.execute(sa.update(_read).where(here).values(event=events[-1].id))
    if late:
        text = "%s: %d events are older than alerts.give_up_hours, so nobody is told of them."
        _log.warning(text, model, late)
    return queued


def _read_until(tx: sa.Connection, model: str) -> int:
    """The last event of the audit log that notices were made of; its row stays locked."""
    query = sa.select(_read.c.event).where(_read.c.model == model).with_for_update()
    event = tx.execute(query).scalar()
    if event is None:
        tx.execute(sa.insert(_read).values(model=model, event=0))
    return int(event or 0)


def _put(
    tx: sa.Connection,
    model: str,
    notice: Notice,
    settings: AlertSettings,
    *,
    event: int | None = None,
) -> int:
    identity = _insert(tx, model=model, event=event, **vars(notice))
    channels = rules.told_of(notice.kind, settings)
    return outbox.put(tx, channels, ready_at=notice.at, notice=identity)


def _insert(tx: sa.Connection, **values: Any) -> int:
    """A row of the table `notices`; its id."""
    return int(tx.execute(sa.insert(_notices).returning(_notices.c.id), [values]).scalar_one())


def _last_digest(workspace: Workspace, model: str) -> datetime | None:
    with workspace.records.begin() as tx:
        return _told_reviews_at(tx, model)


def _told_reviews_at(tx: sa.Connection, model: str) -> datetime | None:
    query = sa.select(sa.func.max(_notices.c.at)).where(
        _notices.c.model == model, _notices.c.kind == "reviews"
    )
    return tx.execute(query).scalar()
