"""Whether the model knows what is not its business.

Abstention is the declared answer (`task.abstain`) by which a model hands a request to a person.
"""

from __future__ import annotations

from tuneloop.evaluation.scorers.base import RIGHT, Score, Scorer, passed
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings
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
