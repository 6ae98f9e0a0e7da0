"""The row of a cycle: what each step made, written down as soon as it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import ConflictError
from tuneloop.project import Project
from tuneloop.registry import audit
from tuneloop.retraining.cycles import (
    UNSAID,
    CycleStatus,
    close_open,
    new_row,
    newest_row,
    settings_digest,
)
from tuneloop.storage import tables


class CycleRecord:
    """One cycle of a model, in memory and in the records store."""

    def __init__(self, project: Project, row: Mapping[str, Any]) -> None:
        """`row` is one of the table `cycles`."""
        self._project = project
        self._workspace = project.workspace
        self.id = str(row["id"])
        self.steps: dict[str, dict[str, Any]] = dict(row["steps"])
        """Step → what it made, and its seconds."""

    @classmethod
    def start(cls, project: Project, reason: str, *, afresh: bool = False) -> CycleRecord:
        """Take up the last cycle if it did not get to its end and the model file is the same.

        One that is only asked for is taken up whatever the model file says now. One that is taken
        up has the newest reason that a person gave. With `afresh` one that was killed is taken up,
        and one that failed is not.
        """
        table, workspace = tables.cycles, project.workspace
        settings = settings_digest(project.model)
        with workspace.records.begin() as tx:
            last = _newest(tx, project.model.name)
            if last is not None and _goes_on(last, settings, afresh=afresh):
                row = last | {"reason": last["reason"] if reason == UNSAID else reason}
                changes = {"status": "running", "reason": row["reason"], "finished_at": None}
                tx.execute(
                    sa.update(table)
                    .where(table.c.id == row["id"])
                    .values(**changes, settings=settings)
                )
                first = last["status"] == "asked" and not last["steps"]
                action = "cycle.start" if first else "cycle.resume"
                if not first:
                    project.progress.note(f"Going on with cycle {row['id']}.")
            else:
                if last is not None:
                    changed = last["settings"] != settings
                    outcome = (
                        "interrupted; the model file has changed since"
                        if changed
                        else "given up for a cycle that begins afresh"
                    )
                    close_open(tx, str(last["id"]), "stopped", outcome, workspace.now())
                row = new_row(project, reason, status="running")
                tx.execute(sa.insert(table).values(**row))
                action = "cycle.start"
            audit.record(
                tx,
                model=project.model.name,
                actor=project.actor,
                action=action,
                detail={"cycle": row["id"], "reason": row["reason"]},
                now=workspace.now(),
            )
        return cls(project, row)

    @classmethod
    def resting(cls, project: Project) -> CycleRecord | None:
        """The last cycle if it waits for the end of a rollout."""
        with project.workspace.records.begin() as tx:
            last = _newest(tx, project.model.name)
        if last is None or last["status"] != "waiting" or "rollout" not in last["steps"]:
            return None
        return cls(project, last)

    def made(self, name: str) -> Mapping[str, Any]:
        """What a step made; empty before it is finished."""
        return self.steps.get(name, {})

    def step(self, name: str, work: Callable[[], dict[str, Any]]) -> Mapping[str, Any]:
        """Do a step once; what it made is remembered."""
        if name not in self.steps:
            self._keep({**self.steps, name: _timed(work)})
        return self.steps[name]

    def renew(self, name: str, work: Callable[[], dict[str, Any]]) -> Mapping[str, Any]:
        """Do a step in any case; where it makes something else than before, all others are void."""
        before, made = self.made(name), _timed(work)
        same = {**before, "seconds": 0} == {**made, "seconds": 0}
        if before and not same:
            self._project.progress.note(
                f"{name} found something new: the steps after it begin again"
            )
        self._keep({**(self.steps if same else {}), name: made})
        return made

    def forget(self, name: str) -> None:
        """Let a step be done again."""
        self._keep({key: made for key, made in self.steps.items() if key != name})

    def wait(self, outcome: str) -> None:
        """Let the cycle rest until what `outcome` names has come; said once."""
        table = tables.cycles
        with self._workspace.records.begin() as tx:
            changed = tx.execute(
                sa.update(table)
                .where(table.c.id == self.id, table.c.status == "running")
                .values(status="waiting", outcome=outcome)
            ).rowcount
            if changed:
                self._record(tx, "cycle.wait", {"outcome": outcome})

    def close(self, status: CycleStatus, outcome: str, **detail: str) -> None:
        """End the cycle, if nobody has ended it yet; `status` is finished, stopped or failed.

        `detail` goes into the audit log too.
        """
        with self._workspace.records.begin() as tx:
            if close_open(tx, self.id, status, outcome, self._workspace.now()):
                said = {"status": status, "outcome": outcome, **detail}
                self._record(tx, "cycle.finish", said)

    def _keep(self, steps: dict[str, dict[str, Any]]) -> None:
        table = tables.cycles
        with self._workspace.records.begin() as tx:
            kept = tx.execute(
                sa.update(table)
                .where(table.c.id == self.id, table.c.status == "running")
                .values(steps=steps)
            ).rowcount
            if not kept:
                raise ConflictError(
                    f"Cycle {self.id} was ended by somebody else.",
                    remedy="See by whom: tuneloop cycle show latest",
                )
        self.steps = steps

    def _record(self, tx: sa.Connection, action: str, detail: dict[str, Any]) -> None:
        audit.record(
            tx,
            model=self._project.model.name,
            actor=self._project.actor,
            action=action,
            detail={"cycle": self.id, **detail},
            now=self._workspace.now(),
        )


def _newest(tx: sa.Connection, model: str) -> dict[str, Any] | None:
    row = newest_row(tx, model)
    return dict(row._mapping) if row else None


def _goes_on(row: Mapping[str, Any], settings: str, *, afresh: bool) -> bool:
    """Whether a cycle is taken up by who runs one now, with a model file of these settings."""
    if row["status"] == "asked":
        return True
    unfinished = ("running",) if afresh else ("running", "waiting", "failed")
    return row["status"] in unfinished and row["settings"] == settings


def _timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    began = time.monotonic()
    made = work()
    return {**made, "seconds": round(time.monotonic() - began, 1)}
