"""What the judgements of an item come to: pure rules, the status is nothing but their sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tuneloop.datasets.split import hash_share
from tuneloop.sameness import forgiving_answer

Decision = Literal["approved", "rejected", "skipped"]
ReviewStatus = Literal["open", "skipped", "second", "disputed", "approved", "rejected"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one person decided about one item."""

    item: str
    reviewer: str
    decision: Decision
    final: str | None
    """The answer that was approved."""
    seconds: float | None
    """Time that it took, where it was measured."""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ReviewOutcome:
    """Where an item stands."""

    status: ReviewStatus
    """second: one of two people has judged it; disputed: they disagree, a person settles it."""
    decisive: Judgement | None
    """The judgement that stands, once it is approved or rejected."""


def judges(item: str, double_share: float) -> int:
    """How many people judge an item: two for a share of them that depends on nothing but its id."""
    return 2 if hash_share(f"review:{item}") < double_share else 1


def outcome(judgements: Sequence[Judgement], *, judges: int) -> ReviewOutcome:
    """Where an item stands after these judgements, the oldest first."""
    taken = [judgement for judgement in judgements if judgement.decision != "skipped"]
    if not taken:
        return ReviewOutcome(status="skipped" if judgements else "open", decisive=None)
    if len(taken) < judges:
        return ReviewOutcome(status="second", decisive=None)
    if len(taken) == judges and not all(agree(taken[0], other) for other in taken[1:]):
        return ReviewOutcome(status="disputed", decisive=None)
    # Either they agree, or the last one settled what the first two disagreed about.
    last = taken[-1]
    return ReviewOutcome(
        status="approved" if last.decision == "approved" else "rejected", decisive=last
    )


def agree(one: Judgement, other: Judgement) -> bool:
    """Whether both decided the same, and approved answers that say the same."""
    if one.decision != other.decision:
        return False
    return forgiving_answer(one.final or "") == forgiving_answer(other.final or "")


def same_person(one: str, other: str) -> bool:
    """`Ines` and ` ines` are one person."""
    return one.strip().casefold() == other.strip().casefold()
