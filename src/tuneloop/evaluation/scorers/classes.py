"""The family of labels: how a model does on every class, however rare, and who would be as good.

Where 92 of 100 cases have one label, a model that says nothing else is right in 92 % of them. Here
every class counts the same: `balanced_accuracy` is the mean of the classes' recalls (Brodersen et
al. 2010, "The balanced accuracy and its posterior distribution", ICPR), `macro_f1` the mean of
their F1 (Sokolova and Lapalme 2009, "A systematic analysis of performance measures for
classification tasks", Information Processing & Management 45). A constant answer has 1 / classes in
the one and less in the other.

The classes are the labels of the references; what a model says beside them is none. Interval and
bound put together the limits of the single classes, so that a rare one weighs as much as it is
unsure (MOVER; Zou and Donner 2008, "Construction of confidence limits about effect measures: a
general approach", Statistics in Medicine 27): Wilson's limits in the interval, Clopper and
Pearson's in the bound that a gate stands on. F1 is 2 J / (1 + J) of the share J of a class's cases
in all that have its label or were given it, and rises with it. A mistake stands in two classes
there, which at most doubles the variance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from tuneloop import intervals
from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import Family, Metric, Score, Wanted
from tuneloop.evaluation.suites import Case
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.sameness import forgiving
from tuneloop.task.kind import kind_of
from tuneloop.task.label import label_field, label_of

BALANCED_ACCURACY, MACRO_F1 = "balanced_accuracy", "macro_f1"
NAMES = (BALANCED_ACCURACY, MACRO_F1)
_Limits = Callable[[int, int], tuple[float, float]]
"""Cases right and all → between what the share of right ones lies."""


def has_labels(task: TaskSettings) -> bool:
    """Whether answers are labels, or JSON with a field that is one."""
    return kind_of(task) == "labels" or label_field(task) is not None


def metrics_of(task: TaskSettings) -> tuple[Metric, ...]:
    """Both metrics of a task with labels; none of another."""
    return tuple(_metric(name, task) for name in NAMES) if has_labels(task) else ()


def label_in(answer: str, task: TaskSettings) -> str | None:
    """The label that an answer gives; None: it gives none."""
    if label_field(task) is None:
        return forgiving(answer) or None
    return label_of(answer, task)


def _score(case: Case, output: str, *, task: TaskSettings) -> Score | None:
    """Whether the answer gives the label of the reference."""
    label = None if case.expected is None else label_in(case.expected, task)
    if label is None:
        return None
    given = label_in(output, task) or ""
    right = given == label
    said = "" if right else f"label {given!r} instead of {label!r}" if given else "no label"
    return Score(value=float(right), detail=said, label=label, given=given)


def _figure(scores: Sequence[Score], *, name: str) -> Figure:
    def wilson(right: int, cases: int) -> tuple[float, float]:
        of = intervals.share(right, cases)
        return of.low, of.high

    value, low, high = _mean_of_classes(scores, name, wilson)
    return Figure(value=value, low=low, high=high, n=len(scores))


def _figure_at(scores: Sequence[Score], effect: float, confidence: float, *, name: str) -> Figure:
    """What a gate is held to: exact limits, of cases that are worth fewer by the design effect."""
    level = (1 - confidence) / 2

    def exact(right: int, cases: int) -> tuple[float, float]:
        worth, wrong = right / effect, (cases - right) / effect
        low = intervals.lower_bound_of_share(worth, worth + wrong, level=level)
        return low, 1 - intervals.lower_bound_of_share(wrong, worth + wrong, level=level)

    value, low, high = _mean_of_classes(scores, name, exact)
    return Figure(value=value, low=low, high=high, n=len(scores))


def _mean_of_classes(
    scores: Sequence[Score], name: str, limits: _Limits
) -> tuple[float, float, float]:
    """The mean over the classes, its lower and its upper limit."""
    expected = Counter(score.label for score in scores)
    given = Counter(score.given for score in scores)
    right = Counter(score.label for score in scores if score.given == score.label)
    values, below, above = [], [], []
    for label, cases in expected.items():
        if name == MACRO_F1:
            cases += given[label] - right[label]
        low, high = limits(right[label], cases)
        value, low, high = (
            2 * share / (1 + share) if name == MACRO_F1 else share
            for share in (right[label] / cases, low, high)
        )
        values.append(value)
        below.append((value - low) ** 2)
        above.append((high - value) ** 2)
    mean = math.fsum(values) / len(values)
    twice = 2 if name == MACRO_F1 else 1
    down, up = (math.sqrt(twice * math.fsum(of)) / len(values) for of in (below, above))
    return mean, max(0.0, mean - down), min(1.0, mean + up)


_ABOUT = {
    BALANCED_ACCURACY: "mean over the labels of the references: share of its cases that get it",
    MACRO_F1: "mean over the labels of the references: F1 of each",
}


def _metric(name: str, task: TaskSettings) -> Metric:
    field = label_field(task)
    return Metric(
        name=name,
        about=_ABOUT[name] + (f"; the label is {field}" if field else ""),
        scorer=partial(_score, task=task),
        empty_without_answer=True,
        figure=partial(_figure, name=name),
        figure_at=partial(_figure_at, name=name),
    )


def _wanted(wanted: Wanted) -> Metric:
    """A gate's metric.

    Raises:
        EvaluationError: the task has no labels.
    """
    if not has_labels(wanted.task):
        raise EvaluationError(
            f"{wanted.name} is a mean over labels, and this task has none.",
            remedy="Declare task.kind: labels, or an output_schema with a field that has an enum.",
        )
    return _metric(wanted.name, wanted.task)


FAMILY = Family(
    name="classes",
    about="labels, each class counting the same",
    brings=lambda name: name in NAMES,
    metric=_wanted,
)
