"""What reviewing costs and how far it can be relied on: pace, agreement, age of the queue."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from statistics import median
from typing import Literal

from tuneloop import intervals
from tuneloop.agreement import kappa
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.prose.changes import edit_of
from tuneloop.review import queue
from tuneloop.review.edits import Edits, edits
from tuneloop.review.measures import measures_against_people
from tuneloop.review.outcome import Judgement, agreement, same_person
from tuneloop.review.queue import ReviewItem
from tuneloop.task.kind import is_prose
from tuneloop.workspace import Workspace

SLOW_SECONDS = 180.0
"""More time an example than this raises a warning (D10)."""
Category = Literal["as proposed", "edited", "rejected"]
_WAITING = ("open", "skipped", "second", "disputed")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How quickly examples are judged; skipped ones and untimed judgements do not count."""

    n: int
    """Timed judgements."""
    seconds_per_example: float
    """Mean; a break in the middle counts."""
    examples_per_hour: float


@dataclass(frozen=True, kw_only=True)
class Reviewer:
    """What one person judged."""

    name: str
    counts: Mapping[str, int]
    """as proposed, edited, rejected or skipped → judgements"""
    pace: Pace | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two people, neither of whom saw the other's judgement, decided the same."""

    n: int
    """Items judged by two."""
    observed: Figure
    """Share with the same decision (as proposed, edited or rejected); Wilson interval."""
    same_answer: Figure
    """Share where nothing had to be settled: the same decision and the same answer; of prose, see
    `outcome.same_facts`."""
    kappa: Figure | None
    """Cohen's kappa of the decisions; None where everybody decided the same way all the time, so
    that chance alone would agree as well."""


@dataclass(frozen=True, kw_only=True)
class ReviewStats:
    """The figures of a model's queue."""

    waiting: Mapping[str, int]
    """Status → items that nobody has settled: open, skipped, second, disputed."""
    waiting_by_kind: Mapping[str, int]
    oldest_days: float | None
    """Age of the oldest item that waits, in days."""
    median_days: float | None
    pace: Pace | None
    slow: bool
    """An example takes more than three minutes."""
    reviewers: tuple[Reviewer, ...]
    agreement: Agreement | None
    """None while nothing was judged by two."""
    edits: Edits | None = None
    """What was changed in approved answers of prose; None without any, and of other tasks."""
    measures: Mapping[str, Figure] = field(default_factory=dict)
    """Of prose: metric → how far it goes with people's decisions, see `measures_against_people`."""


def stats(workspace: Workspace, model: str, *, task: TaskSettings | None = None) -> ReviewStats:
    """All figures, over everything that stands; `task` says what is a change in its answers.

    Raises:
        MissingExtraError: items were judged by two, and statsmodels is not installed; or answers of
            prose were edited, and RapidFuzz is not.
    """
    items = queue.listing(workspace, model, status=None)
    made, now = queue.judgements(workspace, model), workspace.now()
    if task is None or not is_prose(task):
        return figures(items, made, now=now)
    return replace(
        figures(items, made, now=now, prose=True), measures=measures_against_people(items, task)
    )


def figures(
    items: Sequence[ReviewItem],
    judgements: Sequence[Judgement],
    *,
    now: datetime,
    prose: bool = False,
) -> ReviewStats:
    """The figures of these items and judgements; pure."""
    left = [item for item in items if item.status in _WAITING]
    ages = [(now - item.created_at).total_seconds() / 86_400 for item in left]
    proposed = {item.id: item.proposal for item in items}
    pace = _pace(judgements)
    return ReviewStats(
        waiting=dict(Counter(item.status for item in left)),
        waiting_by_kind=dict(Counter(item.kind for item in left)),
        oldest_days=max(ages, default=None),
        median_days=median(ages) if ages else None,
        pace=pace,
        slow=pace is not None and pace.seconds_per_example > SLOW_SECONDS,
        reviewers=_reviewers(judgements, proposed),
        agreement=_agreement(_pairs(items, judgements), proposed, prose=prose),
        edits=edits(items) if prose else None,
    )


def pace(items: Sequence[tuple[str, float]]) -> float | None:
    """Examples per expert hour from (decision, seconds) of timed judgements; None without any."""
    seconds = sum(spent for status, spent in items if status != "skipped")
    count = sum(status != "skipped" for status, _ in items)
    return count * 3_600 / seconds if seconds > 0 else None


def _pace(judgements: Sequence[Judgement]) -> Pace | None:
    timed = [
        (judgement.decision, judgement.seconds)
        for judgement in judgements
        if judgement.seconds is not None and judgement.decision != "skipped"
    ]
    per_hour = pace(timed)
    if per_hour is None:
        return None
    return Pace(n=len(timed), seconds_per_example=3_600 / per_hour, examples_per_hour=per_hour)


def _reviewers(
    judgements: Sequence[Judgement], proposed: Mapping[str, str]
) -> tuple[Reviewer, ...]:
    theirs: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        theirs[judgement.reviewer.casefold()].append(judgement)
    return tuple(
        Reviewer(
            name=made[0].reviewer,
            counts=dict(
                Counter(
                    "skipped"
                    if judgement.decision == "skipped"
                    else category(judgement, proposed[judgement.item])
                    for judgement in made
                )
            ),
            pace=_pace(made),
        )
        for _, made in sorted(theirs.items())
    )


def category(judgement: Judgement, proposal: str) -> Category:
    """What a judgement counts as; approving another answer than the proposed one is an edit."""
    if judgement.decision == "rejected":
        return "rejected"
    return "as proposed" if (judgement.final or "").strip() == proposal.strip() else "edited"


def _rated(judgement: Judgement, proposal: str, *, prose: bool) -> Category:
    """The same between two people: who mends a comma of prose has found nothing else than who
    approved it."""
    rated = category(judgement, proposal)
    if prose and rated == "edited" and edit_of(proposal, judgement.final or "").kind == "form":
        return "as proposed"
    return rated


def _pairs(
    items: Sequence[ReviewItem], judgements: Sequence[Judgement]
) -> list[tuple[Judgement, Judgement]]:
    """The two independent judgements of each item that two people judged."""
    double = {item.id for item in items if item.judges > 1}
    taken: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        if judgement.item in double and judgement.decision != "skipped":
            taken[judgement.item].append(judgement)
    return [
        (made[0], made[1])
        for made in taken.values()
        if len(made) > 1 and not same_person(made[0].reviewer, made[1].reviewer)
    ]


def _agreement(
    pairs: Sequence[tuple[Judgement, Judgement]], proposed: Mapping[str, str], *, prose: bool
) -> Agreement | None:
    if not pairs:
        return None
    # Who came first means nothing: a rater is told from the other by name, as kappa needs it.
    ordered = [sorted(pair, key=lambda judgement: judgement.reviewer.casefold()) for pair in pairs]
    decisions = [
        (
            _rated(first, proposed[first.item], prose=prose),
            _rated(other, proposed[other.item], prose=prose),
        )
        for first, other in ordered
    ]
    n = len(pairs)
    agreed = sum(
        agreement(proposed[first.item], prose=prose)(first, other) for first, other in pairs
    )
    return Agreement(
        n=n,
        observed=intervals.share(sum(first == other for first, other in decisions), n),
        same_answer=intervals.share(agreed, n),
        kappa=kappa(decisions),
    )
