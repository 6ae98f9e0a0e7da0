"""What is known of the model file's judge before it is asked: its rubrics and calibrations."""

from __future__ import annotations

from pathlib import Path

from tuneloop.errors import UsageError
from tuneloop.evaluation.judging.calibration import Calibration
from tuneloop.evaluation.judging.judge import rubric_digest
from tuneloop.evaluation.judging.metric import CLAIMS, NAME, NAMES, metric_of_rubric
from tuneloop.evaluation.judging.prompt import CLAIMS_DIGEST
from tuneloop.evaluation.judging.rubrics import by_rubric
from tuneloop.evaluation.judging.standing import NOT_CALIBRATED, calibrate_by, of_rubric
from tuneloop.modelfile import JudgeSettings
from tuneloop.monitoring import series
from tuneloop.nearest import did_you_mean
from tuneloop.project import Project
from tuneloop.workspace import Workspace

CALIBRATION = "judge_calibration"
"""The name that calibrations are stored under, as measurements."""


def calibrations(workspace: Workspace, model: str) -> list[Calibration]:
    """Stored calibrations of a model's judges, the newest first."""
    stored = series.history(workspace, model=model, monitor=CALIBRATION)
    return [Calibration.from_json(measurement.detail) for measurement in stored]


def newest(project: Project, metric: str = NAME) -> Calibration | None:
    """That of the rubric that the judge is asked by for a metric, whatever model it was.

    Raises:
        UsageError: the judge has no such rubric.
        ModelFileError: the rubric's file cannot be used.
    """
    settings = project.model.judge
    if settings is None:
        return None
    asked = asked_for(settings, metric, folder=project.model_file.folder)
    rubric = CLAIMS_DIGEST if metric == CLAIMS else rubric_digest(asked)
    known = calibrations(project.workspace, project.model.name)
    return next(iter(of_rubric(rubric, known)), None)


def objection(project: Project, metric: str = NAME) -> str:
    """Why no verdict may stand on what the judge says of a metric, before it is asked; empty: one
    may.

    Its version is known when it answers, and looked at again then.

    Raises:
        UsageError: the judge has no such rubric.
        ModelFileError: the rubric's file cannot be used.
    """
    known = newest(project, metric)
    if known is None:
        about = "" if metric == NAME else f", on {metric}"
        return f"the judge is {NOT_CALIBRATED}{about}; {calibrate_by(metric)}"
    return f"{known.objection}; {calibrate_by(metric)}" if known.objection else ""


def asked_for(settings: JudgeSettings, metric: str, *, folder: Path) -> JudgeSettings:
    """The judge as it is asked for a metric.

    Raises:
        UsageError: it has no such rubric.
        ModelFileError: the rubric's file cannot be used.
    """
    if metric in NAMES:
        return settings
    names = {metric_of_rubric(name): name for name in settings.rubrics}
    if metric not in names:
        raise UsageError(
            f"The judge has no metric {metric!r}.",
            remedy=did_you_mean(metric, [*NAMES, *names]),
        )
    return by_rubric(settings, names[metric], folder=folder)
