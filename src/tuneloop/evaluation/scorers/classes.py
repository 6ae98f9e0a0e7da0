"""The family of labels: how a model does on every class, however rare, and who would be as good.

Where 92 of 100 cases have one label, a model that says nothing else is right in 92 % of them. Here
every class counts the same: `balanced_accuracy` is the mean of the classes' recalls (Brodersen et
al. 2010, "The balanced accuracy and its posterior distribution", ICPR), `macro_f1` the mean of
their F1 (Sokolova and Lapalme 2009, "A systematic analysis of performance measures for
classification tasks", Information Processing & Management 45). A constant answer has 1 / classes in
the one and less in the other.

The classes are the labels of the references; what a model says beside them is none. The intervals
are equal-tailed posteriors: the answers to the cases of one class are drawn from a Dirichlet
distribution about the counts, each class by itself, so that no draw loses a rare one (Goutte and
Gaussier 2005, "A probabilistic interpretation of precision, recall and F-score", ECIR; Jeffreys'
prior on right and wrong, under which a class without a mistake keeps a width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

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
_PRIOR = 0.5
_DRAWS_AT_ONCE = 100
_Of = Callable[[Any, Any, Any], Any]
"""Right answers, cases and answers of each class, (draws, classes) each → a figure of each draw."""


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


def _balanced_accuracy(right: Any, cases: Any, answers: Any) -> Any:
    return (right / cases).mean(axis=-1)


def _macro_f1(right: Any, cases: Any, answers: Any) -> Any:
    return (2 * right / (cases + answers)).mean(axis=-1)


def _figure(scores: Sequence[Score], *, of: _Of) -> Figure:
    """The value on the counts, and its interval from the posterior of each class."""
    import numpy as np

    classes = {label: i for i, label in enumerate(dict.fromkeys(score.label for score in scores))}
    k = len(classes)
    # Which class got which answer how often; the answer k is none of the classes. Two cells of each
    # class are always there, as the prior lies on them: the right answer, and no class at all.
    cells = {(i, i): 0.0 for i in range(k)} | {(i, k): 0.0 for i in range(k)}
    for score in scores:
        at = (classes[score.label], classes.get(score.given, k))
        cells[at] = cells.get(at, 0.0) + 1
    rows, columns = np.array(list(cells)).T  # (cells,) each
    counts = np.array(list(cells.values()))
    in_row = np.eye(k)[rows]  # (cells, classes)
    in_column = np.eye(k + 1)[columns][:, :k]  # the answers that are none stand in no column
    cases = counts @ in_row  # (classes,)

    def measured(answers: Any) -> Any:
        """`answers` is (draws, cells)."""
        return of(answers[:, :k], cases, answers @ in_column)  # the first k cells are right

    rng = np.random.default_rng(intervals.BOOTSTRAP_SEED)
    prior = np.where((rows == columns) | (columns == k), _PRIOR, 0.0)
    draws = []
    for _ in range(intervals.BOOTSTRAP_RESAMPLES // _DRAWS_AT_ONCE):
        gamma = rng.standard_gamma(counts + prior, (_DRAWS_AT_ONCE, len(counts)))
        draws.append(measured(gamma / (gamma @ in_row)[:, rows] * cases[rows]))
    value, drawn = float(measured(counts[None])[0]), np.concatenate(draws)
    tail = (1 - intervals.CONFIDENCE) / 2
    low, high = map(float, np.quantile(drawn, [tail, 1 - tail]))
    # The prior pulls each class towards a half: of many small ones it would move the whole interval
    # away from what was measured.
    shift = value - float(drawn.mean())
    return Figure(
        value=value,
        low=max(0.0, min(low, low + shift)),
        high=min(1.0, max(high, high + shift)),
        n=len(scores),
    )


_OF = {BALANCED_ACCURACY: _balanced_accuracy, MACRO_F1: _macro_f1}
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
        figure=partial(_figure, of=_OF[name]),
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
