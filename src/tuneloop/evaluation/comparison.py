"""Whether a candidate is better than, not worse than or worse than what is in production.

Both answer the same cases; `paired` says what each metric shows, `decision` how often the verdict
may err. A case that the reference was trained on is known to it and does not count: it would be
compared with what it learnt by heart. One that the reference did not answer, such as a time-out, is
no case that the candidate won. Where either failed on more than `FAILURES` of the cases, the server
is what was measured: nothing is compared.

Not worse means that the one-sided lower bound of the difference lies above minus the margin (the
usual non-inferiority rule, at the level that the look leaves).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from tuneloop.errors import EvaluationError
from tuneloop.evaluation import watched
from tuneloop.evaluation.case_pairs import CasePairs, case_pairs, scores_of_both
from tuneloop.evaluation.decision import DecisionRule
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.paired import (
    LIKENESS_METRICS,
    ComparisonVerdict,
    Paired,
    undecided,
)
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.subgroups import Subgroup
from tuneloop.evaluation.suites import REGRESSIONS
from tuneloop.modelfile.sections.evaluation import FORGETTING

FAILURES = 0.02
"""Share of the cases without an answer, of either side, above which nothing is compared."""
MAIN_METRICS = ("correct", "accuracy")
"""The verdict is that of the first of these that exists."""
GUARD_METRICS = ("accuracy", "format", "abstention_recall", "over_abstention")
"""A candidate that is worse in one of these is worse; Holm's correction keeps them from saying so
of an equal one more often than one of them would."""
PROSE_GUARD_METRICS = ("answered", "no_loops", "in_language", "ungrounded")
"""The same of a task whose answers are prose."""
TOLD_METRICS = (
    *(*LIKENESS_METRICS, *PROSE_GUARD_METRICS, "length_fit"),
    *watched.NAMES,
)
"""These are compared wherever they are measured, also where they decide nothing."""


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
    rule: DecisionRule
    """what the decision stands on"""
    accepted: bool
    """whether the candidate may replace the reference, as far as this suite goes"""
    objection: str = ""
    """why not"""
    decides: bool = True
    """whether it has a say in the decision; regressions have none"""
    subgroups: tuple[Subgroup, ...] = ()
    """the slices of the suite, each compared by itself, the worst first; see `subgroups`"""
    subgroups_too_small: int = 0
    """slices that count too few cases to be compared"""
    warnings: tuple[str, ...] = ()
    """what seems lost on a slice or a guard, but not for sure"""
    alarms: tuple[str, ...] = ()
    """what tuning cost for sure beside the task, see `watched`"""
    watches: bool = False
    """whether it is about that alone"""
    remark: str = ""
    """why it tells less than it seems to"""

    @property
    def main(self) -> Paired:
        """The metric that the verdict is about."""
        return next(p for p in self.metrics if p.metric == self.main_metric)

    @property
    def slices_lost(self) -> tuple[str, ...]:
        """What is said of each slice that is worse for sure."""
        return tuple(one.sentence for one in self.subgroups if one.verdict == "worse")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a candidate stands against one reference on all suites together."""

    verdict: ComparisonVerdict
    reason: str
    difference: float
    """candidate minus reference on the main metric of the main suite; more is better"""
    warnings: Sequence[str] = ()
    """slices, guards and suites on which it did worse, but on too few cases to be sure"""
    accepted: bool | None = None
    """whether it may replace the reference; None: evaluated before there was a declared rate"""
    objection: str = ""
    """why not"""
    rule: Mapping[str, Any] | None = None
    """name, worse_by, rate, level and look of the rule"""
    alarms: Sequence[str] = ()
    """what tuning cost for sure beside the task: refusals of what harms, general ability"""


def standing(comparisons: Sequence[Comparison]) -> Standing:
    """The main suite, which comes first, decides; being worse on another one is worse too.

    Regressions have no say: production failed them by construction. What watches the tuning has
    none either, and raises alarms.
    """
    main, *rest = comparisons
    others = [comparison for comparison in rest if comparison.decides]
    worse = [comparison for comparison in others if comparison.verdict == "worse"]
    unsure = [o for o in others if o.verdict == "inconclusive" and o.main.difference.value < 0]
    verdict, reason, objection = main.verdict, main.reason, main.objection
    if worse and verdict != "worse":
        verdict, reason = "worse", "; ".join(_on_suite(comparison) for comparison in worse)
        objection = "it is worse on another suite"
    rule = main.rule
    return Standing(
        verdict=verdict,
        reason=reason,
        difference=main.main.difference.value,
        warnings=(
            *main.warnings,
            *(f"on suite {o.suite!r} {said}" for o in others for said in o.warnings),
            *(_on_suite(comparison) for comparison in unsure),
        ),
        accepted=not objection,
        objection=objection,
        rule={
            "name": rule.name,
            "worse_by": rule.worse_by,
            "rate": rule.rate,
            "level": rule.level,
            "look": rule.look,
        },
        alarms=[f"on suite {of.suite!r}: {said}" for of in comparisons for said in of.alarms],
    )


def can_compare(
    candidate: SuiteResult,
    reference: SuiteResult,
    *,
    known: Collection[str] = (),
    main_metrics: Sequence[str] = MAIN_METRICS,
) -> bool:
    """Whether some case that is not `known` has a score for both that one can decide by, or that
    tells what the tuning cost."""
    main_metrics = watched.main_metrics(candidate, main_metrics) or main_metrics
    return any(scores_of_both(candidate, reference, name, known) for name in main_metrics)


def compare(
    candidate: SuiteResult,
    reference: SuiteResult,
    *,
    label: str,
    metrics: Sequence[Metric],
    margin: float,
    rule: DecisionRule,
    known: Collection[str] = (),
    main_metrics: Sequence[str] = MAIN_METRICS,
    guards: Sequence[str] = GUARD_METRICS,
    objections: Mapping[str, str] = MappingProxyType({}),
    forgetting: float = FORGETTING,
) -> Comparison:
    """Compare two results on the same suite; `known` are cases that the reference was trained on.

    The first of `main_metrics` that both have decides; being worse in one of `guards`, or in a
    metric of the user's own, is worse. What else is compared is told and decides nothing, nor do
    the metrics that there are `objections` to. A suite that only watches the tuning is compared by
    its own metrics, see `watched`; `forgetting` is the share of general questions that may be lost
    before there is an alarm.

    Raises:
        EvaluationError: the suites differ, or no metric counts a case of both.
    """
    _require_same_cases(candidate, reference, label)
    watches = watched.main_metrics(candidate, main_metrics)
    if watches:
        main_metrics, guards = watches, ()
    wanted = {*main_metrics, *guards}
    chosen = [m for m in metrics if m.name in wanted or m.source_digest or _is_told(m)]
    cases = case_pairs(candidate, reference, chosen, known={*known, *_failed(reference)})
    left_out = sum(case in known for case in candidate.cases)
    main_metric = _main_metric(main_metrics, cases, objections)
    if main_metric is None:
        raise _nothing_to_compare(candidate.suite.name, label, left_out)
    deciding = {main_metric, *guards, *(m.name for m in metrics if m.source_digest)}
    deciding = set() if watches else deciding - objections.keys()
    compared = {
        name: cases.paired(name, margin=margin, rule=rule, decides=name in deciding)
        for name in cases.metrics
    }
    compared |= {
        name: undecided(compared[name], objections[name]) for name in objections if name in compared
    }
    found = _found(cases, compared, main_metric, margin=margin, rule=rule)
    if unfair := _too_many_failures(candidate, reference, label):
        found = replace(found, verdict="inconclusive", reason=unfair, objection=unfair, warnings=())
    won, lost = cases.changed(main_metric)
    told = watched.in_task_form(candidate, lost)
    every = list(compared.values())
    alarms = watched.alarms(
        [] if unfair or told else every,
        label=label,
        by_chance=cases.may_be_chance(watched.guarded(every)),
        forgetting=forgetting,
    )
    return Comparison(
        suite=candidate.suite.name,
        reference=label,
        verdict=found.verdict,
        reason="; ".join(filter(None, (found.reason, _known(left_out, candidate, label), told))),
        margin=margin,
        metrics=tuple(every),
        won=won,
        lost=lost,
        left_out=left_out,
        main_metric=main_metric,
        rule=rule,
        accepted=not found.objection,
        objection=found.objection,
        decides=candidate.suite.kind != REGRESSIONS and not watches,
        subgroups=found.subgroups,
        subgroups_too_small=found.too_small,
        warnings=() if watches else found.warnings,
        alarms=tuple(alarms),
        watches=bool(watches),
        remark=told,
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the cases say, before anybody asks whether they may be compared at all."""

    verdict: ComparisonVerdict
    reason: str
    objection: str
    """why the rule does not accept the candidate; empty: it does"""
    warnings: tuple[str, ...]
    subgroups: tuple[Subgroup, ...]
    too_small: int


def _found(
    cases: CasePairs,
    compared: Mapping[str, Paired],
    main_metric: str,
    *,
    margin: float,
    rule: DecisionRule,
) -> _Found:
    """The main metric's verdict, unless a guard or a slice is worse."""
    main = compared[main_metric]
    guarding = [p for p in compared.values() if p.decides and p is not main]
    unsure = cases.may_be_chance(guarding)
    subgroups, too_small = cases.subgroups(main, margin=margin, rule=rule)
    lost_slices = [one for one in subgroups if one.verdict == "worse"]
    verdict, reason = _overall(main, [p for p in guarding if p.metric not in unsure], lost_slices)
    return _Found(
        verdict=verdict,
        reason=reason,
        objection="it is worse" if verdict == "worse" else main.objection,
        warnings=(
            *(one.sentence for one in subgroups if one.verdict == "warning"),
            *(unsure[p.metric] for p in guarding if p.metric in unsure),
        ),
        subgroups=tuple(subgroups),
        too_small=too_small,
    )


def _main_metric(
    main_metrics: Sequence[str], cases: CasePairs, objections: Collection[str]
) -> str | None:
    """The first that some case counts for; one that there are objections to only where all have."""
    measured = [name for name in main_metrics if name in cases.metrics]
    trusted = [name for name in measured if name not in objections]
    return next(iter((*trusted, *measured)), None)


def _require_same_cases(candidate: SuiteResult, reference: SuiteResult, label: str) -> None:
    if candidate.suite.digest != reference.suite.digest:
        raise EvaluationError(
            f"The candidate and {label} answered different versions of suite "
            f"{candidate.suite.name!r}; only the same cases can be compared.",
            remedy="Ask both the same suite.",
        )


def _known(left_out: int, candidate: SuiteResult, label: str) -> str:
    """What is said of cases that the reference was trained on."""
    if not left_out:
        return ""
    return f"{left_out} of {len(candidate.cases)} cases do not count: {label} was trained on them"


def _failed(result: SuiteResult) -> set[str]:
    """Cases that nobody answered."""
    return {case for case, of in result.cases.items() if of.answer.error is not None}


def _too_many_failures(candidate: SuiteResult, reference: SuiteResult, label: str) -> str:
    """Why nothing can be compared; empty: enough was answered."""
    told = []
    for name, result in (("the candidate", candidate), (label, reference)):
        failed, asked = len(_failed(result)), len(result.cases)
        if failed > FAILURES * asked:
            told.append(f"{name} did not answer {failed} of {asked} cases")
    if not told:
        return ""
    return (
        f"nothing is compared: {' and '.join(told)}, more than {FAILURES:.0%}; "
        "see to the server and evaluate again"
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


def _overall(
    main: Paired, guarding: Sequence[Paired], lost_slices: Sequence[Subgroup]
) -> tuple[ComparisonVerdict, str]:
    """The main metric's verdict, unless a guard or a slice is worse."""
    worse = [
        *(f"{p.metric} is {p.reason}" for p in guarding if p.verdict == "worse"),
        *(one.sentence for one in lost_slices),
    ]
    said = f"{main.metric} {main.reason}"
    if not worse:
        return main.verdict, said
    return "worse", "; ".join([said, *worse] if main.verdict == "worse" else worse)


def _on_suite(comparison: Comparison) -> str:
    return f"on suite {comparison.suite!r} {comparison.reason}"
