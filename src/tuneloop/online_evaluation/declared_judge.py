"""The judge that a model file declares, to be asked."""

from __future__ import annotations

import os

from tuneloop.errors import UsageError
from tuneloop.evaluation.judging.answers import JudgeAnswers
from tuneloop.evaluation.judging.judge import Judge
from tuneloop.evaluation.judging.metric import NAME, judge_metric, metric_of_rubric
from tuneloop.evaluation.metrics import Metric
from tuneloop.modelfile import JudgeSettings
from tuneloop.project import Project
from tuneloop.setup import judged

ANSWERS_FOLDER = "cache/judge"
"""In the workspace: what judges answered."""


def declared_judge(project: Project, *, remember: bool = False, metric: str = NAME) -> Judge:
    """The model file's judge; with `remember` it keeps its answers for evaluations to come.

    `metric`: the one that it is asked for, by the rubric of that metric.

    Raises:
        UsageError: none is declared, it has no such rubric, or its API key is not in the
            environment.
        ModelFileError: the rubric's file cannot be used.
    """
    settings = project.model.judge
    if settings is None:
        raise not_declared()
    settings = judged.asked_for(settings, metric, folder=project.model_file.folder)
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
    """The metric `judge` of evaluations, with those beside it.

    Raises:
        UsageError: no judge is declared, or its API key is not in the environment.
        ModelFileError: a rubric's file cannot be used.
    """
    known = judged.calibrations(project.workspace, project.model.name)
    judge = declared_judge(project, remember=True)
    rubrics = {
        name: declared_judge(project, remember=True, metric=metric_of_rubric(name))
        for name in judge.settings.rubrics
    }
    return judge_metric(judge, known, rubrics=rubrics)


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
