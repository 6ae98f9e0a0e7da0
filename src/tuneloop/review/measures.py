"""How far measures of answers go with what people decided about the same answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.suites import Case
from tuneloop.evaluation.validity import agreement
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.review.edits import judged_answers
from tuneloop.review.queue import ReviewItem


def measures_against_people(
    items: Iterable[ReviewItem], task: TaskSettings
) -> Mapping[str, Figure]:
    """Metric → AUC of the model's answers that stood against those that people changed or rejected.

    An answer of which the form alone was mended stood. See `validity.agreement`: 0.5 is no
    agreement, more is better. Nothing while there are not both; measures of likeness are absent, as
    an answer that stood is its own reference.

    Raises:
        MissingExtraError: a measure's package is not installed.
    """
    judged = [
        (
            Case(id=answer.item, messages=answer.messages),
            answer.answer,
            answer.decision == "approved"
            or (answer.edit is not None and answer.edit.kind == "form"),
        )
        for answer in judged_answers(items)
    ]
    return agreement(metrics_for(task), judged)
