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

from tuneloop.errors import ConflictError, UsageError
from tuneloop.hashing import digest_json
from tuneloop.registry import audit
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

Decision = Literal["approved", "rejected", "skipped"]
ID_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """Something that a person must look at."""

    id: str
    interaction: str | None
    messages: tuple[Mapping[str, str], ...]
    """The prompt as the client sent it."""
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
        """The last message of the prompt."""
        return self.messages[-1]["content"] if self.messages else ""


def collect(workspace: Workspace, *, model: str, endpoint: str) -> int:
    """Put the edits that clients sent as feedback into the queue; returns how many were new.

    The last edit of an interaction counts. Edits whose interaction was not captured wait: they
    are found again by the next call.
    """
    import polars as pl

    edits = (
        workspace.traffic.scan("feedback")
        .filter(pl.col("kind") == "edit")
        .sort("time")
        .group_by("interaction", maintain_order=True)
        .last()
        .select("interaction", "value")
    )
    joined = (
        workspace.traffic.scan("interactions")
        .filter(pl.col("endpoint") == endpoint)
        .join(edits, left_on="id", right_on="interaction")
        .select("id", "messages", "response", "value", "time")
        .sort("time")
        .collect()
    )
    table, new = tables.review_items, 0
    with workspace.records.begin() as tx:
        known = set(
            tx.execute(sa.select(table.c.interaction).where(table.c.model == model)).scalars()
        )
        for row in joined.iter_rows(named=True):
            proposal = edited_text(row["value"])
            if row["id"] in known or proposal is None or proposal == row["response"]:
                continue
            tx.execute(
                sa.insert(table).values(
                    id=digest_json([model, row["id"]])[:ID_DIGITS],
                    model=model,
                    kind="correction",
                    interaction=row["id"],
                    messages=json.loads(row["messages"]),
                    answer=row["response"] or "",
                    proposal=proposal,
                    status="open",
                    created_at=workspace.now(),
                )
            )
            new += 1
    return new


def edited_text(value: str) -> str | None:
    """The corrected answer in an edit's JSON value; None when it is no text."""
    try:
        decoded = json.loads(value)
    except ValueError:
        return None
    return decoded if isinstance(decoded, str) else None


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

    `final` is the approved answer where it differs from the proposal; `seconds` is the time that
    the decision took.

    Raises:
        UsageError: there is no such item.
        ConflictError: somebody decided it already.
    """
    table = tables.review_items
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.model == model, table.c.id == item)).first()
        if row is None:
            raise UsageError(
                f"There is no review item {item!r}.", remedy="See them with: tuneloop review list"
            )
        changed = tx.execute(
            sa.update(table)
            .where(table.c.id == item, table.c.status.in_(("open", "skipped")))
            .values(
                status=decision,
                final=(final or row.proposal) if decision == "approved" else None,
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
