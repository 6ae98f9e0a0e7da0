"""How sure a measured share or quantile is: 95 % intervals with their sample size.

Shares get Wilson's score interval (E. B. Wilson 1927, "Probable inference, the law of succession,
and statistical inference", JASA 22; recommended by Brown, Cai and DasGupta 2001, Statistical
Science 16). Quantiles get the distribution-free interval between order statistics (Conover 1999,
"Practical Nonparametric Statistics", section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Cases behind the value."""


def share(successes: int, n: int) -> Figure:
    """The share `successes / n` with Wilson's interval.

    Raises:
        ValueError: when `n` is 0 or `successes` is outside 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    value = successes / n
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    # The ends are exact at 0 and n; rounding must not push the value out of its own interval.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Figure(value=value, low=low, high=high, n=n)


def quantile(values: Sequence[float], q: float) -> Figure:
    """The `q` quantile with the interval between order statistics.

    The number of values below the true quantile is binomial (n, q). Where the sample is too small
    for the interval to close, its ends are the smallest and the largest value seen.

    Raises:
        ValueError: when there are no values.
    """
    if not values:
        raise ValueError("expected at least one value")
    from scipy.stats import binom

    ordered = sorted(values)
    n = len(ordered)
    at = max(0, math.ceil(q * n) - 1)
    low = max(0, int(binom.ppf((1 - CONFIDENCE) / 2, n, q)) - 1)
    high = min(n - 1, int(binom.ppf(0.5 + CONFIDENCE / 2, n, q)))
    return Figure(value=ordered[at], low=ordered[min(low, at)], high=ordered[max(high, at)], n=n)
