"""One pass of the loop: the only place where the stages meet.

What every step made is written down as soon as it is finished. A cycle that was killed or failed is
taken up by the next `tuneloop run`; finished steps are not repeated, and an interrupted training or
evaluation goes on where it was. Two things are looked at again each time: the rows, for a review
may have gone on since, and what is in production, for a candidate is deployed only in the place of
the bundle that it was compared with.

A cycle that needs a person's approval, or that began a rollout, does not stay in memory: its row
says what it waits for. Who takes it up when that has come is `tuneloop run` or the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tuneloop.deployment import rollouts
from tuneloop.errors import (
    BusyError,
    CorruptArtifactError,
    GateError,
    StoreError,
    TuneloopError,
)
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import candidate as candidates
from tuneloop.retraining import cycles, exporting, held_out, planning
from tuneloop.retraining.cycle_end import (
    CycleResult,
    after_rollout,
    finish,
    held_back,
    may_go_on,
    production,
    stays,
)
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.retraining.decision import Settled, settled

if TYPE_CHECKING:
    from tuneloop.datasets.versions import DatasetVersion
    from tuneloop.retraining.loop import Loop
    from tuneloop.training.stage import TrainingRun


def run_cycle(loop: Loop, *, reason: str, force: bool = False) -> CycleResult:
    """Corrections → dataset → training → candidate → decision → deployment.

    With `force` also where nothing is new: trained, asked and deployed again. What is made of the
    same weights is the same all the same, and is not made again.

    Raises:
        BusyError: another cycle of this model is running.
        ModelFileError: it names what is not there; no cycle was begun.
        TuneloopError: a step failed; production is unchanged, the next run continues.
    """
    with _alone(loop):
        resting = CycleRecord.resting(loop)
        if resting is not None:
            after = after_rollout(loop, resting)
            if after.status == "waiting":
                return after
        loop.check(base=True)
        cycle = CycleRecord.start(loop, reason, afresh=force)
        try:
            return _noted(loop, _run(loop, cycle, force=force))
        except GateError as e:
            refused = finish(cycle, "stopped", _said(e), refused=True, news="refused")
            return _noted(loop, refused)
        except TuneloopError as e:
            cycle.close("failed", e.message)
            raise


def go_on(loop: Loop, identity: str) -> None:
    """Take a cycle as far as it gets, as the worker does.

    What may pass by itself leaves the cycle open; it is to be tried again.

    Raises:
        BusyError: somebody else is at it, or at one of its steps.
        StoreError: a store fails.
    """
    with _alone(loop):
        if not may_go_on(loop, cycles.find(loop.workspace, loop.model.name, identity)):
            return
        resting = CycleRecord.resting(loop)
        if resting is not None:
            after_rollout(loop, resting)
            return
        cycle = CycleRecord.start(loop, cycles.UNSAID)
        try:
            _noted(loop, _run(loop, cycle, force=False))
        except GateError as e:
            finish(cycle, "stopped", _said(e), refused=True, news="refused")
        except TuneloopError as e:
            if _passes(e):
                raise
            cycle.close("failed", e.message)


@contextmanager
def _alone(loop: Loop) -> Iterator[None]:
    """One cycle of a model at a time, and others can see how far it is."""
    name = loop.model.name
    busy = loop.workspace.exclusive(f"cycle-{name}", doing=f"run a cycle of {name}")
    with busy, loop.telling(cycles.UNDER_WAY):
        yield


def _passes(error: TuneloopError) -> bool:
    """Whether a failure may pass by itself: a store that is away, somebody else at work."""
    return isinstance(error, BusyError | StoreError) and not isinstance(error, CorruptArtifactError)


def _said(error: GateError) -> str:
    """What stopped a cycle and what helps."""
    return f"{error.message} {error.remedy}".strip()


def _noted(loop: Loop, result: CycleResult) -> CycleResult:
    loop.progress.note(
        ", ".join(f"{step} {made['seconds']:.0f} s" for step, made in result.steps.items())
    )
    return result


def _run(loop: Loop, cycle: CycleRecord, *, force: bool) -> CycleResult:
    new = loop.collect_corrections()
    if new:
        loop.progress.note(f"{new} new corrections wait for review: tuneloop review")
    prepared = cycle.renew("prepare", lambda: {"dataset": loop.prepare().digest})
    dataset = loop.dataset(prepared["dataset"])
    held_out.check(loop, dataset)
    trained = cycle.step("train", lambda: {"run": loop.train(dataset, force=force).id})
    run = loop.training_run(trained["run"])
    plan = planning.plan_for(loop, dataset, run)
    before = None if force else _equal_candidate(loop, run, plan)
    if before is not None:
        closed = settled(
            candidates.verdict_of(before),
            production=production(loop),
            moves=aliases.history(loop.workspace, loop.model.name),
            rollouts=loop.rollouts(),
        )
        # What this very cycle made before it was interrupted is news all the same.
        ours = cycle.made("evaluate").get("bundle") == before.id
        under_way = rollouts.active(loop.workspace, loop.model.name)
        if ours and under_way is not None and under_way.candidate == before.id:
            cycle.step("rollout", lambda: {"rollout": under_way.id})
            return after_rollout(loop, cycle)
        if closed is not None and (closed.how in ("rolled back", "being rolled out") or not ours):
            return _nothing_new(loop, cycle, before, closed)
        cycle.step("evaluate", lambda: {"bundle": before.id})
    bundle = _evaluated(loop, cycle, dataset, run, plan, afresh=force)
    decision = candidates.decision_of(bundle)
    if not decision.deploy:
        return finish(
            cycle,
            "stopped",
            f"Candidate {bundle.short} is not deployed: {decision.reason}. {stays(loop)}",
            bundle=bundle,
            refused=True,
            news="refused",
        )
    kept_back = held_back(loop, cycle, bundle, decision.reason)
    if kept_back is not None:
        return kept_back
    # It is there already where the cycle was killed just after it had been deployed.
    if loop.model.rollout.automatic and production(loop) not in (None, bundle.id):
        cycle.step("rollout", lambda: {"rollout": candidates.roll_out(loop, bundle).id})
        return after_rollout(loop, cycle)
    cycle.step("deploy", lambda: _deploy(loop, bundle, decision.reason))
    return finish(
        cycle, "finished", f"{bundle.short} is in production: {decision.reason}", bundle=bundle
    )


def _evaluated(
    loop: Loop,
    cycle: CycleRecord,
    dataset: DatasetVersion,
    run: TrainingRun,
    plan: EvaluationPlan,
    *,
    afresh: bool,
) -> Bundle:
    """The candidate, held against the gates as they are and compared with production as it is."""
    while True:
        if not cycle.made("evaluate"):
            _export_and_evaluate(loop, cycle, dataset, run, plan, afresh=afresh)
        bundle = loop.bundle(cycle.made("evaluate")["bundle"])
        verdict = candidates.verdict_of(bundle)
        same_gates = bundle.manifest["evaluation"]["gates"] == plan.gate_lock.digest
        if same_gates and production(loop) in (bundle.id, verdict.compared_with):
            return bundle
        loop.progress.note(
            f"{bundle.short} was evaluated against other gates or another bundle in production "
            "than there are now: it is evaluated again"
        )
        cycle.forget("evaluate")


def _export_and_evaluate(
    loop: Loop,
    cycle: CycleRecord,
    dataset: DatasetVersion,
    run: TrainingRun,
    plan: EvaluationPlan,
    *,
    afresh: bool,
) -> None:
    made = cycle.step("export", lambda: exporting.make(loop, run, plan))
    exported = exporting.reopen(loop, made)

    def evaluate() -> dict[str, Any]:
        made = candidates.evaluate_export(loop, dataset, run, exported, afresh=afresh)
        return {"bundle": made.bundle.id}

    cycle.step("evaluate", evaluate)


def _deploy(loop: Loop, bundle: Bundle, reason: str) -> dict[str, Any]:
    compared_with = candidates.verdict_of(bundle).compared_with
    release = candidates.deploy(loop, bundle, reason=reason, expected=compared_with)
    return {"endpoint": release.endpoint.name, "revision": release.endpoint.revision}


def _equal_candidate(loop: Loop, run: TrainingRun, plan: EvaluationPlan) -> Bundle | None:
    """The newest bundle that was made of this run, with these settings, for these gates."""
    made = (
        bundle
        for bundle in bundles.listing(loop.workspace, model=loop.model.name)
        if bundle.manifest["training"]["run"] == run.id
        and bundle.manifest["task"] == candidates.task_part(loop)
        and bundle.manifest["serving"]["settings"] == candidates.serving_settings(loop)
        and bundle.manifest["evaluation"]["settings"] == candidates.evaluation_settings(loop)
        and bundle.manifest["evaluation"]["gates"] == plan.gate_lock.digest
    )
    return next(made, None)


def _nothing_new(loop: Loop, cycle: CycleRecord, before: Bundle, closed: Settled) -> CycleResult:
    if closed.how == "being rolled out":
        outcome = f"Nothing new: {before.short} {closed.reason}."
    elif closed.how == "in production":
        outcome = (
            f"Nothing new: {before.short} in production was trained on these rows with these "
            "settings and held against these gates."
        )
    else:
        outcome = (
            f"Nothing new: candidate {before.short}, made of these rows with these settings, "
            f"{closed.reason}. {stays(loop)} To try it all the same: tuneloop run --force"
        )
    refused = closed.how == "refused"
    return finish(
        cycle, "stopped" if refused else "finished", outcome, bundle=before, refused=refused
    )
