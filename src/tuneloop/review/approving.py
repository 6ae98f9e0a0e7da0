"""A person decides, or takes the last decision back."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tuneloop.errors import ConflictError, UsageError
from tuneloop.registry import audit, people
from tuneloop.review.form import DeclaredForm
from tuneloop.review.outcome import Decision, ReviewStatus, agreement, outcome, same_person
from tuneloop.review.queue import read_judgements
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

_UNDECIDED = ("open", "skipped", "second", "disputed")


def decide(
    workspace: Workspace,
    *,
    model: str,
    item: str,
    decision: Decision,
    reviewer: str,
    final: str | None = None,
    seconds: float | None = None,
    form: DeclaredForm | None = None,
    anyway: bool = False,
    prose: bool = False,
) -> ReviewStatus:
    """Record a person's judgement of an item; returns where the item stands now.

    `final` is the approved answer, the proposal by default; `seconds` is the time that the
    judgement took. Of an item that two people judge, the second judgement must be another
    person's. A judgement of a disputed item settles it, whoever makes it. An approved answer that
    breaks the declared `form` is refused, unless it is approved `anyway`. `prose` says
    whether answers are: then two people need not write the same words to agree.

    Raises:
        NotAllowedError: people are declared, and the reviewer may not review.
        UsageError: there is no such item, reviewer or approved answer is empty, or the answer
            breaks the declared form.
        ConflictError: it is decided, or this person has judged it and another one must.
    """
    if final is not None and not final.strip():
        raise UsageError(
            f"The approved answer of {item} is empty.", remedy="Reject the item, or say the answer."
        )
    reviewer = reviewer.strip()
    if not reviewer:
        raise UsageError("Nobody decides.", remedy="Say who you are: --reviewer NAME")
    people.allow(workspace, reviewer.strip(), "review", model=model)
    with workspace.records.begin() as tx:
        row = _locked(tx, model, item)
        if row.status not in _UNDECIDED:
            raise ConflictError(
                f"{item} was {row.status} by {row.reviewer} already.",
                remedy=f"Take that back first: tuneloop review undo {item}",
            )
        earlier = read_judgements(tx, tables.review_items.c.id == item)
        if row.status == "second" and any(
            judgement.decision != "skipped" and same_person(judgement.reviewer, reviewer)
            for judgement in earlier
        ):
            raise ConflictError(
                f"{item} is judged by two people, and {reviewer} has judged it.",
                remedy="Another person must look at it: tuneloop review --reviewer NAME",
            )
        answer = row.proposal if final is None else final
        fault = form.fault(answer) if form is not None and decision == "approved" else None
        if form is not None and fault is not None and not anyway:
            raise _breaks(item, fault, form)
        tx.execute(
            sa.insert(tables.judgements).values(
                item=item,
                reviewer=reviewer,
                decision=decision,
                final=answer if decision == "approved" else None,
                seconds=seconds,
                at=workspace.now(),
            )
        )
        status = _settle(tx, row, prose=prose)
        audit.record(
            tx,
            model=model,
            actor=reviewer,
            action=f"review.{decision}",
            detail={"item": item, "interaction": row.interaction, "status": status}
            # Not how: that quotes the answer, and this log forgets nothing.
            | ({"breaks_form": True} if fault is not None else {}),
            now=workspace.now(),
        )
    return status


def undo(
    workspace: Workspace, *, model: str, item: str, reviewer: str, prose: bool = False
) -> ReviewStatus:
    """Take back the last judgement of an item; returns where the item stands now.

    `prose` as for `decide`.

    Raises:
        NotAllowedError: people are declared, and the reviewer may not review.
        UsageError: there is no such item, or nobody has judged it.
        ConflictError: a dataset version was made with it.
    """
    people.allow(workspace, reviewer.strip(), "review", model=model)
    table = tables.judgements
    with workspace.records.begin() as tx:
        row = _locked(tx, model, item)
        last = tx.execute(
            sa.select(table)
            .where(table.c.item == item, table.c.withdrawn_at.is_(None))
            .order_by(table.c.id.desc())
            .limit(1)
        ).first()
        if last is None:
            raise UsageError(f"Nobody has judged {item} yet: there is nothing to take back.")
        used = _used_by(tx, model, item)
        if used is not None:
            raise ConflictError(
                f"{item} was used by dataset version {used}, which never changes.",
                remedy="Put the right answer into your data, or correct it again in production.",
            )
        tx.execute(
            sa.update(table).where(table.c.id == last.id).values(withdrawn_at=workspace.now())
        )
        status = _settle(tx, row, prose=prose)
        audit.record(
            tx,
            model=model,
            actor=reviewer,
            action="review.undone",
            detail={"item": item, "decision": last.decision, "of": last.reviewer, "status": status},
            now=workspace.now(),
        )
    return status


def _breaks(item: str, fault: str, form: DeclaredForm) -> UsageError:
    return UsageError(
        f"The approved answer of {item} breaks the declared form: {fault}.",
        remedy=f"Expected {form.expected}. Say the right answer (--answer), reject the item, or "
        "approve it all the same (--anyway): `tuneloop prepare` will leave its row out.",
    )


def _locked(tx: sa.Connection, model: str, item: str) -> sa.Row[Any]:
    """The item, which no other transaction changes before this one ends.

    Raises:
        UsageError: there is none.
    """
    table = tables.review_items
    row = tx.execute(
        sa.select(table).where(table.c.model == model, table.c.id == item).with_for_update()
    ).first()
    if row is None:
        raise UsageError(
            f"There is no review item {item!r}.", remedy="See them with: tuneloop review list"
        )
    return row


def _settle(tx: sa.Connection, row: sa.Row[Any], *, prose: bool) -> ReviewStatus:
    """Write down what the judgements of an item come to."""
    table = tables.review_items
    settled = outcome(
        read_judgements(tx, table.c.id == row.id),
        judges=row.judges,
        agree=agreement(row.proposal, prose=prose),
    )
    decisive = settled.decisive
    tx.execute(
        sa.update(table)
        .where(table.c.id == row.id)
        .values(
            status=settled.status,
            final=decisive.final if decisive else None,
            reviewer=decisive.reviewer if decisive else None,
            decided_at=decisive.at if decisive else None,
        )
    )
    return settled.status


def _used_by(tx: sa.Connection, model: str, item: str) -> str | None:
    """Label of the first dataset version that an item's approved answer went into."""
    table = tables.dataset_versions
    versions = tx.execute(
        sa.select(table.c.label, table.c.manifest)
        .where(table.c.model == model)
        .order_by(table.c.created_at)
    )
    return next(
        (label for label, report in versions if item in report.get("review_items", ())), None
    )
