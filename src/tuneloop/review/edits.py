"""What people changed in prose answers, and what their decisions say of each answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from tuneloop.prose.changes import Edit, edit_of
from tuneloop.review.queue import ReviewItem


@dataclass(frozen=True, kw_only=True)
class Edits:
    """How much people changed in the prose answers that they approved."""

    n: int
    """Approved answers that are others than the model's."""
    kinds: Mapping[str, int]
    """form, wording or facts → edits of that kind, see `prose.changes`."""
    median_share: float
    """Of an answer's words that changed, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class JudgedAnswer:
    """An answer of the model that a person has decided about."""

    item: str
    """Id of the review item."""
    messages: tuple[Mapping[str, Any], ...]
    """The prompt."""
    answer: str
    """What the model said."""
    correction: str | None
    """What a person wrote instead. None where the answer stood as it was: to measure its likeness
    to itself would say nothing, so a measure against a reference has nothing to count there."""
    decision: Literal["approved", "edited", "rejected"]
    edit: Edit | None
    """What the correction changed."""


def edit_in(item: ReviewItem) -> Edit | None:
    """What an item's approved answer, else its proposal, changes of what the model said.

    None where nothing was changed, or the model was not asked.
    """
    later = item.proposal if item.final is None else item.final
    if not item.answer.strip() or item.answer.strip() == later.strip():
        return None
    return edit_of(item.answer, later)


def edits(items: Iterable[ReviewItem]) -> Edits | None:
    """The edits in approved items; None without any."""
    made = [
        edit for item in items if item.status == "approved" and (edit := edit_in(item)) is not None
    ]
    if not made:
        return None
    return Edits(
        n=len(made),
        kinds=dict(Counter(edit.kind for edit in made)),
        median_share=median(edit.share for edit in made),
    )


def judged_answers(items: Iterable[ReviewItem]) -> Iterator[JudgedAnswer]:
    """What finished items say of the model's own answers.

    A rejected correction says that the correction was wrong, and nothing of the answer; it is none
    of these, nor is a contradiction in the data, which no model answered.
    """
    for item in items:
        if item.status not in ("approved", "rejected") or not item.answer.strip():
            continue
        if item.status == "rejected" and item.kind != "sample":
            continue
        edit = edit_in(item) if item.status == "approved" else None
        yield JudgedAnswer(
            item=item.id,
            messages=item.messages,
            answer=item.answer,
            correction=item.final if edit is not None else None,
            decision="rejected"
            if item.status == "rejected"
            else "approved"
            if edit is None
            else "edited",
            edit=edit,
        )
