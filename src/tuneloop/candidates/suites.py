"""The suites of a model as they stand: listed, read, compared with their frozen versions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tuneloop.datasets import versions as datasets
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.errors import EvaluationError, TuneloopError, UsageError
from tuneloop.evaluation import frozen, looks
from tuneloop.evaluation.declared import file_of, load_declared, source_of
from tuneloop.evaluation.frozen import FrozenSuite
from tuneloop.evaluation.suite_diff import SuiteDiff, diff
from tuneloop.evaluation.suites import REGRESSIONS, Suite, held_out_suites
from tuneloop.modelfile import HELD_OUT, SuiteSettings
from tuneloop.nearest import nearest
from tuneloop.project import Project
from tuneloop.storage.references import one_named

OF_DATASET = (HELD_OUT, REGRESSIONS)
"""Names of the suites that a dataset version brings."""
FILE = "file"
"""What the file as it is now is called, among versions."""


@dataclass(frozen=True, kw_only=True)
class SuiteState:
    """A suite as it stands."""

    name: str
    kind: str
    source: str
    """its file, or the dataset version that brings it"""
    cases: int
    digest: str
    """of its cases, as reports name it; empty where it cannot be read"""
    looks: int
    """candidates that its cases have decided on; suites of files decide on none"""
    frozen: str
    """its last frozen version, or the dataset version, which never changes; empty: none"""
    frozen_at: datetime | None
    since: str = ""
    """what changed since, in words"""
    problem: str = ""
    """why it cannot be read"""


def listing(project: Project) -> list[SuiteState]:
    """Every suite: those of the newest dataset version, then those of the model file."""
    files = [_state(project, one) for one in project.model.evaluation.suites]
    version = _newest(project)
    return files if version is None else [*_states_of(project, version), *files]


def find(project: Project, name: str) -> Suite:
    """The cases of a suite as they are now.

    Raises:
        UsageError: there is no such suite.
        EvaluationError: its file, or the dataset version, cannot be used.
    """
    if name not in OF_DATASET:
        return loaded(project, declared(project, name))
    version = _newest(project)
    for suite in () if version is None else _of_dataset(project, version):
        if suite.name == name:
            return suite
    raise UsageError(
        f"No dataset version brings a suite {name!r} yet.",
        remedy="Make one with: tuneloop prepare",
    )


def declared(project: Project, name: str) -> SuiteSettings:
    """The suite of the model file that is called so.

    Raises:
        UsageError: there is none, or it is one of a dataset version.
    """
    suites = {suite.name: suite for suite in project.model.evaluation.suites}
    if name in suites:
        return suites[name]
    if name in OF_DATASET:
        raise UsageError(
            f"The suite {name!r} is a part of the dataset version, which never changes.",
            remedy="Look at versions with `tuneloop data list`, and at what changed between two "
            "with `tuneloop data diff`.",
        )
    near = nearest(name, suites)
    raise UsageError(
        f"The model file names no suite {name!r}.",
        remedy=f"Did you mean {near}?" if near else f"Begin one: tuneloop suite new {name}",
    )


def versions(project: Project, name: str) -> list[FrozenSuite]:
    """The frozen versions of a suite, the newest first."""
    return frozen.versions(project.workspace, project.model.name, name)


def compare(project: Project, name: str, before: str | None, after: str | None) -> SuiteDiff:
    """What changed between two versions; by default between the last frozen one and the file.

    Raises:
        UsageError: there is no such suite or version.
        EvaluationError: a version cannot be read with today's task.
    """
    sides = [_version(project, name, ref) for ref in (before or "latest", after or FILE)]
    (then, then_name), (now, now_name) = sides
    return diff(then, now, names=(then_name, now_name))


def _version(project: Project, name: str, reference: str) -> tuple[Suite, str]:
    if reference == FILE:
        settings = declared(project, name)
        return loaded(project, settings), source_of(settings)
    # A suite that is no longer in the model file may have been frozen.
    known = list({version.artifact: version for version in versions(project, name)}.values())
    if not known:
        declared(project, name)
        raise UsageError(
            f"The suite {name!r} was never frozen.", remedy=f"Do it: tuneloop suite freeze {name}"
        )
    version = one_named(
        known,
        reference,
        lambda one: (one.artifact, one.label),
        what=f"frozen versions of suite {name}",
        remedy=f"List them with: tuneloop suite show {name}; {FILE!r} is the file as it is now",
    )
    return frozen.read(project.workspace, version, **reading(project)), version.label


def _newest(project: Project) -> DatasetVersion | None:
    return next(iter(datasets.list_versions(project.workspace, project.model.name)), None)


def _of_dataset(project: Project, version: DatasetVersion) -> tuple[Suite, ...]:
    folder = project.workspace.artifacts.get(version.digest)
    return held_out_suites(folder, task=project.model.task)


def _states_of(project: Project, version: DatasetVersion) -> list[SuiteState]:
    state = SuiteState(
        name=HELD_OUT,
        kind=HELD_OUT,
        source=f"dataset {version.label}",
        cases=0,
        digest="",
        looks=_looks(project, HELD_OUT),
        frozen=version.label,
        frozen_at=version.created_at,
    )
    try:
        suites = _of_dataset(project, version)
    except EvaluationError as e:
        return [replace(state, problem=e.message)]
    return [
        replace(
            state,
            name=suite.name,
            kind=suite.kind,
            cases=len(suite.cases),
            digest=suite.digest,
            looks=_looks(project, suite.name),
        )
        for suite in suites
    ]


def _state(project: Project, settings: SuiteSettings) -> SuiteState:
    last = next(iter(versions(project, settings.name)), None)
    state = SuiteState(
        name=settings.name,
        kind=settings.kind,
        source=source_of(settings),
        cases=0,
        digest="",
        looks=_looks(project, settings.name),
        frozen=last.label if last else "",
        frozen_at=last.at if last else None,
    )
    try:
        suite = loaded(project, settings)
    except EvaluationError as e:
        return replace(state, problem=e.message)
    return replace(
        state,
        cases=len(suite.cases),
        digest=suite.digest,
        since=_since(project, suite, settings, last) if last else "",
    )


def _since(project: Project, suite: Suite, settings: SuiteSettings, version: FrozenSuite) -> str:
    """What changed since, or why that cannot be told: no reason to show nothing of a suite."""
    try:
        then = frozen.read(project.workspace, version, **reading(project))
    except TuneloopError as e:
        return f"what changed cannot be told ({e.message})"
    return diff(then, suite, names=(version.label, source_of(settings))).says


def _looks(project: Project, suite: str) -> int:
    return looks.taken(project.workspace, model=project.model.name, suite=suite)


def loaded(project: Project, settings: SuiteSettings) -> Suite:
    return load_declared(settings, project.model_file.folder, **reading(project))


def reading(project: Project) -> dict[str, Any]:
    return {"task": project.model.task, "columns": project.model.data.columns}


def path_of(project: Project, settings: SuiteSettings) -> Path:
    return file_of(settings, project.model_file.folder)
