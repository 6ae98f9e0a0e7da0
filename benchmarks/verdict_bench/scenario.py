"""A way in which a verdict can be wrong, or right, and how often it is."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import chi2

from tuneloop import intervals

Random = np.random.Generator
Run = Callable[[Random], float]
"""One draw with known truth and what was decided on it: 1 where it happened, 0 where it did not;
or how often it did."""
Figure = list[float]
"""Value, low and high end of the 95 % interval."""
Kind = Literal["ours", "power", "peers"]
TOLERANCE = 0.01
"""By so much a measured rate may exceed the declared one."""
_USUAL_RUNS = 2_000


def enough(expected: float, declared: float) -> float:
    """Times the runs where the rate that is expected is close to the declared one: so many that
    three standard errors do not lead beyond the tolerance."""
    room = declared + TOLERANCE - expected
    return max(1.0, expected * (1 - expected) * (3 / room) ** 2 / _USUAL_RUNS)


def share(found: Sequence[float]) -> Figure:
    """Of runs in which it happened or not; Wilson's interval."""
    return intervals.share(sum(found), len(found)).as_list()[:3]


def mean(found: Sequence[float]) -> Figure:
    """Of counts, with the wider of the intervals of their spread and of Poisson (Garwood)."""
    n, total = len(found), sum(found)
    value = total / n
    half = 1.96 * float(np.std(found, ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    low = float(chi2.ppf(0.025, 2 * total)) / 2 / n if total else 0.0
    high = float(chi2.ppf(0.975, 2 * total + 2)) / 2 / n
    return [value, max(0.0, min(low, value - half)), max(high, value + half)]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is drawn, who decides, and what is declared of it."""

    name: str
    """the rule that decides, what is drawn, what must not happen"""
    run: Run
    declared: float | None = None
    """how often it happens at most; None: nothing is promised, and it is shown beside"""
    kind: Kind = "ours"
    """`ours`: an error of a declared rate; `power`: what is wanted; `peers`: others' rules"""
    times: float | None = None
    """so many times the runs that are asked for: more where chance alone would exceed the declared
    rate, fewer where a run takes long; None: all, and half where nothing is declared"""
    figure: Callable[[Sequence[float]], Figure] = share
    """what is made of all runs"""

    def runs(self, asked: int) -> int:
        """How many there are; two at least."""
        times = self.times or (0.5 if self.declared is None else 1.0)
        return max(2, round(asked * times))

    def found(self, first: int, last: int) -> list[float]:
        """What the runs from `first` up to `last` came to; each has a seed of its own, so that it
        does not matter in which process it is made."""
        seed = zlib.crc32(self.name.encode())
        return [float(self.run(np.random.default_rng([seed, i]))) for i in range(first, last)]
