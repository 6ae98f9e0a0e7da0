"""Answers that break the form which the model file declares."""

from __future__ import annotations

from dataclasses import dataclass

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop
from tuneloop.task.answer_form import Check

_REASONS = {
    "not_json": "output_not_json",
    "schema": "output_breaks_schema",
    "pattern": "output_breaks_pattern",
}


@dataclass(frozen=True, kw_only=True)
class FormBroken:
    """Drops `output_not_json`, `output_breaks_schema` and `output_breaks_pattern`.

    An abstention is an answer too. A call of tools is none: it has the form of its tool.
    """

    name: str
    """`schema` or `pattern`: which part of the declared form it holds answers against."""
    check: Check

    def __call__(self, example: Example) -> FilterResult:
        """Hold the answer against the form."""
        fault = None if example.calls_tools else self.check(example.completion)
        return KEEP if fault is None else drop(_REASONS[fault.rule], fault.detail)
