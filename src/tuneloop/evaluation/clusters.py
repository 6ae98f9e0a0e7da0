"""Cases that are not independent: turns of one conversation, or rows that are nearly the same.

They say less than as many cases of their own: a figure that counts each of them alone is surer of
itself than it may be. What stands here takes the cluster for the unit; where every cluster has one
case, each rule is the plain one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

LEAST_CORRELATION = 0.17
"""Between cases of one cluster, whatever they show: about the least with which a bar that a
candidate falls short of by 5 points on 12 clusters is passed in 10 % of the times (0040)."""


def totals(values: Sequence[float], clusters: Sequence[Hashable]) -> list[tuple[float, int]]:
    """The sum of the values and their number in each cluster, in the order of its first value."""
    members: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        members.setdefault(cluster, []).append(value)
    return [(math.fsum(of), len(of)) for of in members.values()]


def sign_flip_p(differences: Sequence[int], clusters: Sequence[Hashable]) -> float:
    """Two-sided p-value that wins and losses are as likely, where clusters win and lose as one.

    Differences are 1 (won), -1 (lost) or 0. The exact randomisation test over the signs of the
    clusters' own sums (Fisher 1935, "The Design of Experiments", section 21): each may as well have
    come out the other way round. With clusters of one case it is McNemar's exact test.
    """
    sums = [abs(round(total)) for total, _ in totals(differences, clusters)]
    seen = abs(sum(differences))
    ways = {0: 1.0}  # sum over the clusters so far → its probability
    for size in filter(None, sums):
        then: dict[int, float] = {}
        for at, probability in ways.items():
            for to in (at + size, at - size):
                then[to] = then.get(to, 0.0) + probability / 2
        ways = then
    return min(1.0, math.fsum(p for total, p in ways.items() if abs(total) >= seen))


def design_effect(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """How many times wider the variance of the mean is than of as many independent values; >= 1.

    The variance between the clusters' sums around the mean against that of single values (Rao and
    Scott 1992, "A simple method for the analysis of clustered binary data", Biometrics 48), with
    their m / (m - 1). Values that are all alike show neither: there every cluster counts as one
    case.
    """
    of = totals(values, clusters)
    n, m = len(values), len(of)
    mean = math.fsum(values) / n
    alone = math.fsum((value - mean) ** 2 for value in values)
    if alone == 0 or m == 1:
        return n / m
    together = math.fsum((total - size * mean) ** 2 for total, size in of)
    return max(1.0, together / alone * m / (m - 1))


def cautious_design_effect(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """The design effect and one standard error of it more: what a decision stands on.

    The spread between few clusters is itself uncertain; a variance with m - 1 degrees of freedom
    has the relative standard error sqrt(2 / (m - 1)). Where few cases differ it is mostly not
    seen, and where none does never, so a correlation of `LEAST_CORRELATION` is taken for granted
    (1 + (size - 1) × that, Kish 1965, "Survey Sampling"; of unequal clusters the size that a case
    meets on average).
    Without the first a bad candidate passed 17 %, without the second 12 % instead of 10 % of the
    times on 12 clusters of ten with a correlation of 0.3 (docs/decisions/0040-decision.md).
    """
    sizes = Counter(clusters).values()
    m, n = len(sizes), len(values)
    if m == n:
        return 1.0
    size = sum(of * of for of in sizes) / n
    granted = 1 + (size - 1) * LEAST_CORRELATION
    if m == 1 or max(values) == min(values):
        return granted
    return max(granted, design_effect(values, clusters) * (1 + math.sqrt(2 / (m - 1))))


def worth_if_alike(clusters: Sequence[Hashable]) -> float:
    """As how many independent cases these are worth to a decision where all come out alike."""
    return len(clusters) / cautious_design_effect([1.0] * len(clusters), clusters)
