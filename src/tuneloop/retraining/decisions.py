"""Whether to retrain, decided on what is in the stores; and the record of every decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tuneloop import review
from tuneloop.errors import ConflictError
from tuneloop.hashing import digest_json
from tuneloop.project import Project
from tuneloop.retraining import triggers
from tuneloop.retraining.trigger_inputs import gather
from tuneloop.retraining.triggers import RetrainDecision
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import TypeAdapter


_ID_DIGITS = 12
_RETRIES = 10


def decide(project: Project, now: datetime | None = None) -> RetrainDecision:
    """Decide on what is known now, and keep the decision if it is news or the first of the day.

    New corrections are put into the review queue first. Deciding does nothing else: whoever asked
    begins the cycle.

    Raises:
        StoreError: a store fails.
        BusyError: another process has been moving the captured traffic for a minute.
    """
    review.collect_corrections(project)
    at = now or project.workspace.now()
    decision = triggers.decide(gather(project, now=at), project.model.triggers)
    return _keep(project.workspace, project.model.name, decision)


def listing(workspace: Workspace, model: str, *, limit: int | None = None) -> list[RetrainDecision]:
    """The decisions that were kept, the newest first."""
    table = tables.retraining_decisions
    query = (
        sa.select(table.c.id, table.c.detail)
        .where(table.c.model == model)
        .order_by(table.c.number.desc())
    )
    with workspace.records.begin() as tx:
        rows = tx.execute(query if limit is None else query.limit(limit)).all()
    return [replace(_form().validate_python(row.detail), id=row.id) for row in rows]


def _keep(workspace: Workspace, model: str, decision: RetrainDecision) -> RetrainDecision:
    """Store a decision; one that says the same as the last one of the same day is not repeated."""
    for _ in range(_RETRIES):
        last = next(iter(listing(workspace, model, limit=1)), None)
        if last is not None and _says_the_same(last, decision):
            return replace(decision, id=last.id)
        try:
            return _append(workspace, model, decision)
        except ConflictError:  # Another process was faster: is this still news?
            continue
    raise ConflictError(
        f"Decisions on {model} are being stored by too many at once.", remedy="Try again."
    )


def _says_the_same(last: RetrainDecision, new: RetrainDecision) -> bool:
    return (last.at.date(), last.level, last.action, last.because, last.fired) == (
        new.at.date(),
        new.level,
        new.action,
        new.because,
        new.fired,
    )


def _append(workspace: Workspace, model: str, decision: RetrainDecision) -> RetrainDecision:
    table = tables.retraining_decisions
    highest = sa.select(sa.func.max(table.c.number)).where(table.c.model == model)
    with workspace.records.begin() as tx:
        number = (tx.execute(highest).scalar() or 0) + 1
        # Two processes that append at once make the same id: one of them is refused.
        identity = digest_json([model, number])[:_ID_DIGITS]
        tx.execute(
            sa.insert(table).values(
                id=identity,
                model=model,
                number=number,
                action=decision.action,
                because=decision.because,
                reason=decision.reason,
                level=decision.level,
                detail=_form().dump_python(decision, mode="json"),
                at=decision.at,
            )
        )
    return replace(decision, id=identity)


@cache
def _form() -> TypeAdapter[RetrainDecision]:
    """How a decision is written as JSON and read back."""
    from pydantic import TypeAdapter

    return TypeAdapter(RetrainDecision)
