"""What the judgements of an item come to: pure rules, the status is nothing but their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tuneloop.datasets.split import hash_share
from tuneloop.prose.changes import edit_of
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


Agreement = Callable[[Judgement, Judgement], bool]
"""Whether two people decided the same."""


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


def outcome(
    judgements: Sequence[Judgement], *, judges: int, agree: Agreement | None = None
) -> ReviewOutcome:
    """Where an item stands after these judgements, the oldest first.

    `agree` says whether two of them decided the same; by default `same_answer`.
    """
    agree = agree or same_answer
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


def agreement(proposal: str, *, prose: bool) -> Agreement:
    """The rule by which two judgements of an item with this proposal agree."""
    if not prose:
        return same_answer
    return lambda one, other: same_facts(one, other, proposal=proposal)


def same_answer(one: Judgement, other: Judgement) -> bool:
    """Whether both decided the same, and approved answers that say the same."""
    if one.decision != other.decision:
        return False
    return forgiving_answer(one.final or "") == forgiving_answer(other.final or "")


def same_facts(one: Judgement, other: Judgement, *, proposal: str) -> bool:
    """The same of prose, which two people never write alike.

    Two answers say the same where they differ in form only; and where both people edited the
    proposal, also if they differ in wording but in no fact: the later one stands then. Who approved
    it as proposed does not agree with who reworded it, for one of their texts would be lost.

    Raises:
        MissingExtraError: RapidFuzz is not installed.
    """
    if one.decision != other.decision or one.final is None or other.final is None:
        return one.decision == other.decision
    kind = edit_of(one.final, other.final).kind
    return kind == "form" or (
        kind == "wording"
        and all(edit_of(proposal, text).kind != "form" for text in (one.final, other.final))
    )


def same_person(one: str, other: str) -> bool:
    """`Ines` and ` ines` are one person."""
    return one.strip().casefold() == other.strip().casefold()
