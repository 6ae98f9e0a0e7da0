"""The family of the language model that scores answers; see `evaluation.judging`."""

from __future__ import annotations

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import Family, Metric, Wanted
from tuneloop.nearest import did_you_mean

NAME = "judge"
CLAIMS = "unsupported_claims"
NAMES = (NAME, CLAIMS)
_RUBRIC = f"{NAME}."


def is_judged(name: str) -> bool:
    """Whether a metric is what a language model says."""
    return name in NAMES or name.startswith(_RUBRIC)


def metric_of_rubric(rubric: str) -> str:
    """The metric of a rubric of the team's own, e.g. `judge.tone`."""
    return f"{_RUBRIC}{rubric}"


def _judged(wanted: Wanted) -> Metric:
    if wanted.judge is None:
        raise EvaluationError(
            f"A gate or scorer names the metric {wanted.name!r}, but there is no judge here to "
            "ask.",
            remedy="Remove it, or evaluate with the model file's judge.",
        )
    judge = wanted.judge()
    made = {metric.name: metric for metric in (judge, *judge.beside)}
    if wanted.name not in made:
        rubric = wanted.name.removeprefix(_RUBRIC)
        raise EvaluationError(
            f"A gate or scorer names the metric {wanted.name!r}, and the judge has no rubric "
            f"{rubric!r}.",
            remedy=f"{did_you_mean(wanted.name, list(made))} A rubric is a file: "
            f"judge.rubrics: {{{rubric}: {rubric}.md}}.",
        )
    return made[wanted.name]


FAMILY = Family(
    name=NAME,
    about="answers that a language model passes by the rubric, claims that it does not find",
    brings=is_judged,
    metric=_judged,
)
