"""What every scorer is: a function from a case and an answer's text to a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tuneloop.evaluation.suites import Case

Fault = Literal["missing", "wrong", "invented"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How good one answer is."""

    value: float
    """0 (wrong) to 1 (right)"""
    detail: str = ""
    """why it is not 1, in words for the report"""
    fault: Fault | None = None
    """of a value: expected and not given, given and different, given and not expected"""


Scorer = Callable[[Case, str], Score | None]
"""None: the case says nothing about this metric and is not counted in it."""

RIGHT = Score(value=1.0)


def passed(condition: bool, detail: str) -> Score:
    """1 where the condition holds, else 0 with its reason."""
    return RIGHT if condition else Score(value=0.0, detail=detail)
