"""Rows that are too short to mean something or too long to be trained on whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, Verdict, drop

TokenCounter = Callable[[Example], int]


@dataclass(frozen=True, kw_only=True)
class TooShort:
    """Drops `too_short`: the user's message has fewer characters than `min_characters`."""

    min_characters: int
    name: str = "too_short"

    def __call__(self, example: Example) -> Verdict:
        """Count the characters of the last user message."""
        found = len(example.question.strip())
        if found < self.min_characters:
            return drop("too_short", f"{found} characters; expected {self.min_characters} or more")
        return KEEP


@dataclass(frozen=True, kw_only=True)
class TooLong:
    """Drops `too_long`: more characters, or tokens where a counter is given, than allowed."""

    max_characters: int
    count_tokens: TokenCounter | None = None
    max_tokens: int | None = None
    """The context window in tokens."""
    name: str = "too_long"

    def __call__(self, example: Example) -> Verdict:
        """Measure prompt and answer together: cutting an answer would teach to stop short."""
        if example.characters > self.max_characters:
            return drop(
                "too_long",
                f"{example.characters:,} characters; the limit is {self.max_characters:,}",
            )
        if self.count_tokens is not None and self.max_tokens is not None:
            tokens = self.count_tokens(example)
            if tokens > self.max_tokens:
                return drop("too_long", f"{tokens:,} tokens; the limit is {self.max_tokens:,}")
        return KEEP
