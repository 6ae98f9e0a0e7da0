"""Whom an evaluation asks, in which order, and who is asked beside whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tuneloop.evaluation.alongside import Alongside
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.repeatability import Repeats
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers, ask, is_answered
from tuneloop.evaluation.subjects import Subject
from tuneloop.progress import Progress

AskAgain = Callable[[SuiteResult], Repeats | None]
"""The candidate's result on the main suite in, what it said to some of it again out."""


def asked_meanwhile(
    plan: EvaluationPlan,
    subjects: Mapping[str, Subject],
    *,
    folder: Callable[[str, Subject], Path],
) -> str | None:
    """Who is asked while the others are, where two servers fit on this machine: the last reference.

    Nobody where a gate judges latency, for two servers share caches and memory, if not cores; and
    nobody where that reference has answered all of it before.
    """
    *_, (label, subject) = subjects.items()
    if label == CANDIDATE or plan.judges_latency:
        return None
    kept = folder(label, subject)
    answered = (
        is_answered(suite, subject.target_for(suite), folder=kept, known=subject.known)
        for suite in subject.suites(plan)
    )
    return None if all(answered) else label


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

    `folder` keeps the answers of a subject; `meanwhile` is asked while all others are. Whoever was
    asked on which thread, answers are scored on this one: scorers need not be made for several.

    Raises:
        EvaluationError: somebody does not answer.
    """

    def asked(label: str, progress: Progress) -> list[SuiteAnswers]:
        kept = folder(label, subjects[label])
        return _asked(plan, label, subjects[label], kept, progress, meanwhile=meanwhile)

    def scored(label: str, answers: Sequence[SuiteAnswers]) -> list[SuiteResult]:
        return _scored(plan, subjects[label], answers, progress)

    with Alongside[list[SuiteAnswers]]() as alongside:
        if meanwhile is not None:
            alongside.begin(partial(asked, meanwhile), progress)
        results = {
            label: scored(label, asked(label, progress)) for label in subjects if label != meanwhile
        }
        again = ask_again(results[CANDIDATE][0]) if ask_again else None
        if meanwhile is not None:
            results[meanwhile] = scored(meanwhile, alongside.result())
    return {label: results[label] for label in subjects}, again


def notes_on_latency(meanwhile: str | None) -> list[str]:
    """What a reader must know of latencies that were measured while somebody else was asked."""
    if meanwhile is None:
        return []
    return [
        f"the {meanwhile} was asked while the others were: latencies are those of a machine with "
        "two servers at work; with a gate on latency, each is asked alone"
    ]


def _asked(
    plan: EvaluationPlan,
    label: str,
    subject: Subject,
    folder: Path,
    progress: Progress,
    *,
    meanwhile: str | None,
) -> list[SuiteAnswers]:
    answers = []
    also = f", and the {meanwhile} meanwhile," if meanwhile and label == CANDIDATE else ""
    suites = {suite.name: suite for suite in plan.suites}
    who = label if label == "production" else f"the {label}"
    for served in subject.suites(plan):
        progress.step(
            f"Asking {who}{also} {len(served.cases)} cases of suite {served.name!r}",
            keeps="the answers so far",
        )
        also = ""  # said once
        given = ask(
            served,
            subject.target_for(served),
            folder=folder,
            known=subject.known,
            alone=plan.judges_latency and label == CANDIDATE,
            beside=meanwhile is not None,
            concurrency=plan.concurrency,
            progress=progress,
        )
        if given.reused:
            progress.note(f"{given.reused} of them were answered in an earlier run")
        # The cases are those of the plan, whatever stood before them when they were asked.
        answers.append(replace(given, suite=suites[served.name]))
    return answers


def _scored(
    plan: EvaluationPlan, subject: Subject, answers: Sequence[SuiteAnswers], progress: Progress
) -> list[SuiteResult]:
    results = []
    for given in answers:
        _prepare(plan, given, progress)
        known = subject.trained_on.get(given.suite.name, ())
        results.append(measure(given, plan.measured, known=known))
    return results


def _prepare(plan: EvaluationPlan, given: SuiteAnswers, progress: Progress) -> None:
    answered = [
        (case, given.answers[case.id]) for case in given.suite.cases if case.id in given.answers
    ]
    asked = [(case, answer.text) for case, answer in answered if answer.error is None]
    for metric in plan.metrics:
        if metric.prepare is not None and metric.is_for(given.suite.kind):
            metric.prepare(asked, progress)
