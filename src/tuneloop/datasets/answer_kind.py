"""What kind of answers the rows hold: labels, JSON, short text or prose.

Prose is where no string match can tell a right answer: most answers differ from each other, and
they are long (`LONG_WORDS`), or of several words (`SOME_WORDS`) that were not copied out of what
was asked, as extracted addresses are. Long answers that come back again and again are canned
replies: one wording is right.
"""

from __future__ import annotations

from statistics import median_low

from tuneloop.modelfile import TaskKind
from tuneloop.sameness import forgiving, words

LONG_WORDS = 12
SOME_WORDS = 5
_LOOKED_AT = 5_000
"""Answers; more would cost seconds and change nothing."""
_MOSTLY = 0.5
_NEARLY_ALL = 0.8


class AnswerKind:
    """What the answers look like, seen one by one; none of them is kept."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._different: set[int] = set()
        self._copied = 0

    def add(self, asked: str, answer: str) -> None:
        """One more answer and what it answers."""
        if len(self._words) >= _LOOKED_AT:
            return
        said = forgiving(answer)
        self._words.append(len(words(said)))
        self._different.add(hash(said))
        self._copied += said in forgiving(asked)

    def kind(self, *, is_json: bool, is_label: bool) -> TaskKind:
        """The kind of the answers so far; JSON and labels are told elsewhere."""
        if is_json:
            return "json"
        if is_label or not self._words:
            return "labels" if is_label else "short"
        answers, length = len(self._words), median_low(self._words)
        different = len(self._different) / answers
        if length >= LONG_WORDS and different >= _MOSTLY:
            return "prose"
        own_words = self._copied < _MOSTLY * answers
        if length >= SOME_WORDS and different >= _NEARLY_ALL and own_words:
            return "prose"
        return "short"
