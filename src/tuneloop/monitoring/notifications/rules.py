"""What is worth telling, and when it is due: rules without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tuneloop.modelfile import AlertSettings, ChannelUrl, EventKind, QuietHours
from tuneloop.monitoring.alerts import SAME_ALERT_WITHIN

FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=1)
_DOUBLINGS = 10
"""After so many the longest delay is reached; it keeps the power small."""


@dataclass(frozen=True, kw_only=True)
class News:
    """One event in an alert's life, and what was told of that alert before."""

    event: str
    """opened, repeated, acknowledged, resolved or reopened."""
    at: datetime
    acknowledged: bool
    """Whether somebody looks after the alert."""
    last_told_at: datetime | None
    """When a crossing that was told happened; None: people know nothing of this alert."""


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A delivery that has not reached its channel."""

    id: int
    model: str
    kind: EventKind
    at: datetime
    """When what it tells of happened."""
    channel: str
    """As it is shown."""
    attempts: int
    ready_at: datetime
    """Not told before."""
    retry_at: datetime | None
    """When a failed one is tried again."""


@dataclass(frozen=True, kw_only=True)
class WaitingAlert(_Waiting):
    """One that tells of an event in an alert's life."""

    kind: EventKind = "alerts"
    monitor: str
    alert: str
    """Its id."""
    event: str
    message: str
    """What the monitor said then."""
    bundle: str | None
    """Id of the bundle that was measured."""
    examples: tuple[str, ...]
    """Short texts that the monitor saw."""
    opened_at: datetime
    """When the alert was."""
    resolved_at: datetime | None
    """When it was, as far as it is now."""
    seen: int
    """Crossings counted until now."""


@dataclass(frozen=True, kw_only=True)
class WaitingNotice(_Waiting):
    """One that tells of something else, see `notices.Notice`."""

    actor: str
    title: str
    body: str


Waiting = WaitingAlert | WaitingNotice


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Where people are told, and of what."""

    url: ChannelUrl
    events: frozenset[EventKind]


NAME_ONE = "Add Apprise URLs, or references such as ${TEAM_SLACK}, under alerts.notify."
"""What to do where there is no channel."""


def channels(settings: AlertSettings) -> dict[str, Channel]:
    """The channels by the names that people see; those that look alike are numbered."""
    told: dict[ChannelUrl, set[EventKind]] = {}
    groups = [(settings.notify, settings.events), *((g.notify, g.events) for g in settings.also)]
    for urls, events in groups:
        for url in urls:
            told.setdefault(url, set()).update(events)
    named: dict[str, Channel] = {}
    for url, kinds in told.items():
        alike = sum(str(other.url) == str(url) for other in named.values())
        name = f"{url} ({alike + 1})" if alike else str(url)
        named[name] = Channel(url=url, events=frozenset(kinds))
    return named


def told_of(kind: EventKind, settings: AlertSettings) -> list[str]:
    """The names of the channels that are told of a kind of event."""
    return [name for name, channel in channels(settings).items() if kind in channel.events]


def worth_telling(news: News, settings: AlertSettings) -> bool:
    """Whether people are told of an event.

    A crossing of an alert that they know is told again after `repeat_hours`, unless somebody
    acknowledged it; an end only where they know of the beginning.
    """
    if news.event == "resolved":
        return news.last_told_at is not None
    if news.event not in ("opened", "repeated", "reopened"):
        return False
    if news.last_told_at is None:
        return True
    repeat = timedelta(hours=settings.repeat_hours)
    return not news.acknowledged and news.at - news.last_told_at >= repeat


def ready_at(news: News) -> datetime:
    """When an event may be told: the end of an alert not before it is final."""
    return news.at + SAME_ALERT_WITHIN if news.event == "resolved" else news.at


def overtaken(waiting: Waiting) -> bool:
    """Whether it tells of an end that was none: the alert came back."""
    return (
        isinstance(waiting, WaitingAlert)
        and waiting.event == "resolved"
        and waiting.resolved_at != waiting.at
    )


def quiet(hours: QuietHours | None, now: datetime) -> bool:
    """Whether it is quiet now; hours that end before they begin last over midnight."""
    if hours is None:
        return False
    local = now.astimezone(ZoneInfo(hours.timezone)).time()
    if hours.start <= hours.end:
        return hours.start <= local < hours.end
    return local >= hours.start or local < hours.end


def together(
    waiting: Sequence[Waiting], settings: Mapping[str, AlertSettings], now: datetime
) -> list[Waiting]:
    """What one channel is to be told now, in one message; nothing while all of it can wait.

    The first that is due takes along everything else that may be told.
    """
    may_go = [
        delivery
        for delivery in waiting
        if delivery.ready_at <= now
        and (
            _urgent(delivery, settings[delivery.model])
            or not quiet(settings[delivery.model].quiet_hours, now)
        )
    ]
    return (
        may_go
        if any(_due_at(delivery, settings[delivery.model]) <= now for delivery in may_go)
        else []
    )


def retry_at(
    waiting: Waiting, settings: AlertSettings, *, now: datetime, jitter: float
) -> datetime | None:
    """When a failed attempt is made again, None: never, it has been tried for long enough.

    The delay doubles up to an hour; `jitter` in 0..1 spreads it over its upper half ("equal
    jitter", AWS Architecture Blog, Exponential Backoff And Jitter, 2015). There is always one
    attempt, however long quiet hours or a stopped worker held it up.
    """
    if now - waiting.ready_at >= timedelta(hours=settings.give_up_hours):
        return None
    doubled = FIRST_RETRY * 2.0 ** min(waiting.attempts - 1, _DOUBLINGS)
    return now + min(LONGEST_RETRY, doubled) * (0.5 + 0.5 * jitter)


def _urgent(waiting: Waiting, settings: AlertSettings) -> bool:
    return isinstance(waiting, WaitingAlert) and waiting.monitor in settings.urgent


def _due_at(waiting: Waiting, settings: AlertSettings) -> datetime:
    return waiting.retry_at or waiting.ready_at + timedelta(minutes=settings.group_minutes)
