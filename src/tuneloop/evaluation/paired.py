"""One metric of two targets on the same cases: how they differ, and what may be said of it.

Each case is its own control. Pass/fail metrics: McNemar's exact test (McNemar 1947, Psychometrika
12; the binomial form, e.g. Agresti 2013, "Categorical Data Analysis", section 11.1), for the size
of the difference the adjusted Wald interval of Bonett and Price (2012, Journal of Educational and
Behavioral Statistics 37), and for what is proven not to be worse Tango's score test (see
`intervals`). Graded metrics: paired bootstrap of the mean difference (Koehn 2004, EMNLP), and
Student's bound. Cases of one group are not independent: they are drawn, and turn, together (see
`clusters`).

A graded score differs a little between any two answers. By case it is won or lost where the
difference reaches the metric's tolerance, else tied; the verdict is that of the mean difference,
which no tolerance touches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

from tuneloop import intervals
from tuneloop.evaluation import clusters as clustered
from tuneloop.evaluation.decision import CLAIM_RATE, DecisionRule, points, rule_of
from tuneloop.evaluation.discernment import Discernment
from tuneloop.evaluation.metrics import Metric
from tuneloop.intervals import CONFIDENCE, Figure

ComparisonVerdict = Literal["better", "not_worse", "worse", "inconclusive"]

POWER = 0.8
LIKENESS_METRICS = ("chrf", "rouge_l", "bleu", "similarity")
"""How like a reference an answer in prose is, 0..1."""
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
    worth: float | None = None
    """as many independent cases as these of groups count for in the decision"""
    detectable: float
    """smallest true difference that this many cases would show with 80 % power"""
    warning: str = ""
    decides: bool = True
    """whether it has a say in the verdict of the comparison; fields of JSON answers have none"""
    youden: float = 1.0
    """of a judge: what it sees of a difference, by which `difference` and bounds are corrected"""
    bound: float = -1.0
    """one-sided lower bound of the difference at the level of the rule, which decides"""
    accepted: bool = False
    """whether the candidate may replace the reference, as far as this metric goes"""
    objection: str = ""
    """why not"""

    @property
    def graded(self) -> bool:
        """Whether its scores are shares and not passes and failures."""
        return self.p_value is None


def paired(
    metric: Metric,
    pairs: Sequence[tuple[float, float]],
    *,
    margin: float,
    rule: DecisionRule | None = None,
    clusters: Sequence[Hashable] | None = None,
    decides: bool = True,
    discernment: Discernment | None = None,
) -> Paired:
    """Judge one metric on (candidate, reference) scores of the same cases.

    `clusters` names the group of each pair; those of one group are not independent. Without a
    `rule` nothing is decided, and claims stand on the 95 % interval. `discernment` is that of the
    judge whose passes and failures the scores are: what is said is said of the right answers.
    """
    rule = rule or rule_of("strict", margin=margin).at(0)
    n = len(pairs)
    changes = _Changes(
        differences=differences(metric, pairs), clusters=range(n) if clusters is None else clusters
    )
    won, lost = (sum(is_ahead(s * d, metric.name) for d in changes.differences) for s in (1, -1))
    graded = any(value not in (0.0, 1.0) for pair in pairs for value in pair)
    difference = changes.mean() if graded else changes.share()
    p_value = None if graded else changes.p_value()
    claimed = changes.lower_bound(rule.claim_level / 2, graded=graded)
    bound = changes.lower_bound(rule.level, graded=graded)
    detectable = minimum_detectable_difference(changes.sums(), n)
    mine, theirs = (math.fsum(of) / n for of in zip(*pairs, strict=True))
    if discernment is not None:
        seen = difference.value
        claimed = discernment.lower_bound(seen, claimed, level=rule.claim_level / 2)
        bound = discernment.lower_bound(seen, bound, level=rule.level)
        difference = discernment.difference(difference)
        detectable = min(1.0, detectable / discernment.youden)
        mine, theirs = (_corrected(metric, discernment, of) for of in (mine, theirs))
    verdict, reason = conclude(
        difference, p_value=p_value, margin=margin, lower=claimed, level=rule.claim_level
    )
    objection = objection_to(verdict, difference.value, bound, margin=margin, rule=rule)
    return Paired(
        metric=metric.name,
        verdict=verdict,
        reason=reason,
        difference=difference,
        candidate=mine,
        reference=theirs,
        p_value=p_value,
        won=won,
        lost=lost,
        tied=n - won - lost,
        tolerance=TOLERANCES.get(metric.name, 0.0),
        clusters=None if changes.alone else changes.groups,
        worth=None if changes.alone or graded else changes.worth(),
        detectable=detectable,
        warning=_size_warning(n, detectable, margin) if verdict == "inconclusive" else "",
        decides=decides,
        youden=1.0 if discernment is None else discernment.youden,
        bound=bound,
        accepted=not objection,
        objection=objection,
    )


def _corrected(metric: Metric, discernment: Discernment, seen: float) -> float:
    """A share of what the judge passed, or of what it did not."""
    if metric.higher_is_better:
        return discernment.share(seen)
    return 1 - discernment.share(1 - seen)


def undecided(compared: Paired, why: str) -> Paired:
    """The same where it may be told, and decides nothing."""
    shown = _shown(compared.difference)
    return replace(
        compared,
        verdict="inconclusive",
        reason=f"differs by {shown}, which decides nothing: {why}",
        warning="",
        decides=False,
        accepted=False,
        objection=why,
    )


def objection_to(
    verdict: ComparisonVerdict, measured: float, bound: float, *, margin: float, rule: DecisionRule
) -> str:
    """Why a candidate may not replace what it was compared with; empty: it may.

    `measured` is the difference, `bound` its one-sided lower bound at the rule's level; more is
    better.
    """
    if verdict == "worse":
        return "it is worse"
    if measured < -margin:
        return f"it measured worse by more than the margin of {points(margin)}"
    if bound <= -rule.worse_by:
        return (
            f"the cases are too few to rule out that it is {points(rule.worse_by)} worse "
            f"(at least {bound:+.3f}, in {1 - rule.level:.1%} of such cases)"
        )
    return ""


def conclude(
    difference: Figure,
    *,
    p_value: float | None,
    margin: float,
    lower: float | None = None,
    level: float = CLAIM_RATE,
) -> tuple[ComparisonVerdict, str]:
    """The verdict on a difference where more is better.

    `lower` is its lower bound at `level` (two-sided), which is that of the interval where nothing
    else is said. That it is better, and that it is not worse, are claims and stand on `level`; that
    it is worse stands on the 95 % interval: nobody is harmed by a second look at a suite there.
    """
    lower = difference.low if lower is None else lower
    shown = _shown(difference)
    if difference.value > 0 and (p_value < level if p_value is not None else lower > 0):
        return "better", f"better by {shown}"
    if lower > -margin:
        return "not_worse", f"differs by {shown}, which is within the margin of {margin:g}"
    lost = p_value < CLAIM_RATE if p_value is not None else difference.high < 0
    if difference.value < 0 and lost:
        return "worse", f"worse by {shown}"
    return (
        "inconclusive",
        f"differs by {shown}: it may be worse by more than the margin of {margin:g}",
    )


def _shown(difference: Figure) -> str:
    return (
        f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f}, "
        f"n = {difference.n})"
    )


@lru_cache(maxsize=10_000)
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


def differences(metric: Metric, pairs: Collection[tuple[float, float]]) -> list[float]:
    """Candidate minus reference, turned so that more is better."""
    sign = 1 if metric.higher_is_better else -1
    return [sign * (a - b) for a, b in pairs]


def is_ahead(difference: float, metric: str) -> bool:
    """Whether a case is won by so much that it counts as won."""
    # Of two-digit scores 0.52 - 0.50 is a little less than 0.02.
    return difference > 0 and difference >= TOLERANCES.get(metric, 0.0) - 1e-9


@dataclass(frozen=True, kw_only=True)
class _Changes:
    """The differences of the cases, and which of them belong together."""

    differences: Sequence[float]
    clusters: Sequence[Hashable]

    @property
    def groups(self) -> int:
        return len(set(self.clusters))

    @property
    def alone(self) -> bool:
        """Whether every case stands alone."""
        return self.groups == len(self.differences)

    def sums(self) -> Sequence[float]:
        """The differences of what is independent."""
        if self.alone:
            return self.differences
        return [total for total, _ in clustered.totals(self.differences, self.clusters)]

    def p_value(self) -> float:
        """That wins and losses are as likely."""
        if self.alone:
            return mcnemar_exact(self.differences.count(1.0), self.differences.count(-1.0))
        return clustered.sign_flip_p([round(d) for d in self.differences], self.clusters)

    def mean(self) -> Figure:
        """The mean difference of graded scores."""
        n = len(self.differences)
        value = math.fsum(self.differences) / n
        if self.groups == 1:
            return Figure(value=value, low=-1.0, high=1.0, n=n)
        if max(self.differences) - min(self.differences) < 1e-9:
            # None turned out otherwise than the others: as of so many pairs without a change.
            reach = intervals.paired_lower_bound(
                0, 0, self.groups, level=(1 - intervals.CONFIDENCE) / 2
            )
            low, high = max(-1.0, value + reach), min(1.0, value - reach)
            return Figure(value=value, low=low, high=high, n=n)
        low, high = (
            intervals.bootstrap_mean_interval(self.differences)
            if self.alone
            else intervals.cluster_bootstrap_mean_interval(self.differences, self.clusters)
        )
        return Figure(value=value, low=min(low, value), high=max(high, value), n=n)

    def share(self) -> Figure:
        """The difference of two shares; of groups, as of so many independent cases."""
        won, lost, n = self._worth(clustered.design_effect)
        return replace(
            paired_share_difference(won, lost, n),
            value=math.fsum(self.differences) / len(self.differences),
            n=len(self.differences),
        )

    def lower_bound(self, level: float, *, graded: bool) -> float:
        """The difference is smaller in `level` of such samples at most."""
        if graded:
            return intervals.lower_bound_of_mean(self.differences, self.clusters, level=level)
        won, lost, n = self._worth(clustered.cautious_design_effect)
        groups = None if self.alone else self.groups
        return intervals.paired_lower_bound(won, lost, n, level=level, groups=groups)

    def worth(self) -> float:
        """As how many independent passes and failures they count in the decision."""
        return self._worth(clustered.cautious_design_effect)[2]

    def _worth(
        self, effect_of: Callable[[Sequence[float], Sequence[Hashable]], float]
    ) -> tuple[float, float, float]:
        """Cases won, lost and all, as so many independent ones as they are worth."""
        effect = 1.0 if self.alone else effect_of(self.differences, self.clusters)
        won, lost = self.differences.count(1.0), self.differences.count(-1.0)
        return won / effect, lost / effect, len(self.differences) / effect


def _size_warning(n: int, detectable: float, margin: float) -> str:
    if detectable <= margin or margin <= 0:
        return ""
    needed = math.ceil((n + 2) * (detectable / margin) ** 2)
    return (
        f"{n} cases show a difference of {detectable:.3f} or more; the margin of {margin:g} "
        f"would take about {needed} cases"
    )
