"""How sure one look of one monitor must be, so that all of them together seldom cry wolf.

`monitors.false_alarms_per_month` is the expected number of alerts a month, over all monitors that
apply to a bundle, while nothing is wrong. Each monitor gets the same part of it and spends it
evenly over its looks of a month. The expected number of false alarms is at most the sum of the
chances of single looks, however monitors and overlapping windows hang together: Bonferroni's
inequality for the mean number of false discoveries (Gordon, Glazko, Qiu and Yakovlev 2007, "Control
of the mean number of false discoveries, Bonferroni and stability of multiple testing", Annals of
Applied Statistics 1).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from croniter import croniter
from croniter.croniter import CroniterError

from tuneloop.intervals import CONFIDENCE

DAYS_A_MONTH = 365.25 / 12
LEAST_SURE = (1 - CONFIDENCE) / 2
"""No alert is opened inside the 95 % interval, whatever rate is declared."""
_MEANT = {"hour": DAYS_A_MONTH * 24, "day": DAYS_A_MONTH, "week": DAYS_A_MONTH / 7}
"""Looks a month of a monitor that no schedule runs: as often as it is meant to look."""
_WORDS = {
    "daily": DAYS_A_MONTH,
    "weekly": DAYS_A_MONTH / 7,
    "monthly": 1.0,
    "quarterly": 1 / 3,
}
_COUNTED_FROM = datetime(2026, 1, 1, tzinfo=UTC)
_COUNTED, _MOST_MOMENTS = timedelta(days=365), 3_000


def level(rate: float, *, monitors: int, looks: float) -> float:
    """The chance, 0..0.025, with which one look may alert for nothing.

    `rate`: false alarms a month of all `monitors` together; `looks`: this one's in a month.
    """
    return min(LEAST_SURE, rate / max(1, monitors) / max(1.0, looks))


@cache
def looks_a_month(every: str, cadence: str) -> float:
    """How often a monitor that is meant to look `every` hour, day or week is run in a month.

    `cadence`: of its schedule, a word or a crontab line. Looks by hand are not counted: one at the
    same traffic says what the last one said.
    """
    if cadence in _WORDS:
        return _WORDS[cadence]
    try:
        moments, count, last = croniter(cadence, _COUNTED_FROM), 0, _COUNTED_FROM
        while count < _MOST_MOMENTS and last - _COUNTED_FROM < _COUNTED:
            last = moments.get_next(datetime)
            count += 1
    except CroniterError:  # "never", or a day that never comes.
        return _MEANT[every]
    return count * DAYS_A_MONTH / ((last - _COUNTED_FROM) / timedelta(days=1))
