"""The family of the language model that scores answers; see `evaluation.judging`."""

from __future__ import annotations

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import Family, Metric, Wanted

NAME = "judge"
CLAIMS = "unsupported_claims"
NAMES = (NAME, CLAIMS)


def _judged(wanted: Wanted) -> Metric:
    if wanted.judge is None:
        raise EvaluationError(
            f"A gate or scorer names the metric {wanted.name!r}, but there is no judge here to "
            "ask.",
            remedy="Remove it, or evaluate with the model file's judge.",
        )
    judge = wanted.judge()
    return next(metric for metric in (judge, *judge.beside) if metric.name == wanted.name)


FAMILY = Family(
    name=NAME,
    about="answers that a language model passes by the rubric, claims that it does not find",
    brings=lambda name: name in NAMES,
    metric=_judged,
)
