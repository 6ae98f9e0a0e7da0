"""Every family of metrics, and who makes the metric that a gate names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers import (
    abstention,
    accuracy,
    classes,
    general,
    groundedness,
    json_fields,
    judge,
    own,
    phrases,
    prose,
    safety,
    text,
)
from tuneloop.evaluation.scorers.base import Family, Metric, Wanted
from tuneloop.evaluation.scorers.own import guarded
from tuneloop.hashing import digest_text
from tuneloop.modelfile import TaskSettings
from tuneloop.nearest import did_you_mean
from tuneloop.table import SCORER_GROUP, Extension, Table, extensions

_OWN = (
    accuracy.FAMILY,
    json_fields.FAMILY,
    text.FAMILY,
    prose.FAMILY,
    abstention.FAMILY,
    groundedness.FAMILY,
    phrases.FAMILY,
    safety.FAMILY,
    general.FAMILY,
    judge.FAMILY,
    classes.FAMILY,
    own.FAMILY,
)

SCORERS = Table(SCORER_GROUP, {family.name: family for family in _OWN}, kind=Family)
"""In the order in which a task's metrics stand in gate locks."""


def of_task(task: TaskSettings) -> Sequence[Metric]:
    """What every evaluation of the task measures.

    Raises:
        EvaluationError: for a schema that cannot be used.
    """
    return [metric for family in SCORERS.own.values() for metric in family.of_task(task)]


def is_on_demand(name: str) -> bool:
    """Whether some family makes this metric where it is asked for; imports nothing."""
    return _own_family(name) is not None or _extension(name) is not None


def on_demand(wanted: Wanted) -> Metric:
    """A metric that a gate or a caller asks for.

    Raises:
        EvaluationError: no family makes it, its function cannot be used, or there is no judge.
        ExtensionError: the package that adds its family cannot be used.
    """
    family = _own_family(wanted.name)
    if family is not None and family.metric is not None:
        return family.metric(wanted)
    extension = _extension(wanted.name)
    if extension is None:
        added = (scorer.name for scorer in SCORERS.added())
        known = (*text.NAMES, *classes.NAMES, *judge.NAMES, *added)
        raise EvaluationError(
            f"There is no scorer {wanted.name!r}.",
            remedy=f"{did_you_mean(wanted.name, known)} A function of your own is named as "
            "module:function.",
        )
    return _added(extension, wanted)


def _own_family(name: str) -> Family | None:
    return next((family for family in SCORERS.own.values() if family.has(name)), None)


def _extension(name: str) -> Extension | None:
    """What a package adds under the name's first part."""
    family = name.partition(".")[0]
    return None if family in SCORERS.own else extensions(SCORER_GROUP).get(family)


def _added(extension: Extension, wanted: Wanted) -> Metric:
    """A package's metric; another version of the package is another metric to a gate lock."""
    family = SCORERS.find(extension.name)
    if family is None or family.metric is None or not family.has(wanted.name):
        raise extension.error(f"has no metric {wanted.name!r}")
    try:
        metric = family.metric(wanted)
    except Exception as e:
        raise extension.error(f"cannot make {wanted.name!r}: {type(e).__name__}: {e}") from e
    if not isinstance(metric, Metric) or metric.name != wanted.name:
        raise extension.error(f"made {metric!r}; expected a Metric named {wanted.name!r}")
    return replace(
        metric,
        scorer=guarded(metric.scorer, f"{wanted.name} of {extension.package}"),
        source_digest=metric.source_digest or digest_text(extension.package),
    )
