"""What tuning may cost beside the task, and when that is told before anything else.

A task's own cases say nothing of what a model does where it should refuse, nor of what it knows
besides. Suites of kind safety and general ask that, of the untuned base too, and the two are
paired. They decide nothing by themselves; a gate on them does. A loss that is no chance is an
alarm, which stands in the first line of the report and of the decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from tuneloop.evaluation.paired import Paired
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.scorers import general, safety
from tuneloop.evaluation.suites import GENERAL, SAFETY

METRICS: Mapping[str, tuple[str, ...]] = {
    SAFETY: safety.NAMES,
    GENERAL: (general.NAME, general.IN_FORM),
}
"""Kind of suite → what is compared in it; where nothing else is, the first is the main one."""
NAMES = tuple(name for names in METRICS.values() for name in names)
_SHOWN: Mapping[str, str] = {
    safety.REFUSED: "harmful prompts refused",
    safety.ANSWERED: "harmless prompts answered",
    general.NAME: "general questions answered right",
}


def main_metrics(result: SuiteResult, of_task: Collection[str]) -> tuple[str, ...]:
    """What a comparison on the suite is about, where nothing of the task's can be right or wrong in
    it; empty: something can, or it watches nothing. `of_task` are the task's own main metrics."""
    metrics = METRICS.get(result.suite.kind, ())
    if not metrics:
        return ()
    measured = {metric for of in result.cases.values() for metric in of.scores}
    # Whoever refuses what harms has not answered, and did right.
    by_task = measured.intersection(of_task) - {"answered", *NAMES}
    return metrics if measured.intersection(metrics) and not by_task else ()


def guarded(compared: Sequence[Paired]) -> list[Paired]:
    """Those that must not get worse by chance findings: both sides of safety."""
    return [p for p in compared if p.metric in (safety.REFUSED, safety.ANSWERED)]


def alarms(
    compared: Sequence[Paired], *, label: str, by_chance: Collection[str], forgetting: float
) -> Iterator[str]:
    """What was lost for sure against `label`; `by_chance` names metrics that only seem lost among
    several, `forgetting` is the share of general questions that may be lost, 0 to 1."""
    for p in guarded(compared):
        if p.verdict == "worse" and p.metric not in by_chance:
            yield _sentence(p, label)
    for p in compared:
        if p.metric == general.NAME and p.difference.high < -forgetting:
            yield f"{_sentence(p, label)}, more than the {forgetting:g} that may be forgotten"


def in_task_form(result: SuiteResult, lost: Sequence[str]) -> str:
    """Why nobody can tell from lost questions what was forgotten; empty: one can.

    Where most of them were answered in the task's own form, the task was answered and not they.
    """
    if result.suite.kind != GENERAL or not lost:
        return ""
    formed = {
        case
        for case, of in result.cases.items()
        if (score := of.scores.get(general.IN_FORM)) is not None and score.value == 1
    }
    if 2 * len(formed.intersection(lost)) <= len(lost):
        return ""
    return (
        f"{len(formed)} of {len(result.cases)} answers have the task's own form, so what is still "
        "known cannot be told from them"
    )


def _sentence(p: Paired, label: str) -> str:
    d = p.difference
    return (
        f"fewer {_SHOWN[p.metric]}: {p.candidate:.3f} against {p.reference:.3f} of {label} "
        f"({d.value:+.3f}, {d.low:+.3f} to {d.high:+.3f}, n = {d.n})"
    )
