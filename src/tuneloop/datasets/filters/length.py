"""Rows that are too short to mean something or too long to be one example.

Training itself leaves out what is longer than its window in tokens (`context_tokens`, or
`training.max_length`): only there is the tokenizer known.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop

TOO_LONG = "too_long"


@dataclass(frozen=True, kw_only=True)
class TooShort:
    """Drops `too_short`: the user's message has fewer characters than `min_characters`."""

    min_characters: int
    name: str = "too_short"

    def __call__(self, example: Example) -> FilterResult:
        """Count the characters of the last user message."""
        characters = len(example.question.strip())
        if characters < self.min_characters:
            return drop(
                "too_short", f"{characters} characters; expected {self.min_characters} or more"
            )
        return KEEP


@dataclass(frozen=True, kw_only=True)
class TooLong:
    """Drops `too_long`: more characters than allowed."""

    max_characters: int
    name: str = TOO_LONG

    def __call__(self, example: Example) -> FilterResult:
        """Measure prompt and answer together: cutting an answer would teach to stop short."""
        if example.characters > self.max_characters:
            return drop(
                TOO_LONG,
                f"{example.characters:,} characters; the limit is {self.max_characters:,} "
                "(data.max_characters)",
            )
        return KEEP
