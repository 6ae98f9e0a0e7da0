"""One pass of the loop: the only place where the stages meet.

What every step made is written down as soon as it is finished. A cycle that was killed is taken up
by the next `tuneloop run`; finished steps are not repeated, and an interrupted training or
evaluation goes on where it was.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tuneloop.errors import GateError, TuneloopError
from tuneloop.hashing import digest_json, short
from tuneloop.registry import aliases, audit
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import candidate as candidates
from tuneloop.storage import tables
from tuneloop.workspace import Workspace, actor

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop


@dataclass(frozen=True, kw_only=True)
class CycleResult:
    """What came of a cycle."""

    id: str
    outcome: str
    """One or two sentences for people."""
    deployed: bool
    refused: bool
    """There is a candidate and it may not replace production."""
    bundle: str | None
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Step → what it made, and its seconds."""


def run_cycle(loop: Loop, *, reason: str, force: bool = False) -> CycleResult:
    """Corrections → dataset → training → candidate → decision → deployment.

    Raises:
        BusyError: another cycle of this model is running.
        TuneloopError: a step failed; production is unchanged, the next run continues.
    """
    name = loop.model.name
    with loop.workspace.exclusive(f"cycle-{name}", doing=f"run a cycle of {name}"):
        cycle = _Cycle.start(loop, reason)
        try:
            result = _run(loop, cycle, force=force)
        except GateError as e:
            result = cycle.finish("stopped", e.message, refused=True)
        except TuneloopError as e:
            cycle.finish("failed", e.message)
            raise
        loop.progress.note(
            ", ".join(f"{step} {made['seconds']:.0f} s" for step, made in result.steps.items())
        )
        return result


def _run(loop: Loop, cycle: _Cycle, *, force: bool) -> CycleResult:
    new = loop.collect_corrections()
    if new:
        loop.progress.note(f"{new} new corrections wait for review: tuneloop review")
    prepared = cycle.step("prepare", lambda: {"dataset": loop.prepare().digest})
    dataset = loop.dataset(prepared["dataset"])
    trained = cycle.step("train", lambda: {"run": loop.train(dataset, force=force).id})
    run = loop.training_run(trained["run"])
    production = _production(loop)
    if not force and production is not None and _same(loop, production, run.id):
        return cycle.finish(
            "finished",
            f"Nothing new: {production.short} in production was trained on these rows with these "
            "settings and held against these gates.",
        )
    made = cycle.step("evaluate", lambda: {"bundle": loop.candidate(dataset, run).bundle.id})
    bundle = loop.bundle(made["bundle"])
    decision = candidates.decision_of(bundle)
    if not decision.deploy:
        return cycle.finish(
            "stopped",
            f"Candidate {bundle.short} is not deployed: {decision.reason}. {_stays(production)}",
            bundle=bundle,
            refused=True,
        )
    cycle.step("deploy", lambda: _deploy(loop, bundle, decision.reason))
    return cycle.finish(
        "finished", f"{bundle.short} is in production: {decision.reason}", bundle=bundle
    )


def _deploy(loop: Loop, bundle: Bundle, reason: str) -> dict[str, Any]:
    release = loop.deploy(bundle, reason=reason)
    return {"endpoint": release.endpoint.name, "revision": release.endpoint.revision}


def _production(loop: Loop) -> Bundle | None:
    alias = aliases.current(loop.workspace, loop.model.name).get("production")
    return None if alias is None else bundles.find(loop.workspace, alias.bundle)


def _same(loop: Loop, production: Bundle, run: str) -> bool:
    manifest = production.manifest
    return bool(
        manifest["training"]["run"] == run
        and manifest["task"] == candidates.task_part(loop)
        and manifest["serving"]["settings"] == candidates.serving_settings(loop)
        and manifest["evaluation"]["settings"] == candidates.evaluation_settings(loop)
    )


def _stays(production: Bundle | None) -> str:
    return f"{production.short} stays in production." if production else "Nothing is in production."


class _Cycle:
    """The row of a cycle, written after every step."""

    def __init__(self, workspace: Workspace, row: Mapping[str, Any]) -> None:
        self._workspace = workspace
        self._id = str(row["id"])
        self._model = str(row["model"])
        self._steps: dict[str, dict[str, Any]] = dict(row["steps"])

    @classmethod
    def start(cls, loop: Loop, reason: str) -> _Cycle:
        """Take up what a killed process left running, if the model file is still the same."""
        settings = digest_json(loop.model.model_dump(mode="json"))
        table, workspace = tables.cycles, loop.workspace
        with workspace.records.begin() as tx:
            left = tx.execute(
                sa.select(table).where(
                    table.c.model == loop.model.name, table.c.status == "running"
                )
            ).mappings()
            for row in left.all():
                if row["settings"] == settings:
                    loop.progress.note(f"Going on with cycle {row['id']}, which was interrupted.")
                    return cls(workspace, dict(row))
                outcome = "interrupted; the model file has changed since"
                _close(tx, str(row["id"]), "stopped", outcome, workspace)
            values = {
                "id": f"{workspace.now():%Y%m%d}-{uuid.uuid4().hex[:6]}",
                "model": loop.model.name,
                "status": "running",
                "reason": reason,
                "outcome": "",
                "settings": settings,
                "steps": {},
                "created_at": workspace.now(),
            }
            tx.execute(sa.insert(table).values(**values))
            audit.record(
                tx,
                model=loop.model.name,
                actor=actor(),
                action="cycle.start",
                detail={"cycle": values["id"], "reason": reason},
                now=workspace.now(),
            )
        return cls(workspace, values)

    def step(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a step once; what it made is remembered."""
        if name not in self._steps:
            began = time.monotonic()
            made = work()
            self._steps[name] = {**made, "seconds": round(time.monotonic() - began, 1)}
            with self._workspace.records.begin() as tx:
                tx.execute(
                    sa.update(tables.cycles)
                    .where(tables.cycles.c.id == self._id)
                    .values(steps=dict(self._steps))
                )
        return self._steps[name]

    def finish(
        self, status: str, outcome: str, *, bundle: Bundle | None = None, refused: bool = False
    ) -> CycleResult:
        """Close the row."""
        with self._workspace.records.begin() as tx:
            _close(tx, self._id, status, outcome, self._workspace)
            audit.record(
                tx,
                model=self._model,
                actor=actor(),
                action="cycle.finish",
                detail={"cycle": self._id, "status": status, "outcome": outcome},
                now=self._workspace.now(),
            )
        return CycleResult(
            id=self._id,
            outcome=outcome,
            deployed="deploy" in self._steps and status == "finished",
            refused=refused,
            bundle=short(bundle.id) if bundle else None,
            steps=self._steps,
        )


def _close(tx: sa.Connection, cycle: str, status: str, outcome: str, workspace: Workspace) -> None:
    tx.execute(
        sa.update(tables.cycles)
        .where(tables.cycles.c.id == cycle)
        .values(status=status, outcome=outcome, finished_at=workspace.now())
    )
