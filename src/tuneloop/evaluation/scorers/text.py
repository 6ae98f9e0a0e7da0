"""Scores of free text against a reference answer."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from tuneloop.evaluation.scorers.base import RIGHT, Family, Metric, Score, Scorer, Wanted, passed
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings
from tuneloop.sameness import forgiving, words
from tuneloop.task.kind import is_prose


def exact(case: Case, output: str) -> Score | None:
    """The answer is the reference, character for character, but for white space at its ends.

    Characters that Unicode calls equivalent (NFC) are the same, however they are encoded.
    """
    if case.expected is None:
        return None
    return passed(_characters(output) == _characters(case.expected), "differs from the reference")


def normalised_match(case: Case, output: str) -> Score | None:
    """Equal in the forgiving form of `tuneloop.sameness`."""
    if case.expected is None:
        return None
    return passed(forgiving(output) == forgiving(case.expected), "differs from the reference")


def token_f1(case: Case, output: str) -> Score | None:
    """Harmonic mean of precision and recall of the words (see `sameness.segmenting`).

    The definition of SQuAD (Rajpurkar et al. 2016, section 6.1), but articles and symbols count.
    """
    if case.expected is None:
        return None
    said, wanted = words(forgiving(output)), words(forgiving(case.expected))
    if not said or not wanted:
        return passed(said == wanted, "no words in common with the reference")
    common = (Counter(said) & Counter(wanted)).total()
    if common == 0:
        return Score(value=0.0, detail="no words in common with the reference")
    value = 2 * common / (len(said) + len(wanted))
    return RIGHT if value == 1 else Score(value=value, detail=f"token F1 {value:.2f}")


def _characters(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


_ON_DEMAND: Mapping[str, Scorer] = {
    "exact": exact,
    "normalised_match": normalised_match,
    "token_f1": token_f1,
}
_ABOUT = {
    "exact": "equal but for white space at the ends and the encoding of characters",
    "normalised_match": "equal in forgiving form",
    "token_f1": "words and symbols of every script",
}
NAMES = tuple(_ON_DEMAND)
"""What every task can be measured by, if asked to."""


def _metric(name: str) -> Metric:
    return Metric(
        name=name,
        about=f"{name} against the reference, in-scope cases; {_ABOUT[name]}",
        scorer=_ON_DEMAND[name],
        counts="in-scope",
    )


def _of_task(task: TaskSettings) -> Sequence[Metric]:
    if task.output_schema is not None or is_prose(task):
        return ()
    return (_metric("exact"), _metric("token_f1"))


def _wanted(wanted: Wanted) -> Metric:
    return _metric(wanted.name)


FAMILY = Family(
    name="text",
    about="likeness to the reference answer",
    of_task=_of_task,
    brings=lambda name: name in NAMES,
    metric=_wanted,
)
