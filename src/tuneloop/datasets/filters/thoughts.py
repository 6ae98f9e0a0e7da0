"""A task thinks or it does not: a row of the other kind would teach both."""

from __future__ import annotations

from dataclasses import dataclass

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop


@dataclass(frozen=True, kw_only=True)
class Thoughts:
    """Answers with a thought where the model shall think, and without one where not."""

    thinking: bool
    name: str = "reasoning"

    def __call__(self, example: Example) -> FilterResult:
        """Keep the rows of the task's kind."""
        if self.thinking == bool(example.reasoning):
            return KEEP
        if self.thinking:
            return drop(
                "no_reasoning", "task.thinking is on, and the answer comes without a thought"
            )
        return drop(
            "reasoning",
            "the answer comes with a thought (reasoning_content); task.thinking: true trains it, "
            "data.drop_thoughts: true trains the answer alone",
        )
