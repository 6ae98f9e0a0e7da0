"""Whether a candidate is better than, not worse than or worse than what is in production.

Both answer the same cases, so each case is its own control. Pass/fail metrics: McNemar's exact
test (McNemar 1947, Psychometrika 12; the binomial form, e.g. Agresti 2013, "Categorical Data
Analysis", section 11.1) and, for the size of the difference, the adjusted Wald interval of Bonett
and Price (2012, Journal of Educational and Behavioral Statistics 37). Graded metrics: paired
bootstrap of the mean difference (Koehn 2004, EMNLP). Cases of one group are not independent: they
are drawn, and turn, together (see `clusters`).

A graded score differs a little between any two answers. By case it is won or lost where the
difference reaches the metric's tolerance, else tied; the verdict is that of the mean difference,
which no tolerance touches.

A case that the reference was trained on is known to it and does not count: it would be compared
with what it learnt by heart.

Not worse means that the lower end of the two-sided 95 % interval lies above minus the margin (the
usual non-inferiority rule, one-sided error 2.5 %).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from tuneloop import intervals
from tuneloop.errors import EvaluationError
from tuneloop.evaluation import clusters as clustered
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.results import SuiteResult
from tuneloop.intervals import CONFIDENCE, Figure

ComparisonVerdict = Literal["better", "not_worse", "worse", "inconclusive"]

POWER = 0.8
MAIN_METRICS = ("correct", "accuracy")
"""The verdict is that of the first of these that exists."""
GUARD_METRICS = ("accuracy", "format", "abstention_recall", "over_abstention")
"""A candidate that is worse in one of these is worse."""
PROSE_GUARD_METRICS = ("answered", "no_loops", "in_language", "ungrounded")
"""The same of a task whose answers are prose."""
LIKENESS_METRICS = ("chrf", "rouge_l", "bleu", "similarity")
"""How like a reference an answer in prose is, 0..1."""
TOLD_METRICS = (*LIKENESS_METRICS, *PROSE_GUARD_METRICS, "length_fit")
"""These are compared wherever they are measured, also where they decide nothing."""
TOLERANCES: Mapping[str, float] = dict.fromkeys(LIKENESS_METRICS, 0.02)
"""Metric → difference from which on a case is won or lost; of any other metric, every one.

About one word in a note of forty; see decision 0033.
"""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One metric of two targets on the same cases."""

    metric: str
    verdict: ComparisonVerdict
    reason: str
    difference: Figure
    """candidate minus reference, turned so that more is better; n is the number of pairs"""
    candidate: float
    reference: float
    p_value: float | None
    """McNemar's exact two-sided test, or `clusters.sign_flip_p`; None for graded metrics"""
    won: int
    """cases where the candidate scores higher, by `tolerance` or more"""
    lost: int
    """cases where the reference does"""
    tied: int = 0
    """the other cases: equal, or nearer to each other than the tolerance"""
    tolerance: float = 0.0
    """difference from which on a case is won or lost; 0: any"""
    clusters: int | None = None
    """independent groups of cases behind the interval; None: every case stands alone"""
    detectable: float
    """smallest true difference that this many cases would show with 80 % power"""
    warning: str = ""
    decides: bool = True
    """whether it has a say in the verdict of the comparison; fields of JSON answers have none"""

    @property
    def graded(self) -> bool:
        """Whether its scores are shares and not passes and failures."""
        return self.p_value is None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A candidate against one reference on one suite."""

    suite: str
    reference: str
    """what it is compared with: production, base"""
    verdict: ComparisonVerdict
    reason: str
    margin: float
    metrics: tuple[Paired, ...]
    won: tuple[str, ...]
    """case ids that only the candidate gets right, or does better; the clearest first"""
    lost: tuple[str, ...]
    """case ids that only the reference gets right, or does better; the clearest first"""
    left_out: int = 0
    """cases that do not count, because the reference was trained on them"""
    main_metric: str
    """what the verdict is about"""

    @property
    def main(self) -> Paired:
        """The metric that the verdict is about."""
        return next(p for p in self.metrics if p.metric == self.main_metric)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a candidate stands against one reference on all suites together."""

    verdict: ComparisonVerdict
    reason: str
    difference: float
    """candidate minus reference on the main metric of the main suite; more is better"""
    warnings: Sequence[str] = ()
    """suites on which it did worse, but on too few cases to be sure"""


def standing(comparisons: Sequence[Comparison]) -> Standing:
    """The main suite, which comes first, decides; being worse on another one is worse too."""
    main, *others = comparisons
    worse = [comparison for comparison in others if comparison.verdict == "worse"]
    unsure = [o for o in others if o.verdict == "inconclusive" and o.main.difference.value < 0]
    verdict, reason = main.verdict, main.reason
    if worse and verdict != "worse":
        verdict, reason = "worse", "; ".join(_on_suite(comparison) for comparison in worse)
    return Standing(
        verdict=verdict,
        reason=reason,
        difference=main.main.difference.value,
        warnings=tuple(_on_suite(comparison) for comparison in unsure),
    )


def can_compare(
    candidate: SuiteResult,
    reference: SuiteResult,
    *,
    known: Collection[str] = (),
    main_metrics: Sequence[str] = MAIN_METRICS,
) -> bool:
    """Whether some case that is not `known` has a reference answer and a score for both."""
    return any(_pairs(candidate, reference, name, known) for name in main_metrics)


def compare(
    candidate: SuiteResult,
    reference: SuiteResult,
    *,
    label: str,
    metrics: Sequence[Metric],
    margin: float,
    known: Collection[str] = (),
    main_metrics: Sequence[str] = MAIN_METRICS,
    guards: Sequence[str] = GUARD_METRICS,
) -> Comparison:
    """Compare two results on the same suite; `known` are cases that the reference was trained on.

    The first of `main_metrics` that both have decides; being worse in one of `guards`, or in a
    metric of the user's own, is worse. What else is compared is told and decides nothing.

    Raises:
        EvaluationError: the suites differ, or no metric counts a case of both.
    """
    if candidate.suite.digest != reference.suite.digest:
        raise EvaluationError(
            f"The candidate and {label} answered different versions of suite "
            f"{candidate.suite.name!r}; only the same cases can be compared.",
            remedy="Ask both the same suite.",
        )
    wanted = {*main_metrics, *guards}
    chosen = {m.name: m for m in metrics if m.name in wanted or m.source_digest or _is_told(m)}
    pairs = {
        name: scores for name in chosen if (scores := _pairs(candidate, reference, name, known))
    }
    main_metric = next((name for name in main_metrics if name in pairs), None)
    deciding = {main_metric, *guards, *(m.name for m in metrics if m.source_digest)}
    left_out = sum(case in known for case in candidate.cases)
    groups = {case.id: case.group for case in candidate.suite.cases if case.group}
    compared = [
        paired(
            chosen[name],
            list(of.values()),
            margin=margin,
            clusters=[groups.get(case, ("alone", case)) for case in of],
            decides=name in deciding,
        )
        for name, of in pairs.items()
    ]
    main = next((p for p in compared if p.metric == main_metric), None)
    if main is None:
        raise _nothing_to_compare(candidate.suite.name, label, left_out)
    verdict, reason = _overall(main, [p for p in compared if p.decides])
    if left_out:
        reason += (
            f"; {left_out} of {len(candidate.cases)} cases do not count: "
            f"{label} was trained on them"
        )
    won, lost = _changed(chosen[main.metric], pairs[main.metric])
    return Comparison(
        suite=candidate.suite.name,
        reference=label,
        verdict=verdict,
        reason=reason,
        margin=margin,
        metrics=tuple(compared),
        won=won,
        lost=lost,
        left_out=left_out,
        main_metric=main.metric,
    )


def paired(
    metric: Metric,
    pairs: Sequence[tuple[float, float]],
    *,
    margin: float,
    clusters: Sequence[Hashable] | None = None,
    decides: bool = True,
) -> Paired:
    """Judge one metric on (candidate, reference) scores of the same cases.

    `clusters` names the group of each pair; those of one group are not independent.
    """
    differences = _differences(metric, pairs)
    clusters = range(len(pairs)) if clusters is None else clusters
    alone = len(set(clusters)) == len(pairs)
    won, lost = (sum(_is_ahead(sign * d, metric.name) for d in differences) for sign in (1, -1))
    n = len(pairs)
    p_value: float | None = None
    if any(value not in (0.0, 1.0) for pair in pairs for value in pair):
        difference = _mean(differences) if alone else _clustered_mean(differences, clusters)
    elif alone:
        p_value = mcnemar_exact(won, lost)
        difference = paired_share_difference(won, lost, n)
    else:
        p_value = clustered.sign_flip_p([round(d) for d in differences], clusters)
        difference = _clustered_share_difference(differences, clusters)
    sums = differences if alone else [total for total, _ in clustered.totals(differences, clusters)]
    detectable = minimum_detectable_difference(sums, n)
    verdict, reason = conclude(difference, p_value=p_value, margin=margin)
    return Paired(
        metric=metric.name,
        verdict=verdict,
        reason=reason,
        difference=difference,
        candidate=math.fsum(a for a, _ in pairs) / n,
        reference=math.fsum(b for _, b in pairs) / n,
        p_value=p_value,
        won=won,
        lost=lost,
        tied=n - won - lost,
        tolerance=TOLERANCES.get(metric.name, 0.0),
        clusters=None if alone else len(set(clusters)),
        detectable=detectable,
        warning=_size_warning(n, detectable, margin) if verdict == "inconclusive" else "",
        decides=decides,
    )


def mcnemar_exact(won: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test, from the cases that changed sides."""
    if won + lost == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost, 0.5).pvalue)


def paired_share_difference(won: float, lost: float, n: float) -> Figure:
    """The difference of two paired shares with Bonett and Price's adjusted Wald interval.

    Unlike the plain Wald interval it keeps a width where nothing changed sides. Counts of clusters
    may be parts, see `clusters.design_effect`.
    """
    z = intervals.two_sided_z(CONFIDENCE)
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = z * math.sqrt(max(0.0, up + down - (up - down) ** 2) / (n + 2))
    value = (won - lost) / n
    low, high = max(-1.0, up - down - half), min(1.0, up - down + half)
    return Figure(value=value, low=min(low, value), high=max(high, value), n=round(n))


def minimum_detectable_difference(sums: Sequence[float], n: int) -> float:
    """The true mean difference that a two-sided 5 % test finds with 80 % power on `n` cases.

    `sums` are the differences of the cases, or their sums by cluster. Normal approximation with the
    spread seen; two imagined cases that changed sides, one each way, keep it from being 0 (Connor
    1987, Biometrics 43, without its second-order term).
    """
    spread = (math.fsum(d * d for d in sums) + 2) / (n + 2)
    z = intervals.two_sided_z(CONFIDENCE) + NormalDist().inv_cdf(POWER)
    return min(1.0, z * math.sqrt(spread / (n + 2)))


def conclude(
    difference: Figure, *, p_value: float | None, margin: float
) -> tuple[ComparisonVerdict, str]:
    """The verdict on a difference where more is better."""
    shown = (
        f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f}, "
        f"n = {difference.n})"
    )
    significant = p_value < 1 - CONFIDENCE if p_value is not None else None
    if difference.value > 0 and (significant if significant is not None else difference.low > 0):
        return "better", f"better by {shown}"
    if difference.low > -margin:
        return "not_worse", f"differs by {shown}, which is within the margin of {margin:g}"
    if difference.value < 0 and (significant if significant is not None else difference.high < 0):
        return "worse", f"worse by {shown}"
    return (
        "inconclusive",
        f"differs by {shown}: it may be worse by more than the margin of {margin:g}",
    )


def _nothing_to_compare(suite: str, label: str, left_out: int) -> EvaluationError:
    if left_out:
        return EvaluationError(
            f"{label} was trained on every case of suite {suite!r} that has a reference answer "
            f"({left_out} do not count), so the candidate cannot be compared with it.",
            remedy="Add rows that nobody was trained on: some of them will be held out.",
        )
    return EvaluationError(
        f"Suite {suite!r} has no case with a reference answer, "
        f"so the candidate cannot be compared with {label}."
    )


def _is_told(metric: Metric) -> bool:
    """A measure of prose, or a field of JSON answers: with twenty of them one seems worse by
    chance, so none decides.

    F1 is no mean over cases and has no pairs. A share of spans has: each case's own share, so that
    one long answer does not outweigh the others.
    """
    return metric.name in TOLD_METRICS or (bool(metric.field) and metric.figure is None)


def _overall(main: Paired, compared: Sequence[Paired]) -> tuple[ComparisonVerdict, str]:
    worse = [p for p in compared if p.verdict == "worse" and p.metric != main.metric]
    if worse and main.verdict != "worse":
        return "worse", "; ".join(f"{p.metric} is {p.reason}" for p in worse)
    return main.verdict, f"{main.metric} {main.reason}"


def _on_suite(comparison: Comparison) -> str:
    return f"on suite {comparison.suite!r} {comparison.reason}"


def _mean(differences: Sequence[float]) -> Figure:
    value = math.fsum(differences) / len(differences)
    if len(differences) == 1:
        return Figure(value=value, low=-1.0, high=1.0, n=1)
    low, high = intervals.bootstrap_mean_interval(differences)
    return Figure(value=value, low=min(low, value), high=max(high, value), n=len(differences))


def _clustered_mean(differences: Sequence[float], clusters: Sequence[Hashable]) -> Figure:
    value = math.fsum(differences) / len(differences)
    if len(set(clusters)) == 1:
        return Figure(value=value, low=-1.0, high=1.0, n=len(differences))
    low, high = intervals.cluster_bootstrap_mean_interval(differences, clusters)
    return Figure(value=value, low=min(low, value), high=max(high, value), n=len(differences))


def _clustered_share_difference(
    differences: Sequence[float], clusters: Sequence[Hashable]
) -> Figure:
    """The interval of as many independent cases as these are worth."""
    effect = clustered.design_effect(differences, clusters)
    n, won, lost = len(differences), differences.count(1.0), differences.count(-1.0)
    worth = paired_share_difference(won / effect, lost / effect, n / effect)
    return replace(worth, value=(won - lost) / n, n=n)


def _size_warning(n: int, detectable: float, margin: float) -> str:
    if detectable <= margin or margin <= 0:
        return ""
    needed = math.ceil((n + 2) * (detectable / margin) ** 2)
    return (
        f"{n} cases show a difference of {detectable:.3f} or more; the margin of {margin:g} "
        f"would take about {needed} cases"
    )


def _pairs(
    candidate: SuiteResult, reference: SuiteResult, metric: str, known: Collection[str]
) -> dict[str, tuple[float, float]]:
    """Case that counts for both → its scores, the candidate's first."""
    mine, theirs = _scores(candidate, metric), _scores(reference, metric)
    return {
        case: (score, theirs[case])
        for case, score in mine.items()
        if case in theirs and case not in known
    }


def _differences(metric: Metric, pairs: Collection[tuple[float, float]]) -> list[float]:
    """Candidate minus reference, turned so that more is better."""
    sign = 1 if metric.higher_is_better else -1
    return [sign * (a - b) for a, b in pairs]


def _is_ahead(difference: float, metric: str) -> bool:
    # Of two-digit scores 0.52 - 0.50 is a little less than 0.02.
    return difference > 0 and difference >= TOLERANCES.get(metric, 0.0) - 1e-9


def _changed(
    metric: Metric, pairs: Mapping[str, tuple[float, float]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cases won and cases lost, the greatest difference first."""
    by_case = dict(zip(pairs, _differences(metric, pairs.values()), strict=True))

    def ahead(sign: int) -> tuple[str, ...]:
        cases = [case for case, d in by_case.items() if _is_ahead(sign * d, metric.name)]
        return tuple(sorted(cases, key=lambda case: -abs(by_case[case])))

    return ahead(1), ahead(-1)


def _scores(result: SuiteResult, metric: str) -> Mapping[str, float]:
    return {
        case: case_result.scores[metric].value
        for case, case_result in result.cases.items()
        if metric in case_result.scores
    }
