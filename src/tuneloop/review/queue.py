"""The queue itself: put in once, listed, and read by whoever needs what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop.hashing import digest_json
from tuneloop.review.outcome import Judgement, judges, same_person
from tuneloop.storage import tables
from tuneloop.storage.messages import last_user_text
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

Kind = Literal["correction", "contradiction", "sample"]
ID_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Something to put into the queue."""

    kind: Kind
    key: str
    """What it is about; one model and kind has one item for it, however often it is put in."""
    messages: Sequence[Mapping[str, Any]]
    """The prompt."""
    answer: str
    """What the model said; empty where it was not asked."""
    proposal: str
    """What it should have said, as far as anybody knows; for a sample, the model's own answer."""
    interaction: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    """For people: of a contradiction the `answers`, each with the `rows` that give it."""

    def item(self, model: str) -> str:
        """Id of its item."""
        return digest_json([model, self.kind, self.key])[:ID_DIGITS]


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """Something that a person must look at."""

    id: str
    kind: str
    interaction: str | None
    messages: tuple[Mapping[str, Any], ...]
    """The prompt as the client sent it: a content may be text, a list of parts, or missing."""
    answer: str
    """What the model said."""
    proposal: str
    """What it should have said, by whoever corrected it."""
    detail: Mapping[str, Any]
    """See `Proposal`."""
    judges: int
    """People who must judge it, 1 or 2."""
    status: str
    """See `outcome.Status`."""
    final: str | None
    """The approved answer."""
    reviewer: str | None
    """Whose judgement decided it; None until then, so that a second judge learns nothing."""
    created_at: datetime
    decided_at: datetime | None

    @property
    def question(self) -> str:
        """The text of the prompt's last user turn."""
        return last_user_text(self.messages)

    @property
    def edited(self) -> bool:
        """Whether the approved answer is another one than the model's."""
        return self.final is not None and self.final.strip() != self.answer.strip()


def enqueue(
    workspace: Workspace,
    proposals: Iterable[Proposal],
    *,
    model: str,
    double_share: float,
) -> int:
    """Put proposals into the queue; returns how many were new. Doing it again changes nothing.

    `double_share` of them, chosen by their ids, are to be judged by two people.
    """
    with workspace.records.begin() as tx:
        return put(tx, workspace, proposals, model=model, double_share=double_share)


def put(
    tx: sa.Connection,
    workspace: Workspace,
    proposals: Iterable[Proposal],
    *,
    model: str,
    double_share: float,
) -> int:
    """`enqueue` inside a transaction."""
    table = tables.review_items
    fresh = {proposal.item(model): proposal for proposal in proposals}
    known = set(
        tx.execute(sa.select(table.c.id).where(table.c.model == model, table.c.id.in_(fresh)))
        .scalars()
        .all()
    )
    rows = [
        {
            "id": item,
            "model": model,
            "kind": proposal.kind,
            "interaction": proposal.interaction,
            "messages": [dict(message) for message in proposal.messages],
            "answer": storable(proposal.answer),
            "proposal": storable(proposal.proposal),
            "detail": dict(proposal.detail),
            "judges": judges(item, double_share),
            "status": "open",
            "created_at": workspace.now(),  # one by one: they are listed in this order
        }
        for item, proposal in fresh.items()
        if item not in known
    ]
    if rows:
        tx.execute(sa.insert(table), rows)
    return len(rows)


def storable(text: str) -> str:
    """PostgreSQL refuses NUL in a text; one client's must not stop the review of all."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def listing(
    workspace: Workspace, model: str, *, status: str | None = "open", kind: Kind | None = None
) -> list[ReviewItem]:
    """The items of a model with a status (None: all), the oldest first."""
    table = tables.review_items
    query = sa.select(table).where(table.c.model == model).order_by(table.c.created_at, table.c.id)
    if status is not None:
        query = query.where(table.c.status == status)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    with workspace.records.begin() as tx:
        return [record_of(ReviewItem, row) for row in tx.execute(query)]


def waiting(workspace: Workspace, model: str, reviewer: str) -> list[ReviewItem]:
    """Items that wait for this person: open ones, and those that another one judged first."""
    items = [
        item
        for status in ("open", "second", "disputed")
        for item in listing(workspace, model, status=status)
    ]
    had = {
        judgement.item
        for judgement in judgements(workspace, model)
        if same_person(judgement.reviewer, reviewer)
    }
    return [item for item in items if item.status == "open" or item.id not in had]


def decided(
    workspace: Workspace, model: str, *, kind: Kind, since: datetime | None = None
) -> list[ReviewItem]:
    """Approved and rejected items of a kind, in the order of their decisions.

    What follows from a decision is pulled from here by whoever it concerns, not pushed by the
    process that the person happened to sit at: a kill loses nothing. An undone decision is not in
    it any more.
    """
    items = [
        item
        for item in listing(workspace, model, status=None, kind=kind)
        if item.status in ("approved", "rejected")
        and item.decided_at is not None
        and (since is None or item.decided_at > since)
    ]
    return sorted(items, key=lambda item: (item.decided_at, item.id))


def judgements(workspace: Workspace, model: str) -> list[Judgement]:
    """All judgements that stand, the oldest first."""
    with workspace.records.begin() as tx:
        return read_judgements(tx, tables.review_items.c.model == model)


def read_judgements(tx: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Judgement]:
    """Judgements of the items that fulfil a condition, without withdrawn ones."""
    table, items = tables.judgements, tables.review_items
    query = (
        sa.select(table)
        .join(items, items.c.id == table.c.item)
        .where(condition, table.c.withdrawn_at.is_(None))
        .order_by(table.c.id)
    )
    return [record_of(Judgement, row) for row in tx.execute(query)]
