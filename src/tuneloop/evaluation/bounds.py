"""One-sided bounds of what was measured: between them the truth lies, at a declared error rate.

An interval says how sure a figure is to a reader; a gate that must not err more often than declared
needs the bound at its own level. Cases of one group count as the independent ones they are worth.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from tuneloop import intervals
from tuneloop.evaluation.case_pairs import clusters_of
from tuneloop.evaluation.clusters import cautious_design_effect
from tuneloop.evaluation.metrics import SHARES_OF_RUN, Metric
from tuneloop.evaluation.results import SuiteResult
from tuneloop.intervals import Figure


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The truth lies below `low`, or above `high`, in the declared share of samples at most."""

    low: float
    high: float


def bounds_of(
    result: SuiteResult, metrics: Sequence[Metric], *, level: float
) -> Mapping[str, Bounds]:
    """Metric → its bounds, each at `level`; a quantile, such as a latency, has none."""
    clusters = clusters_of(result.suite)
    bounds = {
        name: _of_share(result.figures[name].value, result.figures[name].n, level)
        for name in SHARES_OF_RUN
        if name in result.figures
    }
    for metric in metrics:
        if metric.name not in result.figures:
            continue
        scored = {
            case: of.scores[metric.name]
            for case, of in result.cases.items()
            if metric.name in of.scores
        }
        scores, of_cases = list(scored.values()), [clusters[case] for case in scored]
        values = [score.value for score in scores]
        if metric.figure_at is not None:
            effect = cautious_design_effect(values, of_cases)
            wide = metric.figure_at(scores, effect, 1 - 2 * level)
            bounds[metric.name] = Bounds(low=wide.low, high=wide.high)
        elif metric.figure is not None:
            bounds[metric.name] = _widened(result.figures[metric.name], level)
        else:
            bounds[metric.name] = _of_scores(values, of_cases, level)
    return bounds


def _of_scores(values: Sequence[float], clusters: Sequence[Hashable], level: float) -> Bounds:
    if all(value in (0.0, 1.0) for value in values):
        effect = cautious_design_effect(values, clusters)
        return _of_share(sum(values) / len(values), len(values) / effect, level)
    low = intervals.lower_bound_of_mean(values, clusters, level=level)
    mirrored = [1 - value for value in values]
    high = 1 - intervals.lower_bound_of_mean(mirrored, clusters, level=level)
    return Bounds(low=max(0.0, low), high=min(1.0, high))


def _of_share(value: float, n: float, level: float) -> Bounds:
    return Bounds(
        low=intervals.lower_bound_of_share(value * n, n, level=level),
        high=1 - intervals.lower_bound_of_share((1 - value) * n, n, level=level),
    )


def _widened(figure: Figure, level: float) -> Bounds:
    """The interval of a ratio, such as F1, at another level: normal on each side of the value."""
    scale = intervals.two_sided_z(1 - 2 * level) / intervals.two_sided_z(intervals.CONFIDENCE)
    return Bounds(
        low=figure.value - (figure.value - figure.low) * scale,
        high=figure.value + (figure.high - figure.value) * scale,
    )
