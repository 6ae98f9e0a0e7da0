"""Answers that turn in circles: a model that loops says the same words over and over.

An answer loops where one run of words stands at least `TIMES` times in immediate succession and
these repeats have `MIN_WORDS` words or more together. Numbers count as equal, so that a numbered
list of one and the same item is a loop too. `distinct_n` is the share of different n-grams (Li et
al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", section 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from tuneloop.sameness import forgiving, words

TIMES = 3
MIN_WORDS = 16
_LONGEST = 80
"""Words of a run that is looked for."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Words that an answer says again and again."""

    words: tuple[str, ...]
    """In forgiving form, each number as 0."""
    times: int
    """How often they stand there in a row."""


def loop_in(text: str) -> Loop | None:
    """The shortest run of words that the text repeats in a loop, if it does."""
    return _loop_among(_said(text))


def has_looped(beginning: str) -> bool:
    """Whether a text that is still being written loops, whatever follows.

    Its last word may be the beginning of another one, and does not count.
    """
    return _loop_among(_said(beginning)[:-1]) is not None


def _loop_among(said: list[str]) -> Loop | None:
    for length in range(1, min(_LONGEST, len(said) // TIMES) + 1):
        repeated = 0
        """Words up to here that equal the one a run before them."""
        for end in range(length, len(said)):
            repeated = repeated + 1 if said[end] == said[end - length] else 0
            if repeated + length >= max(MIN_WORDS, TIMES * length):
                start = end - repeated - length + 1
                return Loop(
                    words=tuple(said[start : start + length]),
                    times=_times(said, start=start, length=length),
                )
    return None


def distinct_n(text: str, n: int = 2) -> float | None:
    """Share of its n-grams of words that are different, 0 to 1; None where it has none."""
    said = words(forgiving(text))
    grams = list(zip(*(said[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else None


def _said(text: str) -> list[str]:
    return [_alike(word) for word in words(forgiving(text))]


def _alike(word: str) -> str:
    return "0" if word[:1].isdigit() else word


def _times(said: list[str], *, start: int, length: int) -> int:
    run, times = said[start : start + length], 1
    while said[start + times * length : start + (times + 1) * length] == run:
        times += 1
    return times
