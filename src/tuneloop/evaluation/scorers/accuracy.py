"""The family of every task: whether answers are right, and whether they have the declared form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import Family, Metric, Wanted
from tuneloop.evaluation.scorers.same_values import by_rules, told
from tuneloop.evaluation.scorers.structured import in_form, json_all_fields
from tuneloop.evaluation.scorers.text import normalised_match
from tuneloop.modelfile import TaskSettings
from tuneloop.task.kind import is_prose

NAME = "accuracy"


def accuracy(task: TaskSettings) -> Metric:
    """In-scope cases that are right: each field of a JSON task, else the text in forgiving form."""
    if task.output_schema is not None:
        return Metric(
            name=NAME,
            about="in-scope cases whose answer has every reference field right and no other field"
            + told(task.same_values),
            scorer=partial(json_all_fields, equal=by_rules(task.same_values)),
            counts="in-scope",
        )
    return Metric(
        name=NAME,
        about="in-scope cases whose answer equals the reference in forgiving form: case, spacing, "
        "quotation marks, pauses and full stops aside",
        scorer=normalised_match,
        counts="in-scope",
    )


def form(task: TaskSettings) -> Metric:
    """Cases whose answer has the task's declared form.

    Raises:
        ModelFileError: for a schema that cannot be used.
    """
    words = []
    if task.output_schema is not None:
        words.append("fits the JSON Schema")
    if task.output_pattern is not None:
        words.append("matches the pattern from end to end")
    about = " and ".join(words) or "is not empty (the task declares no form)"
    return Metric(name="format", about=f"cases whose answer {about}", scorer=in_form(task))


def _of_task(task: TaskSettings) -> Sequence[Metric]:
    """No match with a reference tells whether prose is right: people do, or a judge."""
    if not is_prose(task):
        return (accuracy(task), form(task))
    return () if task.output_pattern is None else (form(task),)


def _on_demand(wanted: Wanted) -> Metric:
    """Accuracy of prose is what a judge says; whether it agrees with people is said beside it.

    Raises:
        EvaluationError: there is no judge.
    """
    if not is_prose(wanted.task):
        return accuracy(wanted.task)
    if wanted.judge is None:
        raise EvaluationError(
            "Accuracy of prose is what people or a judge say, and there is no judge here to ask.",
            remedy="Remove the gate, or declare a judge.",
        )
    return replace(wanted.judge(), name=NAME, counts="in-scope")


FAMILY = Family(
    name="accuracy",
    about="right answers, and answers in the declared form",
    of_task=_of_task,
    brings=lambda name: name == NAME,
    metric=_on_demand,
)
