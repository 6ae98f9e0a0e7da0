"""The cycles of a model: asked for, looked at, cancelled. Who runs one is `cycle.run_cycle`.

A cycle that is asked for is a row of the table `cycles`; a worker takes it from there. The row is
also all that a cycle remembers: see `cycle_record`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop.errors import BusyError, UsageError
from tuneloop.hashing import digest_json
from tuneloop.modelfile import ModelSettings
from tuneloop.project import Project
from tuneloop.registry import audit
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.storage.references import LATEST, one_named
from tuneloop.workspace import Workspace

CycleStatus = Literal["asked", "running", "waiting", "finished", "stopped", "failed", "cancelled"]
OPEN: tuple[CycleStatus, ...] = ("asked", "running", "waiting")
"""A cycle that has not come to its end."""
UNDER_WAY = "a cycle"
"""What a process that is at a cycle tells others (`under_way`)."""
UNSAID = "started by hand"
"""The reason of a person who gave none."""
_NUMBER_DIGITS = 6
_CAME_LATER = (
    ("endpoint", "backend"),
    ("endpoint", "server"),
    ("endpoint", "dry"),
    ("endpoint", "logprobs_share"),
    ("schedule", "sources"),
    ("triggers", "minimum_new_rows"),
    ("triggers", "minimum_new_share"),
    ("evaluation", "base_cases"),
    ("evaluation", "decision"),
    ("golden", "likeness_drop"),
    ("monitors", "truncated_above"),
    ("monitors", "loops_above"),
    ("monitors", "ungrounded_above"),
    ("monitors", "unlike_answers_above"),
    ("monitors", "new_phrases_above"),
    ("monitors", "silent_below"),
    ("schedule", "hourly_monitors"),
    ("monitors", "metrics"),
    ("monitors", "feedback_days"),
    ("monitors", "false_alarms_per_month"),
)
"""Settings that are younger than cycles that may still wait: section, name."""
_OTHER_DEFAULT = {
    ("rollout", "guards"): ["errors", "format", "latency", "length"],
    ("alerts", "urgent"): ["errors", "capture_drops"],
}
"""Section, name → the default of a setting when cycles began that may still wait."""


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """One pass of the loop, as the records tell."""

    id: str
    model: str
    status: CycleStatus
    """asked: a worker will begin it; waiting: for an approval or the end of a rollout."""
    reason: str
    """Why it was started."""
    outcome: str
    """What came of it, or what it waits for."""
    steps: Mapping[str, Mapping[str, Any]]
    """Step → what it made, and its seconds."""
    created_at: datetime
    finished_at: datetime | None


def ask(project: Project, *, reason: str, actor: str) -> Cycle:
    """Ask the worker for a cycle; it begins as soon as a worker has a hand free.

    Raises:
        BusyError: one is under way.
    """
    now, workspace, model = project.workspace.now(), project.workspace, project.model.name
    with workspace.records.begin() as tx:
        # Two who ask at the same moment: the second waits here and finds the first one's.
        tx.execute(sa.select(tables.audit_head).with_for_update()).one()
        last = _newest(tx, model)
        if last is not None and last.status in OPEN:
            raise BusyError(
                f"Cycle {last.id} of {model} is {last.status} already.",
                remedy=f"See it: tuneloop cycle show {last.id}. Nobody works on it? "
                f"tuneloop run goes on with it, tuneloop cycle cancel {last.id} ends it.",
            )
        row = new_row(project, reason, status="asked")
        tx.execute(sa.insert(tables.cycles).values(**row))
        detail = {"cycle": row["id"], "reason": reason}
        audit.record(tx, model=model, actor=actor, action="cycle.ask", detail=detail, now=now)
    return find(workspace, model, str(row["id"]))


def cancel(workspace: Workspace, model: str, reference: str, *, actor: str) -> Cycle:
    """End a cycle; one that a worker is at is stopped within seconds, its steps are kept.

    A rollout that it began goes on: see `tuneloop rollout`.

    Raises:
        UsageError: there is no such cycle, or it is over.
    """
    cycle = find(workspace, model, reference)
    now = workspace.now()
    with workspace.records.begin() as tx:
        if not close_open(tx, cycle.id, "cancelled", f"cancelled by {actor}", now):
            raise UsageError(f"Cycle {cycle.id} is over: {cycle.status}.")
        detail = {"cycle": cycle.id}
        audit.record(tx, model=model, actor=actor, action="cycle.cancel", detail=detail, now=now)
    return find(workspace, model, cycle.id)


def put_back(workspace: Workspace, identity: str) -> None:
    """Let another worker begin a cycle, or continue it."""
    table = tables.cycles
    with workspace.records.begin() as tx:
        tx.execute(
            sa.update(table)
            .where(table.c.id == identity, table.c.status == "running")
            .values(status="asked")
        )


def fail(workspace: Workspace, cycle: Cycle, why: str, *, actor: str) -> None:
    """End a cycle that cannot say itself what ended it."""
    now = workspace.now()
    with workspace.records.begin() as tx:
        if close_open(tx, cycle.id, "failed", why, now):
            detail = {"cycle": cycle.id, "status": "failed", "outcome": why}
            audit.record(
                tx,
                model=cycle.model,
                actor=actor,
                action="cycle.finish",
                detail=detail,
                now=now,
            )


def listing(workspace: Workspace, model: str, *, limit: int | None = None) -> list[Cycle]:
    """All cycles of a model, the newest first."""
    with workspace.records.begin() as tx:
        return [record_of(Cycle, row) for row in tx.execute(_of(model).limit(limit))]


def newest(workspace: Workspace, model: str) -> Cycle | None:
    """The last cycle of a model."""
    with workspace.records.begin() as tx:
        return _newest(tx, model)


def find(workspace: Workspace, model: str, reference: str = LATEST) -> Cycle:
    """A cycle by id, its beginning, or `latest`.

    Raises:
        UsageError: none, or more than one, is meant.
    """
    return one_named(
        listing(workspace, model),
        reference,
        lambda cycle: (cycle.id,),
        what=f"cycles of {model}",
        remedy="See them with: tuneloop cycle list",
    )


def asked_by(workspace: Workspace, cycle: Cycle) -> str | None:
    """Who asked for a cycle; None: it was begun by `tuneloop run`."""
    events = tables.audit_events
    query = (
        sa.select(events.c.actor, events.c.detail)
        .where(events.c.model == cycle.model, events.c.action == "cycle.ask")
        .order_by(events.c.id.desc())
    )
    with workspace.records.begin() as tx:
        for row in tx.execute(query):
            if row.detail["cycle"] == cycle.id:
                return str(row.actor)
    return None


def new_row(project: Project, reason: str, *, status: CycleStatus) -> dict[str, Any]:
    """A row of the table `cycles` for a cycle that nobody has worked on."""
    now = project.workspace.now()
    return {
        "id": f"{now:%Y%m%d}-{uuid.uuid4().hex[:_NUMBER_DIGITS]}",
        "model": project.model.name,
        "status": status,
        "reason": reason,
        "outcome": "",
        "settings": settings_digest(project.model),
        "steps": {},
        "created_at": now,
    }


def settings_digest(model: ModelSettings) -> str:
    """Digest of the settings that a cycle goes on with: others begin a new one.

    A setting that there was not when it began is left out while it says nothing (its default), so
    that a cycle which waits for a person outlives an upgrade.
    """
    settings = model.model_dump(mode="json")
    for section, name in _CAME_LATER:
        if settings[section][name] == _default(model, section, name):
            del settings[section][name]
    for (section, name), before in _OTHER_DEFAULT.items():
        if settings[section][name] == _default(model, section, name):
            settings[section][name] = before
    # Gates that only a later release adds to those of the file are no other settings of this file.
    for gate in model.evaluation.added_gates:
        settings["evaluation"]["gates"].pop(gate, None)
    # It has no number of its own any more while it says nothing; it had this one.
    settings["evaluation"]["concurrency"] = settings["evaluation"]["concurrency"] or 4
    return digest_json(settings)


def _default(model: ModelSettings, section: str, name: str) -> Any:
    """The default of a setting, in JSON's types."""
    default = type(getattr(model, section)).model_fields[name].default
    return list(default) if isinstance(default, tuple) else default


def close_open(
    tx: sa.Connection, cycle: str, status: CycleStatus, outcome: str, now: datetime
) -> bool:
    """End a cycle that is not over yet; whether it was not."""
    table = tables.cycles
    changed = tx.execute(
        sa.update(table)
        .where(table.c.id == cycle, table.c.status.in_(OPEN))
        .values(status=status, outcome=outcome, finished_at=now)
    )
    return bool(changed.rowcount)


def newest_row(tx: sa.Connection, model: str) -> sa.Row[Any] | None:
    """The row of a model's last cycle; None before its first."""
    return tx.execute(_of(model).limit(1)).first()


def _newest(tx: sa.Connection, model: str) -> Cycle | None:
    row = newest_row(tx, model)
    return record_of(Cycle, row) if row else None


def _of(model: str) -> sa.Select[Any]:
    table = tables.cycles
    return (
        sa.select(table)
        .where(table.c.model == model)
        .order_by(table.c.created_at.desc(), table.c.id.desc())
    )
