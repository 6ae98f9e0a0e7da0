"""How long an answer is against its reference, in words of every script."""

from __future__ import annotations

from tuneloop.prose.likeness import words_of

TIMES = 3
"""An answer of three times its reference's words says something else, or says it again."""
SLACK_WORDS = 10
"""Of short references: `None.` may be answered by a sentence."""


def length_ratio(answer: str, reference: str) -> float | None:
    """Words of the answer over those of the reference, from 0 up; 1: as long as it.

    None where the reference has no words.
    """
    wanted = len(words_of(reference))
    return len(words_of(answer)) / wanted if wanted else None


def fitting_lengths(reference: str) -> tuple[int, int]:
    """The fewest and the most words of an answer that is neither much too short nor too long.

    A third of the reference's words less `SLACK_WORDS`, but one word at least; three times them
    and `SLACK_WORDS` more.
    """
    wanted = len(words_of(reference))
    return max(1, wanted // TIMES - SLACK_WORDS), wanted * TIMES + SLACK_WORDS


def misfit(answer: str, reference: str) -> str:
    """What is wrong with the answer's length, in words; empty: it fits."""
    said, (fewest, most) = len(words_of(answer)), fitting_lengths(reference)
    if fewest <= said <= most:
        return ""
    return f"{said} words, where {fewest} to {most} fit the reference"
