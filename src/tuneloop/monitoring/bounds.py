"""How sure a figure is at the level of an alert, which is far beyond the 95 % that people are told.

At one false alarm in thousands of looks an approximation that is good at 95 % is off by a factor:
Wilson's bound passes a limit of 2 % with 4 of 30 in 1 of 400 windows instead of 1 in 4,000. So a
share has the exact bound of Clopper and Pearson (1934, Biometrika 26), at the effective sample size
where cases count unequally (Korn and Graubard 1998, Survey Methodology 24), a mean Student's, and
an `Estimate` brings its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from tuneloop import intervals
from tuneloop.intervals import Figure

SHARES = ("share", "score")
"""Units whose figures in 0..1 have Wilson's interval."""


@dataclass(frozen=True, kw_only=True)
class Estimate(Figure):
    """A figure that tells its own bounds at any level."""

    at: Callable[[float], tuple[float, float]] = field(repr=False, compare=False)
    """Level of each side, 0..0.5 → lower and upper bound."""


def bounds(figure: Figure, level: float, *, unit: str) -> tuple[float, float]:
    """The one-sided lower and upper bounds, each missed by the truth with the chance `level`.

    A figure whose interval has no width is known for certain.
    """
    if isinstance(figure, Estimate):
        return figure.at(level)
    if figure.low == figure.high:
        return figure.value, figure.value
    if unit in SHARES and 0 <= figure.value <= 1 and figure.low >= 0 and figure.high <= 1:
        return exact_share(figure.value, effective_cases(figure), level)
    return _student(figure, level)


def exact_share(value: float, n: float, level: float) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a share of `n` > 0 independent cases, whole or not."""
    from scipy.special import betaincinv

    hits = min(n, max(0.0, value * n))
    low = 0.0 if hits <= 0 else float(betaincinv(hits, n - hits + 1, level))
    high = 1.0 if hits >= n else 1 - float(betaincinv(n - hits, hits + 1, level))
    return min(low, value), max(high, value)


def student(level: float, degrees: int) -> float:
    """The quantile of Student's t that is passed with the chance `level`."""
    from scipy.special import stdtrit

    return -float(stdtrit(degrees, level))


def effective_cases(figure: Figure) -> float:
    """The n whose Wilson interval is as wide as the figure's, which is not always its number.

    With h half the width and x = z² / n: h² (1 + x)² = p (1 - p) x + x² / 4.
    """
    half = (figure.high - figure.low) / 2
    spread = figure.value * (1 - figure.value)
    z = intervals.two_sided_z(intervals.CONFIDENCE)
    a, b, c = half**2 - 0.25, 2 * half**2 - spread, half**2
    if a >= 0:  # The whole of 0..1: next to nothing is known.
        return 1.0
    x = (-b - math.sqrt(b * b - 4 * a * c)) / (2 * a)
    return z * z / x


def _student(figure: Figure, level: float) -> tuple[float, float]:
    """Each side of the 95 % interval, as much longer as Student's quantiles are."""
    degrees = max(1, figure.n - 1)
    longer = student(level, degrees) / student((1 - intervals.CONFIDENCE) / 2, degrees)
    return (
        figure.value - longer * (figure.value - figure.low),
        figure.value + longer * (figure.high - figure.value),
    )
