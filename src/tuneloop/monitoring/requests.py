"""The requests of an endpoint, hour by hour, and what its gateways say of themselves.

Hours are counted back from the moment that is looked at: hour 0 is the last one, hour 168 is the
same hour of the week before. So the hour of the day and the weekday need no calendar.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop.gateway.accounts import EVERY_SECONDS
from tuneloop.storage.captured import probe
from tuneloop.storage.traffic import Traffic

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]

WEEK = 168
"""Hours."""
HOURS = 5 * WEEK
"""That are looked at: four weeks to compare with, and the one that is compared."""
_HOUR = timedelta(hours=1)
_RESTART = timedelta(seconds=2 * EVERY_SECONDS)
"""A stop that was shorter is a restart: accounts are so far apart."""
NOT_OF_A_MODEL = ("unknown_url", "method_not_allowed")
"""Refusals of what asked for no model: whoever knocks at every door of a machine."""


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What came to an endpoint in the hours before a moment."""

    until: datetime
    captured: Counts
    """(`HOURS`,) requests to the endpoint in the traffic table, probes left out"""
    served: Counts
    """(`HOURS`,) requests to it that the gateways counted, captured or not"""
    away: npt.NDArray[np.bool_]
    """(`HOURS`,) whether the gateways were stopped on purpose in a part of the hour"""
    accepted: Counts
    """(`HOURS`,) requests to all endpoints of the workspace"""
    refused: Counts
    """(`HOURS`,) requests that the gateways refused before they reached any endpoint"""
    reasons: tuple[Counter[str], ...]
    """(24,) of the last day's hours: reason → requests that were refused"""
    last_account: datetime | None
    """When a gateway last said that it lives; None: it never did"""
    stopped_at: datetime | None
    """Since when the gateways are stopped on purpose; None: they are not"""

    @property
    def hours_known(self) -> int:
        """Hours since the first request to the endpoint."""
        seen = (self.captured + self.served).nonzero()[0]
        return int(seen[-1]) + 1 if len(seen) else 0


def requests_of(traffic: Traffic, *, endpoint: str, until: datetime) -> Requests:
    """The requests to an endpoint in the `HOURS` before `until`.

    Raises:
        StoreError: the tables cannot be read.
    """
    import numpy as np
    import polars as pl

    since = until - HOURS * _HOUR
    hour = ((pl.lit(until) - pl.col("time")).dt.total_microseconds() - 1) // 3_600_000_000
    of_hours = (
        traffic.scan("interactions", since=since, until=until)
        .filter(pl.col("endpoint") == endpoint, ~probe())
        .select(hour.alias("hour"))
        .group_by("hour")
        .len()
        .collect()
    )
    captured = np.zeros(HOURS, dtype=np.int64)
    for at, count in of_hours.iter_rows():
        captured[min(max(at, 0), HOURS - 1)] = count
    accounts = traffic.scan("accounts", since=since, until=until).sort("time", "id").collect()
    return _with_accounts(
        [
            _Account(
                time=row["time"],
                served=json.loads(row["served"]),
                refused=json.loads(row["refused"]),
                stopped=row["stopped"],
            )
            for row in accounts.iter_rows(named=True)
        ],
        captured,
        endpoint=endpoint,
        until=until,
    )


@dataclass(frozen=True, kw_only=True)
class _Account:
    time: datetime
    served: dict[str, int]
    refused: dict[str, int]
    stopped: bool


def _with_accounts(
    accounts: Sequence[_Account], captured: Counts, *, endpoint: str, until: datetime
) -> Requests:
    import numpy as np

    served, accepted, refused = (np.zeros(HOURS, dtype=np.int64) for _ in range(3))
    reasons = tuple(Counter[str]() for _ in range(24))
    for account in accounts:
        # What it counted came in the minutes before it.
        at = min((until - account.time) // _HOUR, HOURS - 1)
        served[at] += account.served.get(endpoint, 0)
        accepted[at] += sum(account.served.values())
        of_models = {r: n for r, n in account.refused.items() if r not in NOT_OF_A_MODEL}
        refused[at] += sum(of_models.values())
        if at < len(reasons):
            reasons[at].update(of_models)
    stops = _stops(accounts, until)
    away = np.zeros(HOURS, dtype=np.bool_)
    for begin, end in stops:
        away[max(0, (until - end) // _HOUR) : (until - begin) // _HOUR + 1] = True
    last = accounts[-1] if accounts else None
    return Requests(
        until=until,
        captured=captured,
        served=served,
        away=away,
        accepted=accepted,
        refused=refused,
        reasons=reasons,
        last_account=last.time if last else None,
        stopped_at=stops[-1][0] if last and last.stopped and stops else None,
    )


def _stops(accounts: Sequence[_Account], until: datetime) -> list[tuple[datetime, datetime]]:
    """From when to when no gateway ran because somebody wanted it so; restarts are left out."""
    stops = []
    ends = [*(account.time for account in accounts[1:]), until]
    for account, end in zip(accounts, ends[: len(accounts)], strict=True):
        if account.stopped and end - account.time > _RESTART:
            stops.append((account.time, end))
    return stops
