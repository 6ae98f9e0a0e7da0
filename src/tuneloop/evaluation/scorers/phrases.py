"""Phrases that a case declares: what an answer of prose must say, and must not.

Prose has no string match; what a person can say of a golden case beforehand is this.
"""

from __future__ import annotations

from tuneloop.evaluation.scorers.base import Family, Metric, Score, passed
from tuneloop.evaluation.suites import Case
from tuneloop.prose.phrases import says
from tuneloop.task.kind import is_prose

NAME = "phrases"


def phrases(case: Case, output: str) -> Score | None:
    """1 where every phrase of `must_contain` is said and none of `must_not_contain`.

    None where the case declares neither. An empty answer says nothing right.
    """
    if not case.must_contain and not case.must_not_contain:
        return None
    if not output.strip():
        return Score(value=0.0, detail="no answer")
    faults = [
        *(f"does not say {phrase!r}" for phrase in case.must_contain if not says(output, phrase)),
        *(f"says {phrase!r}" for phrase in case.must_not_contain if says(output, phrase)),
    ]
    return passed(not faults, "; ".join(faults))


_METRIC = Metric(
    name=NAME,
    about="cases that declare phrases, whose answer says all of must_contain and none of "
    "must_not_contain, in forgiving form",
    scorer=phrases,
    empty_without_answer=True,
)

FAMILY = Family(
    name=NAME,
    about="phrases that an answer of prose must say, and must not",
    of_task=lambda task: (_METRIC,) if is_prose(task) else (),
)
