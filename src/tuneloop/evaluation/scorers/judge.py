"""The family of the language model that scores answers; see `evaluation.judging`."""

from __future__ import annotations

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import Family, Metric, Wanted

NAME = "judge"


def _judged(wanted: Wanted) -> Metric:
    if wanted.judge is None:
        raise EvaluationError(
            "A gate or scorer names the metric 'judge', but there is no judge here to ask.",
            remedy="Remove it, or evaluate with the model file's judge.",
        )
    return wanted.judge()


FAMILY = Family(
    name=NAME,
    about="answers that a language model passes by the rubric",
    brings=lambda name: name == NAME,
    metric=_judged,
)
