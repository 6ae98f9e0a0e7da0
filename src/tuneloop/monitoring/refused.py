"""Whether the gateways refuse more requests than they used to. Counts in, verdict out.

Refusals come in bursts: a client with a wrong key tries again and again. So a share of them is held
against the days before with the spread that these had: a beta-binomial count, its correlation found
by moments (Williams 1982, "Extra-binomial variation in logistic linear models", Applied Statistics
31). Two lengths of time are looked at, each with half of the chance of a false alarm (Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.monitoring.requests import Requests

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]

STRETCHES = (1, 24)
"""Hours that are looked at together."""
FEWEST_DAYS = 3
"""With requests, before the last one, that it takes to know what is usual."""
_DAY = 24


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The last hours, and what was usual before the last day."""

    hours: int
    refused: int
    requests: int
    """refused or not"""
    usual: float
    """share of the requests that were refused, 0..1"""
    correlation: float
    """of two requests of one stretch, 0..1: by how much stretches differ beyond chance"""
    reasons: Counter[str]
    """Reason code → requests that were refused."""

    @property
    def figure(self) -> Figure:
        """The share that was refused, with the Wilson interval of as many independent requests as
        are as noisy as these."""
        noise = 1 + (self.requests - 1) * self.correlation
        independent = max(1, round(self.requests / noise))
        share = self.refused / self.requests
        found = intervals.share(share * independent, independent)
        return Figure(value=share, low=found.low, high=found.high, n=self.requests)

    @property
    def chance(self) -> float:
        """That so many are refused, or more, if nothing has changed; 0..1."""
        from scipy.stats import betabinom, binom

        if not self.refused:
            return 1.0
        if self.correlation <= 0:
            return float(binom.sf(self.refused - 1, self.requests, self.usual))
        size = (1 - self.correlation) / self.correlation
        a, b = self.usual * size, (1 - self.usual) * size
        return float(betabinom.sf(self.refused - 1, self.requests, a, b))


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What a look says."""

    flooded: bool
    told: Stretch
    """the stretch that is flooded; else the last day, or the last hour where that is all"""


def look(requests: Requests, *, margin: float, fewest: int, level: float) -> Refused | None:
    """Flooded where at least `fewest` requests were refused, a share that is more than `margin`
    above the usual one, by more than chance; None: not enough is known.

    The chance of a false alarm is at most `level`, 0..1, see `false_alarms`.
    """
    of_each = level / len(STRETCHES)
    found = [one for hours in STRETCHES if (one := stretch(requests, hours)) is not None]
    known = [one for one in found if one.requests >= fewest]
    if not known:
        return None
    for one in known:
        beyond = one.refused / one.requests > one.usual + margin
        if beyond and one.refused >= fewest and one.chance <= of_each:
            return Refused(flooded=True, told=one)
    return Refused(flooded=False, told=known[-1])


def stretch(requests: Requests, hours: int) -> Stretch | None:
    """The last `hours` against stretches of the same length before the last day; None: too few of
    them had requests."""
    import numpy as np

    asked = requests.accepted + requests.refused
    before = (len(asked) - _DAY) // hours * hours
    n = asked[_DAY : _DAY + before].reshape(-1, hours).sum(axis=1)
    bad = requests.refused[_DAY : _DAY + before].reshape(-1, hours).sum(axis=1)
    days = asked[_DAY:][: len(asked[_DAY:]) // _DAY * _DAY].reshape(-1, _DAY).sum(axis=1)
    if np.count_nonzero(days) < FEWEST_DAYS or not asked[:hours].sum():
        return None
    share = (float(bad.sum()) + 0.5) / (float(n.sum()) + 1)
    return Stretch(
        hours=hours,
        refused=int(requests.refused[:hours].sum()),
        requests=int(asked[:hours].sum()),
        usual=share,
        correlation=correlation(bad[n > 0], n[n > 0], share),
        reasons=sum(requests.reasons[:hours], Counter[str]()),
    )


def correlation(bad: Counts, n: Counts, share: float) -> float:
    """The intraclass correlation by moments, 0..1: of Pearson's statistic the expected value is
    the sum over stretches of (1 + (n - 1) correlation) (1 - n / N) (Williams 1982)."""
    weights = 1 - n / n.sum()
    pearson = float(((bad - n * share) ** 2 / (n * share * (1 - share))).sum())
    among = float(((n - 1) * weights).sum())
    if among <= 0:
        return 0.0
    return min(1.0, max(0.0, (pearson - float(weights.sum())) / among))
