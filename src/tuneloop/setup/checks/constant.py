"""A constant answer: would a model pass the gates that says the same to everybody?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import fmean

from tuneloop.evaluation.gates import is_met
from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.scorers.classes import BALANCED_ACCURACY, has_labels
from tuneloop.evaluation.sizes import Requirement, held_out_requirements
from tuneloop.evaluation.suites import Case, case_of
from tuneloop.setup.finding import Finding, warning
from tuneloop.setup.look import Look
from tuneloop.task.kind import is_prose

_MOST_ROWS = 2_000
"""Spread over all of them: a share is known well enough from so many."""
_SHOWN = 60


def constant(look: Look) -> Iterator[Finding]:
    """The most frequent answer of the rows, given to every one of them, misses a gate."""
    task = look.model.task
    if is_prose(task):
        return
    if not look.model.evaluation.gates_in_force:  # which is said by others
        return
    kept = look.kept[:: max(1, len(look.kept) // _MOST_ROWS)]
    cases = [case_of(row.as_row(), task=task) for row in kept]
    answers = Counter(case.expected for case in cases if case.expected is not None)
    ((answer, rows),) = answers.most_common(1)
    requirements = held_out_requirements(
        task, look.model.evaluation, judge=partial(judging.uncalled, look.model.judge)
    )
    if all(one.metric is None for one in requirements):  # no gate is about answers
        return
    if not all(_is_met(one, cases, answer) for one in requirements):
        return
    share = f"{rows / answers.total():.0%} of the rows have the answer {_cut(answer)}"
    yield warning(
        "constant",
        f"{share}, and a model that gives it to everybody would pass every gate.",
        f'Add evaluation.gates: {{{BALANCED_ACCURACY}: ">= 0.80"}}, the mean over the labels.'
        if has_labels(task)
        else "Raise a gate above that share.",
    )


def _is_met(requirement: Requirement, cases: Sequence[Case], answer: str) -> bool:
    """Whether the gate lets the answer pass; who asks a judge or compares is not known here."""
    gate, metric = requirement.gate, requirement.metric
    if metric is None:
        return True
    if gate.is_relative or metric.needs_answer or metric.source_digest:
        return False
    scores = [score for case in cases if (score := metric.score(case, answer)) is not None]
    if not scores:
        return False
    pooled = metric.figure
    value = fmean(score.value for score in scores) if pooled is None else pooled(scores).value
    return is_met(gate, value)


def _cut(answer: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in answer).split())
    return repr(line if len(line) <= _SHOWN else f"{line[: _SHOWN - 2]} …")
