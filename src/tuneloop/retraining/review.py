"""The review queue: what production got wrong, and what a person decided about it.

A correction enters as a proposal and reaches a dataset only when a person approves it (D11).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop.answer_form import edited_text
from tuneloop.errors import ConflictError, UsageError
from tuneloop.hashing import digest_json
from tuneloop.registry import audit
from tuneloop.storage import tables
from tuneloop.storage.messages import last_user_text
from tuneloop.workspace import Workspace

Decision = Literal["approved", "rejected", "skipped"]
ID_DIGITS = 12
_UNDECIDED = ("open", "skipped")


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """Something that a person must look at."""

    id: str
    interaction: str | None
    messages: tuple[Mapping[str, Any], ...]
    """The prompt as the client sent it: a content may be text, a list of parts, or missing."""
    answer: str
    """What the model said."""
    proposal: str
    """What it should have said, by whoever corrected it."""
    status: str
    """open, approved, rejected or skipped"""
    final: str | None
    """The approved answer."""
    reviewer: str | None
    created_at: datetime
    decided_at: datetime | None

    @property
    def question(self) -> str:
        """The text of the prompt's last user turn."""
        return last_user_text(self.messages)


def collect(workspace: Workspace, *, model: str, endpoint: str) -> int:
    """Put the edits that clients sent as feedback into the queue; returns how many were new.

    The last edit of an interaction counts: while nobody has approved or rejected an item, a later
    edit replaces its proposal, and opens it again if it was skipped. Edits whose interaction was
    not captured wait: they are found again by the next call.
    """
    table, new = tables.review_items, 0
    with workspace.records.begin() as tx:
        known = {
            row.interaction: row
            for row in tx.execute(
                sa.select(table.c.id, table.c.interaction, table.c.proposal).where(
                    table.c.model == model
                )
            )
        }
        for edited in _edited(workspace, endpoint):
            earlier = known.get(edited["id"])
            proposal = edited["proposal"]
            if earlier is None and proposal != edited["answer"]:
                new += 1
                tx.execute(
                    sa.insert(table).values(
                        id=digest_json([model, edited["id"]])[:ID_DIGITS],
                        model=model,
                        kind="correction",
                        interaction=edited["id"],
                        messages=edited["messages"],
                        answer=edited["answer"],
                        proposal=proposal,
                        status="open",
                        created_at=workspace.now(),
                    )
                )
            elif earlier is not None and proposal != earlier.proposal:
                tx.execute(
                    sa.update(table)
                    .where(table.c.id == earlier.id, table.c.status.in_(_UNDECIDED))
                    .values(proposal=proposal, status="open")
                )
    return new


def _edited(workspace: Workspace, endpoint: str) -> list[dict[str, Any]]:
    """Captured interactions with the last edit of each: `id`, `messages`, `answer`, `proposal`."""
    import polars as pl

    edits = (
        workspace.traffic.scan("feedback")
        .filter(pl.col("kind") == "edit")
        .sort("time", "id")
        .group_by("interaction", maintain_order=True)
        .last()
        .select("interaction", "value")
    )
    joined = (
        workspace.traffic.scan("interactions")
        .filter(pl.col("endpoint") == endpoint)
        .join(edits, left_on="id", right_on="interaction")
        .select("id", "messages", "response", "value", "time")
        .sort("time", "id")
        .collect()
    )
    return [
        {
            "id": row["id"],
            "messages": json.loads(row["messages"]),
            "answer": _storable(row["response"] or ""),
            "proposal": _storable(proposal),
        }
        for row in joined.iter_rows(named=True)
        if (proposal := edited_text(row["value"])) is not None
    ]


def _storable(text: str) -> str:
    """PostgreSQL refuses NUL in a text; one client's must not stop the review of all."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def listing(workspace: Workspace, model: str, *, status: str | None = "open") -> list[ReviewItem]:
    """The items of a model with a status (None: all), the oldest first."""
    table = tables.review_items
    query = sa.select(table).where(table.c.model == model).order_by(table.c.created_at, table.c.id)
    if status is not None:
        query = query.where(table.c.status == status)
    with workspace.records.begin() as tx:
        return [_record(row) for row in tx.execute(query)]


def decide(
    workspace: Workspace,
    *,
    model: str,
    item: str,
    decision: Decision,
    reviewer: str,
    final: str | None = None,
    seconds: float | None = None,
) -> None:
    """Record a person's decision about an open or skipped item.

    `final` is the approved answer, the proposal by default; `seconds` is the time that the
    decision took.

    Raises:
        UsageError: there is no such item, or the approved answer is empty.
        ConflictError: somebody decided it already.
    """
    if final is not None and not final.strip():
        raise UsageError(
            f"The approved answer of {item} is empty.", remedy="Reject the item, or say the answer."
        )
    table = tables.review_items
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.model == model, table.c.id == item)).first()
        if row is None:
            raise UsageError(
                f"There is no review item {item!r}.", remedy="See them with: tuneloop review list"
            )
        answer = row.proposal if final is None else final
        changed = tx.execute(
            sa.update(table)
            .where(table.c.id == item, table.c.status.in_(_UNDECIDED))
            .values(
                status=decision,
                final=answer if decision == "approved" else None,
                reviewer=reviewer,
                seconds=seconds,
                decided_at=workspace.now(),
            )
        )
        if changed.rowcount != 1:
            raise ConflictError(f"{item} was {row.status} by {row.reviewer} already.")
        audit.record(
            tx,
            model=model,
            actor=reviewer,
            action=f"review.{decision}",
            detail={"item": item, "interaction": row.interaction},
            now=workspace.now(),
        )


def approved_rows(workspace: Workspace, model: str) -> list[dict[str, Any]]:
    """Approved corrections as chat rows, in a fixed order."""
    items = sorted(listing(workspace, model, status="approved"), key=lambda item: item.id)
    return [
        {
            "messages": [*map(dict, item.messages), {"role": "assistant", "content": item.final}],
            "tags": {"origin": "correction", "review": item.id, "reviewer": item.reviewer or ""},
        }
        for item in items
    ]


def pace(items: Sequence[tuple[str, float]]) -> float | None:
    """Examples per expert hour from (status, seconds) of timed decisions; None without any."""
    seconds = sum(spent for status, spent in items if status != "skipped")
    count = sum(status != "skipped" for status, _ in items)
    return count * 3_600 / seconds if seconds > 0 else None


def _record(row: sa.Row[Any]) -> ReviewItem:
    return ReviewItem(
        id=row.id,
        interaction=row.interaction,
        messages=tuple(row.messages),
        answer=row.answer,
        proposal=row.proposal,
        status=row.status,
        final=row.final,
        reviewer=row.reviewer,
        created_at=row.created_at,
        decided_at=row.decided_at,
    )
