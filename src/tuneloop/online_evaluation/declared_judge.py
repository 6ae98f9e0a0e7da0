"""The judge that a model file declares, and what is known of it."""

from __future__ import annotations

import os

from tuneloop.errors import UsageError
from tuneloop.evaluation.judging.answers import JudgeAnswers
from tuneloop.evaluation.judging.calibration import Calibration
from tuneloop.evaluation.judging.judge import Judge, rubric_digest
from tuneloop.evaluation.judging.metric import (
    CALIBRATE,
    NOT_CALIBRATED,
    judge_metric,
    of_rubric,
)
from tuneloop.evaluation.metrics import Metric
from tuneloop.modelfile import JudgeSettings
from tuneloop.monitoring import series
from tuneloop.project import Project
from tuneloop.workspace import Workspace

CALIBRATION = "judge_calibration"
"""The name that calibrations are stored under, as measurements."""
ANSWERS_FOLDER = "cache/judge"
"""In the workspace: what judges answered."""


def declared_judge(project: Project, *, remember: bool = False) -> Judge:
    """The model file's judge; with `remember` it keeps its answers for evaluations to come.

    Raises:
        UsageError: none is declared, or its API key is not in the environment.
    """
    settings = project.model.judge
    if settings is None:
        raise not_declared()
    answers = project.workspace.root / ANSWERS_FOLDER / f"{project.model.name}.jsonl"
    known = JudgeAnswers(answers) if remember else None
    return Judge(settings, api_key=_api_key(settings), known=known)


def not_declared() -> UsageError:
    """What to tell whoever asks for a judge where there is none."""
    return UsageError(
        "The model file declares no judge.",
        remedy="Add a `judge` section with `base_url` and `model`.",
    )


def metric(project: Project) -> Metric:
    """The metric `judge` of evaluations.

    Raises:
        UsageError: no judge is declared, or its API key is not in the environment.
    """
    known = calibrations(project.workspace, project.model.name)
    return judge_metric(declared_judge(project, remember=True), known)


def calibrations(workspace: Workspace, model: str) -> list[Calibration]:
    """Stored calibrations of a model's judges, the newest first."""
    stored = series.history(workspace, model=model, monitor=CALIBRATION)
    return [Calibration.from_json(measurement.detail) for measurement in stored]


def objection(project: Project) -> str:
    """Why no verdict may stand on the model file's judge, before it is asked; empty: one may.

    Its version is known when it answers, and looked at again then.
    """
    settings, known = project.model.judge, calibrations(project.workspace, project.model.name)
    mine = of_rubric(rubric_digest(settings), known) if settings is not None else []
    if not mine:
        return f"the judge is {NOT_CALIBRATED}; {CALIBRATE}"
    return f"{mine[0].objection}; {CALIBRATE}" if mine[0].objection else ""


def _api_key(settings: JudgeSettings) -> str | None:
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env)
    if not key:
        raise UsageError(
            f"The judge's API key is not in the environment variable {settings.api_key_env}.",
            remedy=f"Set it where the command or worker runs: export {settings.api_key_env}=…",
        )
    return key
