"""Stage 5 as the worker and people start it: what is in production, measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from tuneloop.monitoring import stage
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.shift import Released
from tuneloop.monitoring.watched import released_with
from tuneloop.project import Project


def watched_task(project: Project) -> Mapping[str, Any]:
    """The task of the bundle in production, which monitors follow from; before it the model file's.

    Raises:
        CorruptArtifactError: the stored manifest does not match its id.
    """
    if project.in_production() is None:
        return project.model.task.model_dump(mode="json")
    return project.bundle("production").manifest.task.as_json()


def watched_release(project: Project) -> Released:
    """What the bundle in production was released with; of none nothing is known.

    Raises:
        CorruptArtifactError: the stored manifest does not match its id.
    """
    if project.in_production() is None:
        return lambda metric: None
    return partial(released_with, project.bundle("production"))


def measure(project: Project, *, only: Collection[str] | None = None) -> list[Measurement]:
    """Measure the last window of traffic of the bundle in production.

    `only`: names of monitors, such as `["format_compliance"]`; None: all that
    apply to its task.

    Raises:
        UsageError: nothing is in production, or there is no such monitor.
        BusyError: another process has been moving the captured traffic for a minute.
    """
    return stage.run_monitors(
        project.workspace,
        model_file=project.model_file,
        bundle=project.bundle("production"),
        endpoint=project.model.endpoint_name,
        only=only,
        progress=project.progress,
    )
