"""When something that comes again and again is due: pure rules, all times in UTC.

A moment that passed while no worker ran is made up for once, however many have passed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from croniter import croniter
from croniter.croniter import CroniterBadCronError, CroniterBadDateError

from tuneloop.errors import ModelFileError

NEVER = "never"
_CRONTAB = {
    "daily": "0 2 * * *",
    "weekly": "0 2 * * mon",
    "monthly": "0 2 1 * *",
    "quarterly": "0 2 1 1,4,7,10 *",
}


def due(cadence: str, *, since: datetime, now: datetime) -> datetime | None:
    """The last moment after `since` and up to `now` at which something was due; None: none was.

    `since` is when it was last done, or when there was first something to do.

    Raises:
        ModelFileError: `cadence` is no crontab line.
    """
    if cadence == NEVER:
        return None
    # Moments are whole seconds, and `get_prev` gives one that is earlier than where it begins.
    begin = now.replace(microsecond=0) + timedelta(seconds=1)
    try:
        last: datetime = _moments(cadence, begin).get_prev(datetime)
    except CroniterBadDateError:  # It never comes, as the 30th of February.
        return None
    return last if last > since else None


def _moments(cadence: str, begin: datetime) -> croniter:
    try:
        return croniter(_CRONTAB.get(cadence, cadence), begin.astimezone(UTC))
    except CroniterBadCronError as e:
        raise ModelFileError(
            f"`schedule`: {cadence!r} is no crontab line: {e}",
            remedy="Write five fields (minute, hour, day, month, weekday), as in "
            '"30 6 * * mon"; a sixth is seconds.',
        ) from e
