"""Silence and floods over a simulated quarter, looked at every hour by the monitors' own rules.

The declared rate is that of quarters with a false alarm. Where something did happen, the share in
which it was told in time is the power.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.monitoring import refused, silence
from tuneloop.monitoring.monitors.table import levels
from tuneloop.monitoring.requests import HOURS, WEEK, Requests
from verdict_bench.scenario import Random, Scenario

Counts = NDArray[np.int64]
MODEL = ModelSettings(name="desk", base="tiny", data=DataSettings(sources=("a.jsonl",)))
SETTINGS = MODEL.monitors
LEVEL = levels(MODEL, {})["silence"]
"""Of one look; `refused` has the same."""
QUARTER = 13 * WEEK
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
_DAY = 24


@dataclass(frozen=True, kw_only=True)
class Usual:
    """Requests of an endpoint while nothing is wrong."""

    per_hour: float
    """in office hours (weekdays, 8 to 18)"""
    at_night: float = 0.05
    """of that, in the other hours"""
    spread: float = 0.1
    """squared coefficient of variation of days (gamma)"""
    weekly_spread: float = 0.0
    """the same of weeks"""
    growth: float = 0.0
    """of a week"""

    def hours(self, n: int, rng: Random) -> Counts:
        """(n,) the newest hour first."""
        ago = np.arange(n)
        days = _gamma(rng, self.spread, n // _DAY + 1)[ago // _DAY]
        weeks = _gamma(rng, self.weekly_spread, n // WEEK + 1)[ago // WEEK]
        grown = (1 + self.growth) ** (-ago / WEEK)
        usual = np.where(_office(n), self.per_hour, self.per_hour * self.at_night)
        return rng.poisson(usual * days * weeks * grown)


QUIET = {
    "3 requests an hour": Usual(per_hour=3),
    "40 requests an hour": Usual(per_hour=40),
    "400 requests an hour": Usual(per_hour=400),
    "40 an hour, day and night, days very different": Usual(per_hour=40, at_night=1, spread=0.5),
    "40 an hour, weeks different too": Usual(per_hour=40, weekly_spread=0.2),
    "40 an hour, 5 % fewer every week": Usual(per_hour=40, growth=-0.05),
}


IN_TIME = {"3 requests an hour": 96, "40 requests an hour": 24, "400 requests an hour": 3}
"""Hours after which a silence should be told."""


_FEW = 0.2
"""Times the runs: a quarter of looks takes a third of a second, and more where nights are empty."""


def scenarios() -> Iterator[Scenario]:
    """Quarters in which nothing happens, and hours in which something does."""
    declared = LEVEL * QUARTER
    for name, usual in QUIET.items():
        yield Scenario(
            name=f"silence: a quarter of {name}",
            run=lambda rng, usual=usual: silences(usual, rng) > 0,
            declared=declared,
            times=_FEW,
        )
    for name, hours in IN_TIME.items():
        yield Scenario(
            name=f"silence: told after {hours} h, {name}",
            run=lambda rng, name=name, hours=hours: hours_of_silence(QUIET[name], rng) <= hours,
            kind="power",
            times=_FEW,
        )
    for name, bursts in {"2 % refused": 0.0, "2 % refused, in bursts": 0.2}.items():
        yield Scenario(
            name=f"refused: a quarter with {name}",
            run=lambda rng, bursts=bursts: floods(bursts, rng) > 0,
            declared=declared,
            times=_FEW,
        )
    yield Scenario(
        name="refused: one in three, told within an hour", run=flood_told, kind="power", times=_FEW
    )


def silences(usual: Usual, rng: Random) -> int:
    """Alerts of one quarter."""
    counts = usual.hours(HOURS + QUARTER, rng)
    hours = (counts[back : back + HOURS] for back in reversed(range(QUARTER)))
    return _opened(
        _may_be_silent(now) and _silent(replace(_nothing(), captured=now)) for now in hours
    )


def _opened(alerting: Iterable[bool]) -> int:
    """Alerts of looks in their order: one that goes on is the same."""
    found, before = 0, False
    for alerts in alerting:
        found += alerts and not before
        before = alerts
    return found


def _may_be_silent(counts: Counts) -> bool:
    """Whether the last hour is below the limit or usually empty: else no stretch is silent, and
    the look that would say so takes a hundred times as long."""
    same = [counts[shift + WEEK : HOURS : WEEK][:4].mean() for shift in (-1, 0, 1)]
    return bool(counts[0] < SETTINGS.silent_below * min(same) or min(same) <= 0)


def hours_of_silence(usual: Usual, rng: Random) -> int:
    """After how many hours a silence that begins at a random office hour is told."""
    counts = usual.hours(HOURS + 2 * WEEK, rng)
    begin = int(rng.integers(WEEK))
    while not _office(HOURS + WEEK)[begin]:
        begin = (begin + 1) % WEEK
    end = counts[begin:]
    for hour in range(1, WEEK):
        now = np.concatenate([np.zeros(hour, dtype=np.int64), end])[:HOURS]
        if _silent(replace(_nothing(), captured=now)):
            return hour
    return WEEK


def floods(bursts: float, rng: Random) -> int:
    """Alerts of one quarter; `bursts`: correlation of the refusals of an hour."""
    asked, bad = _refusals(HOURS + QUARTER, bursts, rng)
    return _opened(
        _flooded(asked[back : back + HOURS], bad[back : back + HOURS])
        for back in reversed(range(QUARTER))
    )


def flood_told(rng: Random) -> bool:
    """Whether an hour in which a third is refused is told at its end."""
    asked, bad = _refusals(HOURS, 0.0, rng)
    bad[0] = rng.binomial(asked[0], 1 / 3)
    return _flooded(asked, bad)


def _refusals(n: int, bursts: float, rng: Random) -> tuple[Counts, Counts]:
    asked = 100 + rng.poisson(100, size=n)
    shares = np.full(n, 0.02)
    if bursts:
        size = (1 - bursts) / bursts
        shares = rng.beta(0.02 * size, 0.98 * size, size=n)
    return asked, rng.binomial(asked, shares)


def _silent(requests: Requests) -> bool:
    found = silence.look(requests, below=SETTINGS.silent_below, level=LEVEL)
    return found is not None and found.silent


def _flooded(asked: Counts, bad: Counts) -> bool:
    requests = replace(_nothing(), accepted=asked - bad, refused=bad)
    margin, fewest = SETTINGS.share_shift, SETTINGS.minimum_samples
    found = refused.look(requests, margin=margin, fewest=fewest, level=LEVEL)
    return found is not None and found.flooded


@cache
def _nothing() -> Requests:
    nothing = np.zeros(HOURS, dtype=np.int64)
    return Requests(
        until=NOON,
        captured=nothing,
        served=nothing,
        away=nothing.astype(np.bool_),
        accepted=nothing,
        refused=nothing,
        reasons=tuple(Counter[str]() for _ in range(_DAY)),
        last_account=None,
        stopped_at=None,
    )


@cache
def _office(n: int) -> NDArray[np.bool_]:
    moments = [NOON - timedelta(hours=ago + 1) for ago in range(n)]
    return np.array([8 <= at.hour < 18 and at.weekday() < 5 for at in moments])


def _gamma(rng: Random, spread: float, n: int) -> NDArray[np.float64]:
    return rng.gamma(1 / spread, spread, size=n) if spread else np.ones(n)
