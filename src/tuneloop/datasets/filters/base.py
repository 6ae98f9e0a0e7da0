"""What a filter is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tuneloop.datasets.example import Example


@dataclass(frozen=True)
class FilterResult:
    """Whether an example stays, and if not, why."""

    keep: bool
    reason: str = ""
    """Code under which the report counts it."""
    detail: str = ""
    """What was expected and found."""


KEEP = FilterResult(keep=True)


def drop(reason: str, detail: str) -> FilterResult:
    """The verdict against an example."""
    return FilterResult(keep=False, reason=reason, detail=detail)


class Filter(Protocol):
    """A rule about one example; pure."""

    @property
    def name(self) -> str:
        """By which it is switched off."""

    def __call__(self, example: Example) -> FilterResult:
        """Keep the example, or say why not."""
