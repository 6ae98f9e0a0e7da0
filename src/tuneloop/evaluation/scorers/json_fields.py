"""The family of a JSON task's fields: agreement, precision, recall and F1 of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tuneloop import intervals
from tuneloop.evaluation.scorers.base import Family, Metric, Score
from tuneloop.evaluation.scorers.same_values import by_rules, told
from tuneloop.evaluation.scorers.structured import json_field, where_not
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings


def _fields(task: TaskSettings) -> Iterator[Metric]:
    """Four metrics a field; a field that is called `other.recall` keeps its name to itself."""
    names = [*(task.output_schema or {}).get("properties", {})]
    taken = {f"json_field.{name}" for name in names}
    for name in names:
        first, *derived = _field(name, task)
        yield first
        yield from (metric for metric in derived if metric.name not in taken)


def _field(name: str, task: TaskSettings) -> list[Metric]:
    agree = json_field(name, equal=by_rules(task.same_values))
    rules = told({name: task.same_values[name]} if name in task.same_values else {})
    field = Metric(
        name=f"json_field.{name}",
        about=f"in-scope cases whose reference or answer has {name} and where both agree in it"
        f"{rules}",
        scorer=agree,
        counts="in-scope",
        empty_without_answer=True,
        field=name,
    )
    return [
        field,
        replace(
            field,
            name=f"{field.name}.precision",
            about=f"in-scope answers with {name} that agree with the reference in it{rules}",
            scorer=where_not("missing", agree),
        ),
        replace(
            field,
            name=f"{field.name}.recall",
            about=f"in-scope references with {name} that the answer agrees with in it{rules}",
            scorer=where_not("invented", agree),
        ),
        replace(
            field,
            name=f"{field.name}.f1",
            about=f"the harmonic mean of precision and recall of {name}{rules}",
            figure=_f1,
        ),
    ]


def _f1(scores: Sequence[Score]) -> Figure:
    faults = Counter(score.fault for score in scores)
    return intervals.f1(
        right=faults[None],
        wrong=faults["wrong"],
        missing=faults["missing"],
        invented=faults["invented"],
    )


FAMILY = Family(
    name="json_field",
    about="the fields of a JSON answer, each by itself",
    of_task=lambda task: () if task.output_schema is None else tuple(_fields(task)),
)
