"""Whether an endpoint has fallen silent: requests of the last hours against those of the same hours
of the weeks before. Counts in, verdict out.

The rule is that of Farrington, Andrews, Beale and Catchpole (1996, "A statistical algorithm for the
early detection of outbreaks of infectious disease", Journal of the Royal Statistical Society A
159), turned to the lower tail: a count is held against those of the same time in earlier periods,
with more spread than a Poisson count has; by a negative binomial, as Noufaily et al. (2013, "An
improved algorithm for outbreak detection in large multiple surveillance systems", Statistics in
Medicine 32) do.
Several lengths of time are looked at, for a busy endpoint is silent after an hour and a quiet one
after days; each has the same part of the chance of a false alarm (Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tuneloop.intervals import Figure
from tuneloop.monitoring.requests import HOURS, WEEK, Requests

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

STRETCHES = (1, 3, 6, 12, 24, 48, 96)
"""Hours that are looked at together."""
FEWEST_WEEKS = 2
"""Earlier weeks that it takes: of one alone nobody can tell how much weeks differ."""
LEAST_SPREAD = 0.05
"""The squared coefficient of variation that traffic has at least, whatever few weeks showed."""
_JITTER = (-1, 0, 1)
"""Hours by which the usual may be early or late: clocks change, and people are not on time."""
_WORTH_TELLING = 10.0
"""Requests that a stretch must usually have to be told where nothing is wrong."""
_DAY = 24
_WEEKS = range(1, HOURS // WEEK)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The last hours, and what is usual in them."""

    hours: int
    seen: int
    """requests, captured or counted by the gateways, whichever is more"""
    usual: float
    """requests, the mean of the same hours in earlier weeks"""
    variance: float
    """of `seen` if nothing has changed: that of the count and of the mean it is held against"""
    weeks: int
    """earlier weeks behind `usual`"""

    @property
    def share(self) -> float:
        """Seen, as a share of the usual."""
        return self.seen / self.usual

    @property
    def chance(self) -> float:
        """That so few come, or fewer, if nothing has changed; 0..1."""
        return _at_most(self.seen, self.usual, self.variance)

    @property
    def chance_of_none(self) -> float:
        """The chance that no request at all comes if nothing has changed."""
        return _at_most(0, self.usual, self.variance)

    @property
    def figure(self) -> Figure:
        """The share with its 95 % interval: Garwood's (1936) exact one of a Poisson count, of as
        many independent requests as are as noisy as these."""
        from scipy.stats import chi2

        noise = max(1.0, self.variance / self.usual)
        count, unit = self.seen / noise, noise / self.usual
        low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
        high = chi2.ppf(0.975, 2 * count + 2) / 2
        n = self.seen + round(self.usual * self.weeks)
        return Figure(value=self.share, low=float(low * unit), high=float(high * unit), n=n)


@dataclass(frozen=True, kw_only=True)
class Silence:
    """What a look says."""

    silent: bool
    told: Stretch
    """the longest silent stretch; else the shortest in which some requests are usual"""


def look(requests: Requests, *, below: float, level: float) -> Silence | None:
    """Silent where fewer than the share `below` of the usual came, in the last hour and in each
    longer stretch up to one in which so few cannot be chance; None: not enough is known.

    The chance of a false alarm is at most `level`, 0..1, see `false_alarms`.
    """
    of_each = level / len(STRETCHES)
    stretches = [found for hours in STRETCHES if (found := stretch(requests, hours)) is not None]
    if not any(one.chance_of_none <= of_each for one in stretches):
        return None
    silent = None
    for one in stretches:
        if one.share >= below:
            break
        if one.chance <= of_each:
            silent = one
    if silent is not None:
        return Silence(silent=True, told=silent)
    busy = [one for one in stretches if one.usual >= _WORTH_TELLING]
    return Silence(silent=False, told=busy[0] if busy else stretches[-1])


def stretch(requests: Requests, hours: int) -> Stretch | None:
    """The last `hours` but those in which the gateways were stopped; None: nothing is usual."""
    import numpy as np

    counts, away = requests.captured, requests.away
    kept = np.flatnonzero(~away[:hours])
    known = min(requests.hours_known, HOURS)
    means, fewest = [], len(_WEEKS)
    for shift in _JITTER:
        same_hours = [week * WEEK + shift + kept for week in _WEEKS]
        sums = [
            int(counts[at].sum())
            for at in same_hours
            if len(at) and at[-1] < known and not away[at].any()
        ]
        fewest = min(fewest, len(sums))
        means.append(math.fsum(sums) / len(sums) if sums else 0.0)
    usual = min(means)
    if fewest < FEWEST_WEEKS or usual <= 0:
        return None
    seen = max(int(counts[kept].sum()), int(requests.served[kept].sum()))
    spread = squared_variation(counts, away, known=known, hours=min(hours, _DAY))
    variance = (usual + spread * usual**2) * (1 + 1 / fewest)
    return Stretch(hours=hours, seen=seen, usual=usual, variance=variance, weeks=fewest)


def squared_variation(counts: Counts, away: Flags, *, known: int, hours: int) -> float:
    """By how much stretches of so many hours differ from week to week, beyond a Poisson count.

    The squared coefficient of variation v that all places of the week share: the variance of a
    negative binomial count of mean m is m + v m². By moments, then the upper end of its one-sided
    95 % interval, as if every day were one normal draw (chi-squared): a v that came out too small
    by luck would call usual traffic a silence. At least `LEAST_SPREAD`.
    """
    import numpy as np

    places = WEEK // hours
    shape = (len(_WEEKS), places, hours)

    def by_place(of_hours: npt.NDArray[Any]) -> npt.NDArray[Any]:
        weeks = of_hours[WEEK:].reshape(len(_WEEKS), WEEK)
        of_places = weeks[:, : places * hours].reshape(shape)
        return np.asarray(of_places.sum(axis=2))  # (weeks, places)

    sums = by_place(counts)
    usable = by_place(away | (np.arange(HOURS) >= known)) == 0
    weeks = usable.sum(axis=0)
    enough = weeks >= FEWEST_WEEKS
    if not enough.any():
        return math.inf
    sums, usable, weeks = sums[:, enough], usable[:, enough], weeks[enough]
    mean = (sums * usable).sum(axis=0) / weeks
    variance = ((sums - mean) ** 2 * usable).sum(axis=0) / (weeks - 1)
    squares = float((mean**2 - variance / weeks).sum())
    beyond = float((variance - mean).sum())
    if squares <= 0:
        return math.inf
    return max(LEAST_SPREAD, beyond / squares * _upper(int(weeks.max())))


@cache
def _upper(weeks: int) -> float:
    """The upper end of the interval of a variance from so many weeks, over its estimate."""
    from scipy.stats import chi2

    freedom = WEEK // _DAY * (weeks - 1)
    return float(freedom / chi2.ppf(0.05, freedom))


def _at_most(seen: int, usual: float, variance: float) -> float:
    """The chance of so few in a negative binomial count, by the incomplete beta function."""
    from scipy.special import betainc

    if math.isinf(variance):
        return 1.0
    size = usual**2 / (variance - usual)
    return float(betainc(size, seen + 1, size / (size + usual)))
