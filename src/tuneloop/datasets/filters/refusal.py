"""Answers in which a model refused: training on them teaches to refuse."""

from __future__ import annotations

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop
from tuneloop.refusal import refusal_in


class Refusal:
    """Drops `refusal`: the model declines in the answer's beginning, in one of 14 languages."""

    name = "refusal"

    def __call__(self, example: Example) -> FilterResult:
        """Look at the answer's first 200 characters; a business that says no is an answer."""
        phrase = refusal_in(example.completion)
        return KEEP if phrase is None else drop("refusal", f"the answer refuses: {phrase!r}")
