"""Several windows of one monitor as one figure: what is usual, and how far windows differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.monitoring.bounds import SHARES, effective_cases

SPREAD_FROM = 3
"""With fewer windows nothing can be said of how they differ."""
_Z = intervals.two_sided_z(intervals.CONFIDENCE)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Windows that hold different traffic, taken together."""

    figure: Figure
    spread: float
    """Standard deviation between windows beyond chance, in the figure's unit."""
    windows: int


def pool(figures: Sequence[Figure], *, unit: str) -> Pool:
    """Each window by its number of cases; at least one.

    `unit`: what they are; a share below 0, as Cliff's delta may be, is none of cases.

    Shares have Wilson's interval at the sum of their effective cases, other figures that of a
    weighted mean of independent ones, each side by itself (MOVER: Zou and Donner 2008).
    """
    of_cases = unit in SHARES and all(one.low >= 0 and one.high <= 1 for one in figures)
    return Pool(
        figure=_shares(figures) if of_cases else _means(figures),
        spread=_spread(figures),
        windows=len(figures),
    )


def _shares(figures: Sequence[Figure]) -> Figure:
    cases = [
        effective_cases(one) if one.low < one.high else float(max(1, one.n)) for one in figures
    ]
    total = sum(cases)
    value = sum(one.value * n for one, n in zip(figures, cases, strict=True)) / total
    n = max(1, round(total))
    return intervals.share(min(1.0, max(0.0, value)) * n, n)


def _means(figures: Sequence[Figure]) -> Figure:
    n = sum(one.n for one in figures)
    value = sum(one.value * one.n for one in figures) / n
    below = math.sqrt(sum((one.n * (one.value - one.low)) ** 2 for one in figures)) / n
    above = math.sqrt(sum((one.n * (one.high - one.value)) ** 2 for one in figures)) / n
    return Figure(value=value, low=value - below, high=value + above, n=n)


def _spread(figures: Sequence[Figure]) -> float:
    """Of the windows' true values (DerSimonian and Laird 1986, Controlled Clinical Trials 7)."""
    errors = [(one.high - one.low) / 2 / _Z for one in figures]
    if len(figures) < SPREAD_FROM or min(errors) <= 0:
        return 0.0
    weights = [1 / error**2 for error in errors]
    total = sum(weights)
    mean = sum(w * one.value for w, one in zip(weights, figures, strict=True)) / total
    apart = sum(w * (one.value - mean) ** 2 for w, one in zip(weights, figures, strict=True))
    beyond = apart - (len(figures) - 1)
    return math.sqrt(max(0.0, beyond / (total - sum(w * w for w in weights) / total)))
