"""The review queue: what a person must look at, and what people decided about it.

Nothing of it reaches a dataset before a person has approved it (D11); where two must judge, before
both have, independently of each other (D10).
"""

from tuneloop.review.approving import decide, undo
from tuneloop.review.conflicts import collect_contradictions
from tuneloop.review.corrections import (
    approved_rows,
    collect,
    collect_corrections,
    reviewers_of,
    sampled_rows,
)
from tuneloop.review.edits import Edits, JudgedAnswer, edit_in, judged_answers
from tuneloop.review.form import DeclaredForm, declared_form
from tuneloop.review.outcome import Decision, Judgement
from tuneloop.review.queue import (
    Kind,
    Proposal,
    ReviewItem,
    decided,
    enqueue,
    judgements,
    listing,
    waiting,
)
from tuneloop.review.stats import ReviewStats, pace, stats

__all__ = [
    "Decision",
    "DeclaredForm",
    "Edits",
    "JudgedAnswer",
    "Judgement",
    "Kind",
    "Proposal",
    "ReviewItem",
    "ReviewStats",
    "approved_rows",
    "collect",
    "collect_contradictions",
    "collect_corrections",
    "decide",
    "decided",
    "declared_form",
    "edit_in",
    "enqueue",
    "judged_answers",
    "judgements",
    "listing",
    "pace",
    "reviewers_of",
    "sampled_rows",
    "stats",
    "undo",
    "waiting",
]
