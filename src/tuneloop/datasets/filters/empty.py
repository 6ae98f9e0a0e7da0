"""Rows without a question or without an answer."""

from __future__ import annotations

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop


class Empty:
    """Drops `empty_input` and `empty_output`."""

    name = "empty"

    def __call__(self, example: Example) -> FilterResult:
        """Look for anything but white space."""
        if not example.question.strip():
            return drop("empty_input", "the user's message is empty")
        if not example.completion.strip():
            return drop("empty_output", "the answer is empty")
        return KEEP
