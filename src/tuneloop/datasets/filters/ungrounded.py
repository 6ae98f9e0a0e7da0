"""Answers that state what their prompt does not have: they teach a model to make things up."""

from __future__ import annotations

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop
from tuneloop.prose.groundedness import texts_in, ungrounded


class Ungrounded:
    """Drops `ungrounded`: a number, date, quantity, name, code or quotation of the answer stands in
    no message before it and in no tool."""

    name = "ungrounded"

    def __call__(self, example: Example) -> FilterResult:
        """Look the answer's facts up, as an evaluation does with a model's."""
        row = example.as_row()
        spans = ungrounded(example.completion, texts_in([row["messages"], row.get("tools", [])]))
        if not spans:
            return KEEP
        named = ", ".join(repr(span.text) for span in spans[:3])
        return drop("ungrounded", f"the answer states what its prompt does not have: {named}")
