"""Suites and metrics that a model file names, looked up before anything is trained or asked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from tuneloop.errors import EvaluationError, ExtensionError, ModelFileError
from tuneloop.evaluation import gates
from tuneloop.evaluation.declared import kinds_of, load_declared
from tuneloop.evaluation.gates import Gate
from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.metrics import RUN_METRICS, Metric, metrics_for, unfit_references
from tuneloop.evaluation.planned_metrics import (
    measured_in,
    metric_in,
    metrics_in_gates,
    of_base,
    suite_names,
)
from tuneloop.evaluation.scorers import accuracy, classes, text
from tuneloop.evaluation.suites import REGRESSIONS
from tuneloop.modelfile import (
    HELD_OUT,
    ColumnSettings,
    EvaluationSettings,
    JudgeSettings,
    KeyPath,
    Problem,
    TaskSettings,
)
from tuneloop.modelfile.sections.gates import default_gates
from tuneloop.task.kind import is_prose

_GATES: KeyPath = ("evaluation", "gates")
_OWN = {
    HELD_OUT: "the dataset's own held-out rows",
    REGRESSIONS: "the dataset's own held-out rows that were found because something failed",
}
"""Suites that no file is called by, and whose they are."""
_LOWER = ("<=", "<")
_NEEDS_ABSTAIN = ("abstention_recall", "over_abstention", "abstention_precision", "correct")
_FIELD = "json_field."
_AS_A_BOUND = 'such as "<= 0.05".'


def problems(
    task: TaskSettings,
    settings: EvaluationSettings,
    *,
    folder: Path,
    columns: ColumnSettings | None,
    judge: JudgeSettings | None,
) -> list[Problem]:
    """What `plan_evaluation` would refuse, all of it at once, and gates that ask for the worse.

    `folder` is what suite files are relative to; `judge` is the one that the model file declares.
    """
    return [
        *_suite_problems(task, settings, folder, columns),
        *_gate_problems(task, settings, judge=judge),
    ]


def wrong_direction(gate: Gate, *, higher_is_better: bool) -> str | None:
    """What is wrong with a gate that only what is bad can pass; None: nothing."""
    if gate.is_relative or (gate.comparison in _LOWER) != higher_is_better:
        return None
    better, turned = (
        ("higher", {"<=": ">=", "<": ">"})
        if higher_is_better
        else ("lower", {">=": "<=", ">": "<"})
    )
    return (
        f"asks for {gate.metric} {gate.condition}, but {better} is better. "
        f'Did you mean "{turned[gate.comparison]} {gate.bound:g}"?'
    )


def _suite_problems(
    task: TaskSettings,
    settings: EvaluationSettings,
    folder: Path,
    columns: ColumnSettings | None,
) -> Iterator[Problem]:
    names = suite_names(settings)
    for number, declared in enumerate(settings.suites):
        at: KeyPath = ("evaluation", "suites", number)
        if declared.name in names[: number + len(_OWN)]:
            whose = _OWN.get(declared.name, "another")
            yield Problem(
                at=(*at, "name"),
                message=f"The suite name {declared.name!r} is taken by {whose}.",
                remedy="Rename it.",
            )
        try:
            suite = load_declared(declared, folder, task=task, columns=columns)
            unfit_references(suite, task)
        except (EvaluationError, ModelFileError) as e:
            yield Problem(at=(*at, "file"), message=e.message, remedy=e.remedy)


def _gate_problems(
    task: TaskSettings, settings: EvaluationSettings, *, judge: JudgeSettings | None
) -> Iterator[Problem]:
    kinds = kinds_of(settings)
    suites = list(kinds)
    try:
        metrics = {metric.name: metric for metric in metrics_for(task, extra=text.NAMES)}
    except ModelFileError as e:
        yield Problem(at=("task", "output_schema"), message=e.message, remedy=e.remedy)
        return
    for key, condition in settings.gates.items():
        at = (*_GATES, key)
        if condition.condition is None:
            yield from _drop_problems(key, task)
            continue
        try:
            _bring_along(key, suites, task, metrics, judge=judge)
            (gate,) = gates.parse_gates(
                {key: condition},
                metrics=measured_in(kinds, metrics.values()),
                main_suite=HELD_OUT,
                of_base=of_base(kinds),
            )
        except (EvaluationError, ExtensionError) as e:
            yield Problem(at=at, message=e.message, remedy=_needed(key, suites, task) or e.remedy)
            continue
        if wrong := gates.unpaired([gate], metrics.keys() - set(classes.NAMES)):
            yield Problem(
                at=at, message=f"The gate {wrong}.", remedy=f"Name a bound, {_AS_A_BOUND}"
            )
        # Which way a team's own metric goes is theirs to say.
        if ":" not in gate.metric and (
            wrong := wrong_direction(gate, higher_is_better=_higher_is_better(gate, metrics))
        ):
            yield Problem(at=at, message=f"The gate {wrong}")


def _drop_problems(key: str, task: TaskSettings) -> Iterator[Problem]:
    """A dropped gate may be one that only production had, so its name may mean nothing here; one
    that is nearly a default's is a slip."""
    defaults = default_gates(prose=is_prose(task))
    near = difflib.get_close_matches(key, defaults, n=1, cutoff=0.75)
    if near and key not in defaults:
        yield Problem(
            at=(*_GATES, key),
            message="Drops a gate that there is not.",
            remedy=f"Did you mean {near[0]!r}?",
        )


def _bring_along(
    key: str,
    suites: Sequence[str],
    task: TaskSettings,
    metrics: dict[str, Metric],
    *,
    judge: JudgeSettings | None,
) -> None:
    """Add the metrics that a gate asks for by itself.

    Raises:
        EvaluationError: there is no such function, or no judge.
        ExtensionError: the package that adds its scorer cannot be used.
    """
    for name in metrics_in_gates([key], suites):
        if not judge and (judging.is_judged(name) or (name == accuracy.NAME and is_prose(task))):
            raise EvaluationError(
                f"Gate {key!r} needs a judge, and the model file declares none.",
                remedy="Add a `judge` section with `base_url` and `model`, or remove the gate.",
            )
        brought = metrics_for(task, extra=[name], judge=partial(judging.uncalled, judge))
        metrics |= {metric.name: metric for metric in brought}


def _higher_is_better(gate: Gate, metrics: Mapping[str, Metric]) -> bool:
    return gate.metric not in RUN_METRICS and metrics[gate.metric].higher_is_better


def _needed(key: str, suites: Sequence[str], task: TaskSettings) -> str:
    """What a model file must declare for a metric that a task may have, and this one has not."""
    name = metric_in(key, suites)
    if is_prose(task) and name == accuracy.NAME:
        return (
            "Accuracy of prose is what people or a judge say: declare a judge, or ask for "
            "chrf: better than base; task.kind: short is for answers with one right wording."
        )
    if name in _NEEDS_ABSTAIN and task.abstain is None:
        return f"{name} needs `task.abstain`: declare it, or remove the gate."
    if name.startswith(_FIELD) and task.output_schema is None:
        return "Fields are measured where `task.output_schema` declares them."
    return ""
