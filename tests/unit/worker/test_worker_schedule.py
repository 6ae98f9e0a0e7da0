"""What comes again and again is due at its moment, once, however long nobody looked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.errors import ModelFileError
from tuneloop.modelfile import ScheduleSettings
from tuneloop.worker.schedule import due

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(day: int, hour: int = 0, minute: int = 0, *, month: int = 1) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def moments(cadence: str, *, until: datetime, look_every: timedelta) -> list[datetime]:
    """What a worker that looks every so often does it for."""
    found, since, now = [], BEGAN, BEGAN
    while now <= until:
        moment = due(cadence, since=since, now=now)
        if moment is not None:
            found.append(moment)
            since = moment
        now += look_every
    return found


@pytest.mark.parametrize(
    ("cadence", "expected"),
    [
        ("weekly", [at(5, 2), at(12, 2), at(19, 2), at(26, 2)]),
        ("monthly", [at(1, 2, month=2), at(1, 2, month=3), at(1, 2, month=4)]),
        ("quarterly", [at(1, 2, month=4)]),
        ("30 6 3 * *", [at(3, 6, 30), at(3, 6, 30, month=2), at(3, 6, 30, month=3)]),
        ("never", []),
        ("0 0 30 2 *", []),
    ],
)
def test_a_cadence_has_its_moments(cadence: str, expected: list[datetime]) -> None:
    until = at(2, month=4) if cadence != "weekly" else at(31)
    assert moments(cadence, until=until, look_every=timedelta(hours=1)) == expected


def test_daily_is_every_day_whatever_the_time_of_looking() -> None:
    found = moments("daily", until=at(11, 23), look_every=timedelta(minutes=7))
    assert found == [at(day, 2) for day in range(2, 12)]


def test_what_was_missed_is_made_up_for_once() -> None:
    assert due("daily", since=at(2, 2), now=at(20, 1)) == at(19, 2)
    assert due("daily", since=at(19, 2), now=at(20, 1)) is None


def test_a_moment_counts_from_its_second_on_and_only_once() -> None:
    assert due("daily", since=at(1, 2), now=at(2, 1, 59)) is None
    assert due("daily", since=at(1, 2), now=at(2, 2)) == at(2, 2)
    assert due("daily", since=at(2, 2), now=at(2, 2)) is None


def test_a_sixth_field_is_seconds() -> None:
    often = ScheduleSettings(triggers="* * * * * */15").triggers
    found = moments(often, until=BEGAN + timedelta(minutes=1), look_every=timedelta(seconds=1))
    assert found == [BEGAN + timedelta(seconds=seconds) for seconds in (15, 30, 45, 60)]
    for wrong in ("* * * * * * *", "30 6 * * mon 2026", "* * * * * mon", "* * * * * 60"):
        with pytest.raises(ValueError, match="crontab"):
            ScheduleSettings(triggers=wrong)


def test_times_are_utc_whatever_the_clock_says() -> None:
    east = timezone(timedelta(hours=9))
    assert due("daily", since=at(1, 2), now=datetime(2026, 1, 2, 10, 59, tzinfo=east)) is None
    assert due("daily", since=at(1, 2), now=datetime(2026, 1, 2, 11, tzinfo=east)) == at(2, 2)


def test_what_is_no_crontab_line_is_refused() -> None:
    with pytest.raises(ValueError, match="crontab"):
        ScheduleSettings(triggers="hourly")
    with pytest.raises(ModelFileError, match="is no crontab line"):
        due("99 * * * *", since=BEGAN, now=at(3))


@given(
    since=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    later=st.timedeltas(timedelta(0), timedelta(days=400)),
    cadence=st.sampled_from(["daily", "weekly", "monthly", "quarterly", "*/7 3 * * *"]),
)
def test_due_lies_between_and_is_the_last_one(
    since: datetime, later: timedelta, cadence: str
) -> None:
    now = since + later
    moment = due(cadence, since=since, now=now)
    if moment is not None:
        assert since < moment <= now
        assert due(cadence, since=moment, now=now) is None
