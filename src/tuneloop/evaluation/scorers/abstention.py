"""Whether the model knows what is not its business.

Abstention is the declared answer (`task.abstain`) by which a model hands a request to a person.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuneloop.evaluation.scorers.accuracy import accuracy
from tuneloop.evaluation.scorers.base import RIGHT, Family, Metric, Score, Scorer, passed
from tuneloop.evaluation.scorers.same_values import told
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings
from tuneloop.task.kind import is_prose
from tuneloop.task.label import is_abstention


def abstained(task: TaskSettings) -> Scorer:
    """1 where the model abstained.

    Over out-of-scope cases its mean is the recall, over in-scope cases the over-abstention.
    """

    def score(case: Case, output: str) -> Score:
        return passed(is_abstention(output, task), "answered")

    return score


def abstention_right(task: TaskSettings) -> Scorer:
    """1 where an abstention met an out-of-scope case; counts abstentions only (precision)."""

    def score(case: Case, output: str) -> Score | None:
        if not is_abstention(output, task):
            return None
        return RIGHT if case.out_of_scope else Score(value=0.0, detail="abstained in scope")

    return score


def _metrics(task: TaskSettings) -> Sequence[Metric]:
    if task.abstain is None:
        return ()
    return [
        Metric(
            name="abstention_recall",
            about="out-of-scope cases that were answered by an abstention",
            scorer=abstained(task),
            counts="out-of-scope",
        ),
        Metric(
            name="over_abstention",
            about="in-scope cases that were answered by an abstention",
            scorer=abstained(task),
            counts="in-scope",
            higher_is_better=False,
        ),
        Metric(
            name="abstention_precision",
            about="abstentions that met an out-of-scope case",
            scorer=abstention_right(task),
            needs_answer=True,
        ),
        *(() if is_prose(task) else (_correct(task),)),
    ]


def _correct(task: TaskSettings) -> Metric:
    accurate, handed_over = accuracy(task), abstained(task)

    def score(case: Case, output: str) -> Score | None:
        return (handed_over if case.out_of_scope else accurate.scorer)(case, output)

    return Metric(
        name="correct",
        about="all cases: accurate in scope, an abstention out of scope" + told(task.same_values),
        scorer=score,
    )


FAMILY = Family(
    name="abstention",
    about="whether the model knows what is not its business",
    of_task=_metrics,
)
