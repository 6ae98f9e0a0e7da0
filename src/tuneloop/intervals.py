"""How sure a figure is: every measured value comes with an interval and its sample size.

Shares of pass/fail outcomes get Wilson's score interval (E. B. Wilson 1927, "Probable inference,
the law of succession, and statistical inference", JASA 22; recommended for small n by Brown, Cai
and DasGupta 2001, Statistical Science 16). Means of graded scores get a seeded percentile bootstrap
(Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13). Quantiles, such as a
p95 latency, get the distribution-free interval between order statistics (Conover 1999, "Practical
Nonparametric Statistics", section 3.2). What a decision stands on is a one-sided bound with an
error rate of its own: for a share the exact one (Clopper and Pearson 1934, "The use of confidence
or fiducial limits illustrated in the case of the binomial", Biometrika 26), for the difference of
two paired shares the score test's (Tango 1998, "Equivalence test and confidence interval for the
difference in proportions for the paired-sample design", Statistics in Medicine 17).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 2_000
BOOTSTRAP_SEED = 20_261_123
_DRAWS_AT_ONCE = 100
_ALIKE = 1e-9
"""Scores that differ by less are one and the same."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value with its confidence interval."""

    value: float
    low: float
    """lower end of the 95 % interval"""
    high: float
    """upper end of the 95 % interval"""
    n: int
    """independent cases behind the value"""

    def as_list(self) -> list[float]:
        """`[value, low, high, n]`, the form of the one-line result files."""
        return [self.value, self.low, self.high, self.n]


def two_sided_z(confidence: float) -> float:
    """The standard normal quantile of a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def share(successes: float, n: int, *, confidence: float = CONFIDENCE) -> Figure:
    """The share `successes / n` with Wilson's score interval; a graded success counts in part.

    Raises:
        ValueError: when `n` is 0 or `successes` is outside 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    z = two_sided_z(confidence)
    value = successes / n
    denominator = 1 + z * z / n
    centre = (value + z * z / (2 * n)) / denominator
    half = z / denominator * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    # The ends are exact at 0 and n; rounding must not push the value out of its own interval.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Figure(value=value, low=low, high=high, n=n)


def lower_bound_of_share(successes: float, n: float, *, level: float) -> float:
    """The exact one-sided lower bound of a share: the truth lies below it in `level` at most.

    Counts of clusters may be parts, see `evaluation.clusters.design_effect`.
    """
    from scipy.stats import beta

    if successes <= 0:
        return 0.0
    return float(beta.ppf(level, successes, n - successes + 1))


def paired_score_z(won: Any, lost: Any, n: Any, difference: float) -> Any:
    """Tango's score statistic for won / n - lost / n > `difference`; more speaks for it.

    `won` and `lost` are pairs that changed sides, numbers or arrays of one shape; parts of counts
    are allowed. Its tail under the normal distribution is the p-value, one-sided. Where no variance
    is left it is infinite.
    """
    import numpy as np

    won, lost = np.asarray(won, np.float64), np.asarray(lost, np.float64)
    b = -won - lost + (2 * n - won + lost) * difference
    c = -lost * difference * (1 - difference)
    lost_share = (np.sqrt(np.maximum(b * b - 8 * n * c, 0)) - b) / (4 * n)
    variance = n * (2 * lost_share + difference * (1 - difference))
    gap = won - lost - n * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        z = gap / np.sqrt(np.maximum(variance, 0))
    return np.where(variance > 1e-12, z, np.where(gap > 0, np.inf, -np.inf))


@lru_cache(maxsize=10_000)  # it is a search, and cases come out in few ways
def paired_lower_bound(
    won: float, lost: float, n: float, *, level: float, groups: int | None = None
) -> float:
    """The lower bound of the difference of two paired shares: Tango's score test, inverted.

    The truth lies below it in `level` at most. Of cases in `groups` Student's distribution takes
    the place of the normal one, as the spread between few groups is itself uncertain.
    """
    from scipy.stats import t

    if groups is not None and groups < 2:
        return -1.0
    z = NormalDist().inv_cdf(1 - level) if groups is None else float(t.ppf(1 - level, groups - 1))
    low, high = -1.0, (won - lost) / n
    if not float(paired_score_z(won, lost, n, low + 1e-9)) >= z:
        return -1.0
    for _ in range(40):
        middle = (low + high) / 2
        if float(paired_score_z(won, lost, n, middle)) >= z:
            low = middle
        else:
            high = middle
    return low


def lower_bound_of_mean(
    values: Sequence[float], clusters: Sequence[Hashable], *, level: float
) -> float:
    """The one-sided lower bound of a mean by Student's distribution, clusters being the units.

    `clusters` names the cluster of each value; the variance is that of the clusters' sums around
    the mean (the ratio estimator, Cochran 1977, section 6.3). -1, the lowest difference of scores,
    where there are fewer than two clusters. Where all clusters are alike they show no spread: the
    bound is that of as many pairs of which none changed sides.
    """
    from scipy.stats import t

    sums: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums.setdefault(cluster, []).append(value)
    n, m = len(values), len(sums)
    if m < 2:
        return -1.0
    middle = math.fsum(values) / n
    spread = math.fsum((math.fsum(of) - len(of) * middle) ** 2 for of in sums.values())
    if spread < 1e-12:
        return middle + paired_lower_bound(0, 0, m, level=level)
    error = math.sqrt(spread * m / (m - 1)) / n
    return middle - float(t.ppf(1 - level, m - 1)) * error


def mean(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Figure:
    """The mean of scores in 0..1: Wilson where all are pass/fail, else a seeded bootstrap.

    One graded score alone says nothing about the others, so its interval is the whole range. Where
    all are one graded score, drawing them again shows no spread: others than seen may be as many as
    Wilson's upper end of none in n says, and anywhere in the range.

    Raises:
        ValueError: when there are no values.
    """
    if not values:
        raise ValueError("expected at least one value")
    if all(value in (0.0, 1.0) for value in values):
        return share(int(sum(values)), len(values), confidence=confidence)
    middle = math.fsum(values) / len(values)
    if len(values) == 1:
        return Figure(value=middle, low=0.0, high=1.0, n=1)
    if max(values) - min(values) < _ALIKE:
        unseen = share(0, len(values), confidence=confidence).high
        low, high = middle * (1 - unseen), middle + (1 - middle) * unseen
    else:
        low, high = bootstrap_mean_interval(values, confidence=confidence)
    return Figure(value=middle, low=min(low, middle), high=max(high, middle), n=len(values))


def f1(
    *, right: int, wrong: int, missing: int, invented: int, confidence: float = CONFIDENCE
) -> Figure:
    """F1 of a value that is extracted: the harmonic mean of precision and recall.

    Precision is `right / (right + wrong + invented)`, recall `right / (right + wrong + missing)`,
    so F1 is `2 right / (2 right + 2 wrong + missing + invented)` (van Rijsbergen 1979). It is no
    share of cases, a wrong value counts against both: its interval is a seeded percentile bootstrap
    of the cases. Where all are right, or none, drawing them again shows no spread; there F1 equals
    the share of right cases, whose interval by Wilson takes its place.

    Raises:
        ValueError: when there are no cases.
    """
    import numpy as np

    n = right + wrong + missing + invented
    if right in (0, n):
        return share(right, n, confidence=confidence)

    def of(counts: Any) -> Any:
        # (..., 4): right, wrong, missing, invented
        twice = 2 * counts[..., 0]
        return twice / (twice + 2 * counts[..., 1] + counts[..., 2] + counts[..., 3])

    seen = np.array([right, wrong, missing, invented])
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    tail = (1 - confidence) / 2
    low, high = np.quantile(
        of(rng.multinomial(n, seen / n, size=BOOTSTRAP_RESAMPLES)), [tail, 1 - tail]
    )
    value = float(of(seen))
    return Figure(value=value, low=min(float(low), value), high=max(float(high), value), n=n)


def pooled_share(
    parts: Sequence[float], wholes: Sequence[float], *, confidence: float = CONFIDENCE
) -> Figure:
    """The share of all parts in all wholes, `sum(parts) / sum(wholes)`; one of each for a case.

    What stands in one answer is not independent: the ratio estimator of cluster sampling with its
    linearised variance (Cochran 1977, "Sampling Techniques", section 6.3), told as Wilson's
    interval of as many independent parts as would be as noisy (the design effect of Kish 1965,
    "Survey Sampling"), never more than there are. Without a variance it is that of as many as there
    are cases with a whole. A case may have a whole of 0, which adds nothing to the share; without
    any whole the share is 0.

    Raises:
        ValueError: when there is no case, or a part is outside 0..whole.
    """
    if not parts or any(not 0 <= part <= of for part, of in zip(parts, wholes, strict=True)):
        raise ValueError("expected cases with 0 <= part <= whole")
    n, total = len(parts), math.fsum(wholes)
    value = min(1.0, math.fsum(parts) / total) if total else 0.0
    if sum(whole > 0 for whole in wholes) == 1 and 0 < value < 1:
        return Figure(value=value, low=0.0, high=1.0, n=n)
    like = max(1, round(independent_parts(parts, wholes)))
    worth = share(value * like, like, confidence=confidence)
    return Figure(value=value, low=min(worth.low, value), high=max(worth.high, value), n=n)


def independent_parts(parts: Sequence[float], wholes: Sequence[float]) -> float:
    """How many independent parts would be as noisy as these, see `pooled_share`."""
    total = math.fsum(wholes)
    value = min(1.0, math.fsum(parts) / total) if total else 0.0
    speaking = sum(whole > 0 for whole in wholes) or len(wholes)
    spread = math.fsum((p - value * w) ** 2 for p, w in zip(parts, wholes, strict=True))
    if speaking == 1 or not (0 < value < 1 and spread):
        return float(speaking)
    variance = spread * speaking / (speaking - 1) / total**2
    return min(total, value * (1 - value) / variance)


def bootstrap_mean_interval(
    values: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = BOOTSTRAP_SEED
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; the same values always give the same ends."""
    import numpy as np

    data = np.asarray(values, dtype=np.float64)  # (n,)
    rng = np.random.default_rng(seed)
    means = np.empty(BOOTSTRAP_RESAMPLES)  # (resamples,)
    for i in range(BOOTSTRAP_RESAMPLES):
        means[i] = data[rng.integers(0, len(data), len(data))].mean()
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def cluster_bootstrap_mean_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    confidence: float = CONFIDENCE,
    seed: int = BOOTSTRAP_SEED,
) -> tuple[float, float]:
    """Bootstrap interval of the mean of values that come in clusters, each drawn as a whole.

    `clusters` names the cluster of each value. The mean of a draw is its sum by its number of
    values (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8). There
    are fewer clusters than values, so the percentiles are those that widen it for a small sample
    (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", The American Statistician 69,
    section 4.4: expanded percentiles).

    Raises:
        ValueError: there are fewer than two clusters, which show no spread.
    """
    import numpy as np
    from scipy.stats import t

    number = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    m = len(number)
    if m < 2:
        raise ValueError(f"expected at least two clusters, got {m}")
    of = np.asarray([number[cluster] for cluster in clusters])  # (n,)
    sums = np.bincount(of, weights=np.asarray(values, dtype=np.float64), minlength=m)  # (m,)
    sizes = np.bincount(of, minlength=m)  # (m,)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(BOOTSTRAP_RESAMPLES // _DRAWS_AT_ONCE):
        drawn = rng.integers(0, m, (_DRAWS_AT_ONCE, m))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    reach = math.sqrt(m / (m - 1)) * float(t.ppf(0.5 + confidence / 2, m - 1))
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def order_statistic(values: Sequence[float], q: float) -> float:
    """The smallest value with at least the share `q` of all at or below it (nearest rank).

    Raises:
        ValueError: when there are no values.
    """
    if not values:
        raise ValueError("expected at least one value")
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def quantile(values: Sequence[float], q: float, *, confidence: float = CONFIDENCE) -> Figure:
    """The `q` quantile (0.95 for p95) with the interval between order statistics.

    Where the sample is too small for the interval to close, its ends are the smallest and the
    largest value seen, and `quantile_coverage` says how little that holds.

    Raises:
        ValueError: when there are no values.
    """
    if not values:
        raise ValueError("expected at least one value")
    ordered = sorted(values)
    low, at, high = quantile_ranks(len(ordered), q, confidence=confidence)
    return Figure(value=ordered[at], low=ordered[low], high=ordered[high], n=len(ordered))


def quantile_ranks(n: int, q: float, *, confidence: float = CONFIDENCE) -> tuple[int, int, int]:
    """Which of `n` ordered values, counted from 0, are `quantile`'s lower end, value, upper end."""
    from scipy.stats import binom

    tail = (1 - confidence) / 2
    at = max(0, math.ceil(q * n) - 1)
    low = max(0, int(binom.ppf(tail, n, q)) - 1)
    high = min(n - 1, int(binom.ppf(1 - tail, n, q)))
    return min(low, at), at, max(high, at)


def quantile_coverage(n: int, q: float, *, confidence: float = CONFIDENCE) -> float:
    """How often the interval of `quantile` holds the true one: exact, of independent values.

    Less than `confidence` where `n` values are too few for the interval to close: of 60 the p99 may
    well be above the largest.
    """
    from scipy.stats import binom

    low, _, high = quantile_ranks(n, q, confidence=confidence)
    return float(binom.cdf(high, n, q) - binom.cdf(low, n, q))
