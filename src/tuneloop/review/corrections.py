"""Edits that clients sent as feedback → the queue → rows of a dataset version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tuneloop.conversation import thoughts
from tuneloop.project import Project
from tuneloop.review.edits import edit_in
from tuneloop.review.queue import Proposal, ReviewItem, listing, put, storable
from tuneloop.review.queue import judgements as all_judgements
from tuneloop.storage import tables
from tuneloop.storage.captured import chats, feedback, last_said
from tuneloop.task.answer_form import edited_text
from tuneloop.task.origin import CORRECTION, SAMPLE, WEIGHT
from tuneloop.workspace import Workspace

EDIT = "edit"
"""Tag of a corrected answer of prose: what kind of edit it was."""
_UNJUDGED = ("open", "skipped")


def collect_corrections(project: Project) -> int:
    """Put new edits from production into the review queue; how many were new.

    Raises:
        BusyError: another process has been moving the captured traffic for a minute.
    """
    project.ingest()
    return collect(
        project.workspace,
        model=project.model.name,
        endpoint=project.model.endpoint_name,
        double_share=project.model.review.double_share,
    )


def collect(workspace: Workspace, *, model: str, endpoint: str, double_share: float = 0.0) -> int:
    """Put the edits that clients sent as feedback into the queue; returns how many were new.

    The last edit of an interaction counts: while nobody has judged an item, a later edit replaces
    its proposal, and opens it again if it was skipped. Edits whose interaction was not captured
    wait: they are found again by the next call.
    """
    table, fresh = tables.review_items, []
    edited = list(_edited(workspace, endpoint))
    with workspace.records.begin() as tx:
        known = {
            row.interaction: row
            for row in tx.execute(
                sa.select(table.c.id, table.c.interaction, table.c.proposal).where(
                    table.c.model == model, table.c.kind == "correction"
                )
            )
        }
        for edit in edited:
            earlier = known.get(edit.interaction)
            if earlier is None and edit.proposal != edit.answer:
                fresh.append(edit)
            elif earlier is not None and edit.proposal != earlier.proposal:
                tx.execute(
                    sa.update(table)
                    .where(table.c.id == earlier.id, table.c.status.in_(_UNJUDGED))
                    .values(proposal=edit.proposal, status="open")
                )
        return put(tx, workspace, fresh, model=model, double_share=double_share)


def _edited(workspace: Workspace, endpoint: str) -> Iterator[Proposal]:
    """Captured chats of clients with the last edit of each; a probe is nobody's to learn from."""
    edits = last_said(feedback(workspace.traffic, "edit")).select("interaction", "value")
    joined = (
        chats(workspace.traffic, endpoint=endpoint)
        .join(edits, left_on="id", right_on="interaction")
        .select("id", "messages", "response", "value", "time")
        .sort("time", "id")
        .collect()
    )
    for row in joined.iter_rows(named=True):
        proposal = edited_text(row["value"])
        if proposal is not None:
            yield Proposal(
                kind="correction",
                key=row["id"],
                messages=json.loads(row["messages"]),
                answer=storable(thoughts.answer_in(row["response"] or "")),
                proposal=storable(proposal),
                interaction=row["id"],
            )


def approved_rows(workspace: Workspace, model: str, *, prose: bool = False) -> list[dict[str, Any]]:
    """What was approved to learn from, as rows of a data file, in the order of the decisions.

    Where the model had said something else the row is a preference pair (D12), else a conversation.
    Rows of `prose` say in their tag `edit` what was changed: form, wording or facts. Samples are
    not among them, see `sampled_rows`.
    """
    return _rows(workspace, model, prose, samples=False)


def sampled_rows(workspace: Workspace, model: str, *, prose: bool = False) -> list[dict[str, Any]]:
    """The samples of live traffic whose right answer people said, in the same form: cases (E12).

    They are there whether the model's answer was right or wrong: to keep what was wrong alone would
    choose cases by what production answered. Their tag `weight` says how many answers of their week
    they stand for. A rejected sample has no right answer and is no case.
    """
    return _rows(workspace, model, prose, samples=True)


def _rows(workspace: Workspace, model: str, prose: bool, *, samples: bool) -> list[dict[str, Any]]:
    items = [
        item
        for item in listing(workspace, model, status="approved")
        if (item.kind == SAMPLE) == samples
    ]
    return [
        _row(item, prose) for item in sorted(items, key=lambda item: (item.decided_at, item.id))
    ]


def _row(item: ReviewItem, prose: bool) -> dict[str, Any]:
    prompt = [dict(message) for message in item.messages]
    tags = {
        "origin": CORRECTION,
        "kind": item.kind,
        "review": item.id,
        "reviewer": item.reviewer or "",
    }
    if item.kind == SAMPLE:
        tags[WEIGHT] = f"{float(item.detail.get('weight', 1.0)):g}"
    if prose and (edit := edit_in(item)) is not None:
        tags[EDIT] = edit.kind
    if item.edited and item.answer.strip():
        return {"messages": prompt, "chosen": item.final, "rejected": item.answer, "tags": tags}
    answer = {"role": "assistant", "content": item.final}
    return {"messages": [*prompt, answer], "tags": tags}


def reviewers_of(workspace: Workspace, model: str, items: Sequence[str]) -> tuple[str, ...]:
    """Everybody who judged one of these items, also where another one's judgement stands."""
    wanted = set(items)
    return tuple(
        sorted(
            {
                judgement.reviewer
                for judgement in all_judgements(workspace, model)
                if judgement.item in wanted
            }
        )
    )
