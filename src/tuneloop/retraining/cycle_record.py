"""The row of a cycle: what each step made, written down as soon as it is finished."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tuneloop.hashing import digest_json
from tuneloop.progress import Progress
from tuneloop.registry import audit
from tuneloop.storage import tables
from tuneloop.workspace import Workspace, actor

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop

UNSAID = "started by hand"
"""The reason of a person who gave none."""


class CycleRecord:
    """One cycle of a model, in memory and in the records store."""

    def __init__(self, workspace: Workspace, row: Mapping[str, Any], progress: Progress) -> None:
        """`row` is one of the table `cycles`."""
        self._workspace = workspace
        self._progress = progress
        self._model = str(row["model"])
        self.id = str(row["id"])
        self.steps: dict[str, dict[str, Any]] = dict(row["steps"])
        """Step → what it made, and its seconds."""

    @classmethod
    def start(cls, loop: Loop, reason: str, *, afresh: bool = False) -> CycleRecord:
        """Take up the last cycle if it did not get to its end and the model file is the same.

        One that is taken up has the newest reason that a person gave. With `afresh` one that was
        killed is taken up, and one that failed is not.
        """
        table, workspace = tables.cycles, loop.workspace
        settings = digest_json(loop.model.model_dump(mode="json"))
        newest = (
            sa.select(table)
            .where(table.c.model == loop.model.name)
            .order_by(table.c.created_at.desc(), table.c.id.desc())
            .limit(1)
        )
        with workspace.records.begin() as tx:
            last = tx.execute(newest).mappings().first()
            open_status = ("running",) if afresh else ("running", "failed")
            unfinished = last is not None and last["status"] in open_status
            if last is not None and unfinished and last["settings"] == settings:
                row = dict(last) | {"reason": last["reason"] if reason == UNSAID else reason}
                changes = {"status": "running", "reason": row["reason"], "finished_at": None}
                tx.execute(sa.update(table).where(table.c.id == row["id"]).values(**changes))
                action = "cycle.resume"
                loop.progress.note(f"Going on with cycle {row['id']}, which was interrupted.")
            else:
                if last is not None and last["status"] == "running":
                    outcome = "interrupted; the model file has changed since"
                    _close(tx, str(last["id"]), "stopped", outcome, workspace)
                row = {
                    "id": f"{workspace.now():%Y%m%d}-{uuid.uuid4().hex[:6]}",
                    "model": loop.model.name,
                    "status": "running",
                    "reason": reason,
                    "outcome": "",
                    "settings": settings,
                    "steps": {},
                    "created_at": workspace.now(),
                }
                tx.execute(sa.insert(table).values(**row))
                action = "cycle.start"
            audit.record(
                tx,
                model=loop.model.name,
                actor=actor(),
                action=action,
                detail={"cycle": row["id"], "reason": row["reason"]},
                now=workspace.now(),
            )
        return cls(workspace, row, loop.progress)

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
            self._progress.note(f"{name} found something new: the steps after it begin again")
        self._keep({**(self.steps if same else {}), name: made})
        return made

    def forget(self, name: str) -> None:
        """Let a step be done again."""
        self._keep({key: made for key, made in self.steps.items() if key != name})

    def close(self, status: str, outcome: str) -> None:
        """End the cycle; `status` is finished, stopped or failed."""
        with self._workspace.records.begin() as tx:
            _close(tx, self.id, status, outcome, self._workspace)
            audit.record(
                tx,
                model=self._model,
                actor=actor(),
                action="cycle.finish",
                detail={"cycle": self.id, "status": status, "outcome": outcome},
                now=self._workspace.now(),
            )

    def _keep(self, steps: dict[str, dict[str, Any]]) -> None:
        self.steps = steps
        with self._workspace.records.begin() as tx:
            row = tables.cycles.c.id == self.id
            tx.execute(sa.update(tables.cycles).where(row).values(steps=steps))


def _timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    began = time.monotonic()
    made = work()
    return {**made, "seconds": round(time.monotonic() - began, 1)}


def _close(tx: sa.Connection, cycle: str, status: str, outcome: str, workspace: Workspace) -> None:
    tx.execute(
        sa.update(tables.cycles)
        .where(tables.cycles.c.id == cycle)
        .values(status=status, outcome=outcome, finished_at=workspace.now())
    )
