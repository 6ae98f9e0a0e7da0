"""Which metrics are measured in which suite: the task's, and what gates and kinds of suites ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from tuneloop.evaluation.declared import kinds_of
from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.metrics import RUN_METRICS, Metric, metrics_for
from tuneloop.evaluation.scorers import general, safety
from tuneloop.evaluation.scorers.table import is_on_demand
from tuneloop.evaluation.suites import GENERAL, SAFETY, WATCHED
from tuneloop.modelfile import EvaluationSettings, TaskSettings


def metrics_of(
    task: TaskSettings,
    settings: EvaluationSettings,
    suites: Sequence[str],
    *,
    scorers: Sequence[str] = (),
    judge: Callable[[], Metric] | None = None,
) -> tuple[Metric, ...]:
    """The metrics of a task with those that gates and `scorers` bring along.

    Raises:
        EvaluationError: for a function that cannot be used, or a judge that is not there.
        ExtensionError: a package that adds scorers cannot be used.
        ModelFileError: for a schema that cannot be used.
    """
    extra = [*scorers, *metrics_in_gates(settings.gates_in_force, suites)]
    # The judge stands last: the order of the metrics is part of gate locks.
    judged = [name for name in judging.NAMES if name in extra]
    judged += [name for name in extra if judging.is_judged(name) and name not in judged]
    named = [name for name in extra if not judging.is_judged(name)]
    return metrics_for(task, extra=[*named, *dict.fromkeys(judged)], judge=judge)


def measured_in(kinds: Mapping[str, str], metrics: Iterable[Metric]) -> dict[str, list[str]]:
    """Suite → names of what is measured in it; `kinds` is suite → its kind."""
    every = list(metrics)
    return {
        suite: [*(metric.name for metric in every if metric.is_for(kind)), *RUN_METRICS]
        for suite, kind in kinds.items()
    }


def of_base(kinds: Mapping[str, str]) -> list[str]:
    """Suites that the untuned base is asked beside the main one."""
    return [suite for suite, kind in kinds.items() if kind in WATCHED]


def watched_metrics(task: TaskSettings, kinds: Iterable[str]) -> list[Metric]:
    """What suites of these kinds tell of what the tuning cost, whether a gate asks or not."""
    families = {SAFETY: safety.metrics_of, GENERAL: general.metrics_of}
    asked = [families[kind] for kind in dict.fromkeys(kinds) if kind in families]
    return [metric for metrics_of_kind in asked for metric in metrics_of_kind(task)]


def suite_names(settings: EvaluationSettings) -> list[str]:
    """Names that a gate may begin with: those of a dataset version's suites, then the files'."""
    return list(kinds_of(settings))


def metric_in(key: str, suites: Sequence[str]) -> str:
    """The metric that a gate's key names, alone or as `SUITE.METRIC`."""
    prefix, _, rest = key.partition(".")
    return rest if prefix in suites else key


def metrics_in_gates(keys: Iterable[str], suites: Sequence[str]) -> Iterable[str]:
    """The metrics that gates bring along by themselves: those that are measured on demand."""
    for key in keys:
        name = metric_in(key, suites)
        if is_on_demand(name):
            yield name
