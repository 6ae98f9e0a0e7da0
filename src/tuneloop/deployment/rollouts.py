"""The records of rollouts: one row each, moved by compare-and-set, with an event for every move."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop.deployment.rollout_plan import RolloutPlan, Stage
from tuneloop.errors import BusyError, ConflictError, UsageError
from tuneloop.registry import audit
from tuneloop.registry import bundle as bundles
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.storage.references import LATEST, one_named
from tuneloop.workspace import Workspace

RolloutStatus = Literal["running", "paused", "finished", "rolled_back", "aborted"]
ACTIVE = ("running", "paused")
CONTROLLER = "rollout controller"
"""Who moves a rollout where no person does."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One move of an endpoint from production to a candidate, and where it is."""

    id: str
    model: str
    endpoint: str
    candidate: str
    """Bundle id."""
    production: str
    """Bundle id that the candidate is compared with."""
    plan: RolloutPlan
    stage: Stage
    status: RolloutStatus
    detail: str
    """Why it is where it is."""
    revision: int
    """Grows with every move."""
    created_at: datetime
    step_since: datetime
    """When the present step began, or was resumed."""
    finished_at: datetime | None

    @property
    def active(self) -> bool:
        """Whether it decides where requests go."""
        return self.status in ACTIVE


@dataclass(frozen=True, kw_only=True)
class RolloutEvent:
    """One move of a rollout."""

    event: str
    """start, promote, hold, roll_back, finish, pause, resume, abort"""
    actor: str
    detail: Mapping[str, Any]
    """With `step` and `share` from this moment on, and the reason."""
    at: datetime


def start(
    workspace: Workspace,
    *,
    model: str,
    endpoint: str,
    candidate: str,
    production: str,
    plan: RolloutPlan,
    actor: str,
) -> Rollout:
    """Begin a rollout; from now on its first stage decides where requests go.

    Raises:
        BusyError: another rollout of this model is under way.
        UsageError: the candidate is in production already.
    """
    check_another(candidate, production)
    now = workspace.now()
    made = Rollout(
        id=f"{now:%Y%m%d}-{uuid.uuid4().hex[:6]}",
        model=model,
        endpoint=endpoint,
        candidate=candidate,
        production=production,
        plan=plan,
        stage=plan.stages[0],
        status="running",
        detail="it has just begun",
        revision=1,
        created_at=now,
        step_since=now,
        finished_at=None,
    )
    with workspace.records.begin() as tx:
        if (other := _active(tx, model)) is not None:
            raise BusyError(
                f"Rollout {other.id} of {model} is under way.",
                remedy="See it: tuneloop rollout status. End it: tuneloop rollout abort",
            )
        tx.execute(sa.insert(tables.rollouts).values(**_row(made)))
        _event(tx, made, "start", actor, {"reason": "started", "plan": plan.digest}, now)
    return made


def check_another(candidate: str, production: str) -> None:
    """A rollout moves from one bundle to another.

    Raises:
        UsageError: the candidate is in production already.
    """
    if candidate == production:
        raise UsageError("The candidate is in production already; there is nothing to roll out.")


def active(workspace: Workspace, model: str) -> Rollout | None:
    """The rollout of a model that is under way."""
    with workspace.records.begin() as tx:
        return _active(tx, model)


def find(workspace: Workspace, model: str, reference: str = LATEST) -> Rollout:
    """A rollout by id, its beginning, or the latest.

    Raises:
        UsageError: none, or more than one, is meant.
    """
    return one_named(
        listing(workspace, model),
        reference,
        lambda rollout: (rollout.id,),
        what=f"rollouts of {model}",
        remedy="Start one with: tuneloop rollout start candidate",
    )


def listing(workspace: Workspace, model: str) -> list[Rollout]:
    """All rollouts of a model, the newest first."""
    table = tables.rollouts
    query = sa.select(table).where(table.c.model == model).order_by(table.c.created_at.desc())
    with workspace.records.begin() as tx:
        return [_record(row) for row in tx.execute(query)]


def aborted_by(workspace: Workspace, model: str, actor: str) -> frozenset[str]:
    """Ids of a model's rollouts that somebody aborted."""
    event = tables.rollout_events
    query = (
        sa.select(event.c.rollout)
        .join(tables.rollouts, tables.rollouts.c.id == event.c.rollout)
        .where(tables.rollouts.c.model == model, event.c.event == "abort", event.c.actor == actor)
    )
    with workspace.records.begin() as tx:
        return frozenset(tx.execute(query).scalars())


def events(workspace: Workspace, rollout: str) -> list[RolloutEvent]:
    """Everything that happened to a rollout, oldest first."""
    table = tables.rollout_events
    query = sa.select(table).where(table.c.rollout == rollout).order_by(table.c.id)
    with workspace.records.begin() as tx:
        return [record_of(RolloutEvent, row) for row in tx.execute(query)]


def move(
    workspace: Workspace,
    before: Rollout,
    event: str,
    *,
    actor: str,
    reason: str,
    stage: Stage | None = None,
    status: RolloutStatus | None = None,
    figures: Mapping[str, Any] | None = None,
) -> Rollout:
    """Move a rollout by compare-and-set and record why.

    Raises:
        ConflictError: it was moved by somebody else meanwhile; nothing changed.
    """
    now = workspace.now()
    after = replace(
        before,
        stage=stage or before.stage,
        status=status or before.status,
        detail=reason,
        revision=before.revision + 1,
        step_since=now if stage is not None or event == "resume" else before.step_since,
        finished_at=now if status is not None and status not in ACTIVE else None,
    )
    table = tables.rollouts
    with workspace.records.begin() as tx:
        moved = tx.execute(
            sa.update(table)
            .where(table.c.id == before.id, table.c.revision == before.revision)
            .values(**_row(after))
        )
        if moved.rowcount != 1:
            raise ConflictError(
                f"Rollout {before.id} was moved by somebody else meanwhile.",
                remedy="Look where it is: tuneloop rollout status",
            )
        _event(tx, after, event, actor, {"reason": reason, **(figures or {})}, now)
    return after


def all_active(tx: sa.Connection) -> list[Rollout]:
    """Every rollout that decides where requests go."""
    table = tables.rollouts
    query = sa.select(table).where(table.c.status.in_(ACTIVE)).order_by(table.c.created_at)
    return [_record(row) for row in tx.execute(query)]


def _active(tx: sa.Connection, model: str) -> Rollout | None:
    return next((rollout for rollout in all_active(tx) if rollout.model == model), None)


def _event(
    tx: sa.Connection,
    rollout: Rollout,
    event: str,
    actor: str,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    where = {"step": rollout.stage.step, "share": rollout.stage.share, "status": rollout.status}
    tx.execute(
        sa.insert(tables.rollout_events).values(
            rollout=rollout.id, event=event, actor=actor, detail={**where, **detail}, at=now
        )
    )
    audit.record(
        tx,
        model=rollout.model,
        actor=actor,
        action=f"rollout.{event}",
        detail={
            "rollout": rollout.id,
            "candidate": rollout.candidate,
            **where,
            **detail,
            **bundles.told_weaknesses(tx, rollout.candidate),
        },
        now=now,
    )


def _row(rollout: Rollout) -> dict[str, Any]:
    values = dict(vars(rollout))
    plan, stage = values.pop("plan"), values.pop("stage")
    return {
        **values,
        "plan": plan.to_json(),
        "plan_digest": plan.digest,
        "stage": stage.name,
        "step": stage.step,
    }


def _record(row: sa.Row[Any]) -> Rollout:
    plan = RolloutPlan.from_json(row.plan)
    return record_of(Rollout, row, plan=plan, stage=plan.stages[row.step])
