"""What is worth telling and when it is due."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from alert_data import NOON, waiting
from tuneloop.modelfile import AlertSettings, QuietHours
from tuneloop.monitoring.notifications import rules
from tuneloop.monitoring.notifications.rules import News, Waiting

SETTINGS = AlertSettings(group_minutes=5, repeat_hours=72, give_up_hours=10, urgent=("errors",))
NIGHT = QuietHours.model_validate({"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"})


@pytest.mark.parametrize(
    ("event", "hours_since_told", "acknowledged", "told"),
    [
        ("opened", None, False, True),
        ("repeated", None, False, True),  # channels were named only now
        ("repeated", 71.9, False, False),
        ("repeated", 72, False, True),
        ("repeated", 1000, True, False),
        ("reopened", 1, False, False),
        ("reopened", 72, False, True),
        ("reopened", 72, True, False),
        ("resolved", 1, False, True),
        ("resolved", 1, True, True),
        ("resolved", None, False, False),  # nobody knows that it began
        ("acknowledged", 1, True, False),
    ],
)
def test_what_is_worth_telling(
    event: str, hours_since_told: float | None, acknowledged: bool, told: bool
) -> None:
    last = None if hours_since_told is None else NOON - timedelta(hours=hours_since_told)
    news = News(event=event, at=NOON, acknowledged=acknowledged, last_told_at=last)
    assert rules.worth_telling(news, SETTINGS) is told


@pytest.mark.parametrize(
    ("utc", "is_quiet"),
    [
        ("2026-03-02T20:59", False),
        ("2026-03-02T21:00", True),  # 22:00 in Berlin
        ("2026-03-03T05:59", True),
        ("2026-03-03T06:00", False),
        ("2026-07-02T19:59", False),
        ("2026-07-02T20:00", True),  # an hour earlier in summer
        ("2026-07-03T04:59", True),
        ("2026-07-03T05:00", False),
    ],
)
def test_quiet_hours_over_midnight_follow_the_clock_on_the_wall(utc: str, is_quiet: bool) -> None:
    assert rules.quiet(NIGHT, datetime.fromisoformat(f"{utc}+00:00")) is is_quiet


def test_quiet_hours_within_a_day_and_none_at_all() -> None:
    lunch = QuietHours.model_validate({"from": "12:00", "to": "13:00"})
    assert rules.quiet(lunch, NOON) and not rules.quiet(lunch, NOON + timedelta(hours=1))
    assert not rules.quiet(None, NOON)
    never = QuietHours.model_validate({"from": "12:00", "to": "12:00"})
    assert not rules.quiet(never, NOON)


def told(*found: Waiting, at: datetime, settings: AlertSettings = SETTINGS) -> list[int]:
    return [one.id for one in rules.together(found, {"desk": settings}, at)]


def test_the_first_that_is_due_takes_along_what_came_after_it() -> None:
    first, second = waiting(1), waiting(2, ready_at=NOON + timedelta(minutes=4))
    assert told(first, second, at=NOON + timedelta(minutes=4, seconds=59)) == []
    assert told(first, second, at=NOON + timedelta(minutes=5)) == [1, 2]


def test_what_may_not_be_told_yet_is_not_taken_along() -> None:
    end = waiting(2, event="resolved", ready_at=NOON + timedelta(hours=72))
    assert told(waiting(1), end, at=NOON + timedelta(minutes=5)) == [1]


def test_quiet_hours_hold_back_all_but_the_urgent() -> None:
    settings = SETTINGS.model_copy(update={"quiet_hours": NIGHT})
    night, morning = NOON + timedelta(hours=12), NOON + timedelta(hours=18)
    found = (waiting(1), waiting(2, monitor="errors"))
    assert told(*found, at=night, settings=settings) == [2]
    assert told(waiting(1), at=morning - timedelta(seconds=1), settings=settings) == []
    assert told(waiting(1), at=morning, settings=settings) == [1]


def test_a_failed_one_waits_for_its_next_attempt_or_for_company() -> None:
    later = NOON + timedelta(minutes=30)
    failed = waiting(1, attempts=3, retry_at=later)
    assert told(failed, at=later - timedelta(seconds=1)) == []
    assert told(failed, at=later) == [1]
    fresh = waiting(2, ready_at=NOON + timedelta(minutes=10))
    assert told(failed, fresh, at=NOON + timedelta(minutes=15)) == [1, 2]


def delay(attempts: int, jitter: float, now: datetime = NOON) -> timedelta | None:
    again = rules.retry_at(waiting(attempts=attempts), SETTINGS, now=now, jitter=jitter)
    return None if again is None else again - now


def test_delays_double_up_to_an_hour_in_their_upper_half() -> None:
    longest = [delay(attempts, 1.0) for attempts in (1, 2, 3, 7, 8, 9, 10_000)]
    assert [d.total_seconds() for d in longest if d] == [30, 60, 120, 1920, 3600, 3600, 3600]
    assert delay(2, 0.0) == timedelta(seconds=30) and delay(2, 0.5) == timedelta(seconds=45)


def test_it_is_given_up_after_the_declared_time_and_not_before() -> None:
    limit = NOON + timedelta(hours=10)
    assert delay(5, 0.5, now=limit - timedelta(seconds=1)) is not None
    assert delay(5, 0.5, now=limit) is None


def test_an_end_is_final_only_while_it_is_the_last_word() -> None:
    end = waiting(event="resolved", resolved_at=NOON)
    assert not rules.overtaken(end)
    assert rules.overtaken(waiting(event="resolved", resolved_at=None))
    assert rules.overtaken(waiting(event="resolved", resolved_at=NOON + timedelta(hours=1)))
    assert not rules.overtaken(waiting(event="opened", resolved_at=NOON))


def test_channels_that_look_alike_are_numbered_and_equal_ones_are_one() -> None:
    settings = AlertSettings(
        notify=("mailto://a:secret@x.org", "${SLACK}", "mailto://b:secret@x.org", "${SLACK}")
    )
    found = rules.channels(settings)
    assert list(found) == ["mailto://****", "${SLACK}", "mailto://**** (2)"]
    assert found["mailto://**** (2)"].url.get_secret_value() == "mailto://b:secret@x.org"
