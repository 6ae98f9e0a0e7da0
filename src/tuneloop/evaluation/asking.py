"""Whom an evaluation asks, in which order, and who is asked beside whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from tuneloop.evaluation.alongside import Alongside
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.repeatability import Repeats
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers, ask
from tuneloop.evaluation.subjects import Subject
from tuneloop.progress import Progress

LATENCY_METRICS = "latency_"
"""How the names of those begin."""

AskAgain = Callable[[SuiteResult], Repeats | None]
"""The candidate's result on the main suite in, what it said to some of it again out."""


def asked_meanwhile(plan: EvaluationPlan, labels: Iterable[str]) -> str | None:
    """Who is asked while the others are, where two servers fit on this machine: the last reference.

    Nobody where a gate judges latency: two servers share caches and memory, if not cores.
    """
    *_, last = labels
    judged = any(gate.metric.startswith(LATENCY_METRICS) for gate in plan.gate_lock.gates)
    return None if judged or last == CANDIDATE else last


def ask_everybody(
    plan: EvaluationPlan,
    subjects: Mapping[str, Subject],
    *,
    folder: Callable[[str, Subject], Path],
    ask_again: AskAgain | None,
    meanwhile: str | None,
    progress: Progress,
) -> tuple[dict[str, list[SuiteResult]], Repeats | None]:
    """What everybody answered, in the order of the subjects, and the candidate again.

    `folder` keeps the answers of a subject; `meanwhile` is asked while all others are.

    Raises:
        EvaluationError: somebody does not answer.
    """

    def asked(label: str, progress: Progress) -> list[SuiteResult]:
        subject = subjects[label]
        named = f"the {label}"
        if label == CANDIDATE and meanwhile is not None:
            named += f", and the {meanwhile} meanwhile,"
        return _results(plan, named, subject, folder(label, subject), progress)

    with Alongside[list[SuiteResult]]() as alongside:
        if meanwhile is not None:
            alongside.begin(partial(asked, meanwhile), progress)
        results = {label: asked(label, progress) for label in subjects if label != meanwhile}
        again = ask_again(results[CANDIDATE][0]) if ask_again else None
        if meanwhile is not None:
            results[meanwhile] = alongside.result()
    return {label: results[label] for label in subjects}, again


def notes_on_latency(meanwhile: str | None) -> list[str]:
    """What a reader must know of latencies that were measured while somebody else was asked."""
    if meanwhile is None:
        return []
    return [
        f"the {meanwhile} was asked while the others were: latencies are those of a machine with "
        "two servers at work; with a gate on latency, each is asked alone"
    ]


def _results(
    plan: EvaluationPlan, named: str, subject: Subject, folder: Path, progress: Progress
) -> list[SuiteResult]:
    results = []
    for suite, asked in zip(plan.suites, subject.suites(plan), strict=False):
        progress.step(
            f"Asking {named} {len(suite.cases)} cases of suite {suite.name!r}",
            keeps="the answers so far",
        )
        answers = ask(
            asked,
            subject.target,
            folder=folder,
            known=subject.known,
            concurrency=plan.concurrency,
            progress=progress,
        )
        if answers.reused:
            progress.note(f"{answers.reused} of them were answered in an earlier run")
        # The cases are those of the plan, whatever stood before them when they were asked.
        answers = replace(answers, suite=suite)
        _prepare(plan, answers, progress)
        known = subject.trained_on.get(suite.name, ())
        results.append(measure(answers, plan.metrics, known=known))
    return results


def _prepare(plan: EvaluationPlan, given: SuiteAnswers, progress: Progress) -> None:
    answered = [(case, given.answers[case.id]) for case in given.suite.cases]
    asked = [(case, answer.text) for case, answer in answered if answer.error is None]
    for metric in plan.metrics:
        if metric.prepare is not None:
            metric.prepare(asked, progress)
