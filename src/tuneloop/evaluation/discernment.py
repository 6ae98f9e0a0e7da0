"""What a judge tells apart, and what a difference that it saw says of the right answers.

A judge with sensitivity se and specificity sp that judges both sides alike sees, of a difference d
between the shares of right answers, only d (se + sp - 1); the factor is Youden's index. So what it
saw is divided by it, as a share is by Rogan and Gladen (1978, American Journal of Epidemiology
107). The bound of the ratio recovers the variances from those of its parts (MOVER-R: Donner and Zou
2012, Statistical Methods in Medical Research 21; Newcombe 2016, the same 25).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuneloop import intervals
from tuneloop.intervals import Figure


@dataclass(frozen=True, kw_only=True)
class Discernment:
    """How a judge compares with people, on answers of which there are enough."""

    sensitivity: Figure
    """share of the right answers that it passes"""
    specificity: Figure
    """share of the wrong answers that it fails"""

    @property
    def youden(self) -> float:
        """What it sees of a difference, above 0 to 1."""
        return self.sensitivity.value + self.specificity.value - 1

    def share(self, passed: float) -> float:
        """The share of right answers behind the share that it passed."""
        return min(1.0, max(0.0, (passed + self.specificity.value - 1) / self.youden))

    def lower_bound(self, seen: float, bound: float, *, level: float) -> float:
        """The true difference lies below it in about `level` of such samples at most.

        `bound` is that of the difference that was `seen`, at the same level. -1 where the labels
        are too few to say at that level that it tells right from wrong at all.
        """
        youden = self.youden
        spread = self._below(level) if bound <= 0 else self._above(level)
        a = youden**2 - spread**2
        if youden <= 0 or a <= 0:
            return -1.0
        reach = (seen * youden) ** 2 - a * (seen**2 - (seen - bound) ** 2)
        found = (seen * youden - math.sqrt(max(0.0, reach))) / a
        return min(1.0, max(-1.0, found))

    def difference(self, seen: Figure) -> Figure:
        """The difference behind the one that was seen, with its 95 % interval."""
        level = (1 - intervals.CONFIDENCE) / 2
        value = min(1.0, max(-1.0, seen.value / self.youden))
        low = self.lower_bound(seen.value, seen.low, level=level)
        high = -self.lower_bound(-seen.value, -seen.high, level=level)
        return Figure(value=value, low=min(low, value), high=max(high, value), n=seen.n)

    def _below(self, level: float) -> float:
        """How far Youden's index may lie below its value."""
        return math.hypot(*(part.value - _again(part, level).low for part in self._parts))

    def _above(self, level: float) -> float:
        return math.hypot(*(_again(part, level).high - part.value for part in self._parts))

    @property
    def _parts(self) -> tuple[Figure, Figure]:
        return self.sensitivity, self.specificity


def _again(share: Figure, level: float) -> Figure:
    """A share with its interval at another level."""
    return intervals.share(round(share.value * share.n), share.n, confidence=1 - 2 * level)
