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

AskAgain = Callable[[SuiteResult], Repeats | None]
"""The candidate's result on the main suite in, what it said to some of it again out."""


def ask_everybody(
    plan: EvaluationPlan,
    subjects: Mapping[str, Subject],
    *,
    folder: Callable[[str, Subject], Path],
    ask_again: AskAgain | None,
    beside: bool,
    progress: Progress,
) -> tuple[dict[str, list[SuiteResult]], Repeats | None]:
    """What everybody answered, in the order of the subjects, and the candidate again.

    `folder` keeps the answers of a subject; `beside`: two servers fit on this machine.

    Raises:
        EvaluationError: somebody does not answer.
    """

    def asked(label: str, progress: Progress) -> list[SuiteResult]:
        subject = subjects[label]
        return _results(plan, label, subject, folder(label, subject), progress)

    results = {CANDIDATE: asked(CANDIDATE, progress)}
    others = [label for label in subjects if label != CANDIDATE]
    last = others.pop() if beside and others else None
    with Alongside[list[SuiteResult]]() as alongside:
        if last is not None:
            saying = f"The {last} is asked beside what follows"
            alongside.begin(partial(asked, last), progress, saying=saying)
        results |= {label: asked(label, progress) for label in others}
        again = ask_again(results[CANDIDATE][0]) if ask_again else None
        if last is not None:
            results[last] = alongside.result()
    return results, again


def notes_on_latency(labels: Iterable[str], *, ask_again: bool, beside: bool) -> list[str]:
    """What a reader must know of latencies that were measured while somebody else was asked.

    `labels`: of all subjects; the other parameters as of `ask_everybody`.
    """
    others = [label for label in labels if label != CANDIDATE]
    if not beside or not others or (len(others) == 1 and not ask_again):
        return []
    return [
        f"{' and '.join(others)} may have been asked while another server was: their latency is "
        f"not to be compared with the {CANDIDATE}'s, which was asked alone"
    ]


def _results(
    plan: EvaluationPlan, label: str, subject: Subject, folder: Path, progress: Progress
) -> list[SuiteResult]:
    results = []
    for suite, asked in zip(plan.suites, subject.suites(plan), strict=False):
        progress.step(
            f"Asking the {label} {len(suite.cases)} cases of suite {suite.name!r}",
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
