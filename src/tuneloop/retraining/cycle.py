"""One pass of the loop: the only place where the stages meet.

What every step made is written down as soon as it is finished. A cycle that was killed or failed is
taken up by the next `tuneloop run`; finished steps are not repeated, and an interrupted training or
evaluation goes on where it was. Two things are looked at again each time: the rows, for a review
may have gone on since, and what is in production, for a candidate is deployed only in the place of
the bundle that it was compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneloop.errors import GateError, TuneloopError
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.hashing import short
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import candidate as candidates
from tuneloop.retraining import exporting
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.retraining.decision import Settled, settled

if TYPE_CHECKING:
    from tuneloop.datasets.versions import DatasetVersion
    from tuneloop.retraining.loop import Loop
    from tuneloop.training.stage import TrainingRun

_NOTHING_LIVE = "Nothing is in production."


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

    With `force` also where nothing is new: trained, evaluated and deployed again.

    Raises:
        BusyError: another cycle of this model is running.
        TuneloopError: a step failed; production is unchanged, the next run continues.
    """
    name = loop.model.name
    with loop.workspace.exclusive(f"cycle-{name}", doing=f"run a cycle of {name}"):
        cycle = CycleRecord.start(loop, reason, afresh=force)
        try:
            result = _run(loop, cycle, force=force)
        except GateError as e:
            result = _finish(cycle, "stopped", e.message, refused=True)
        except TuneloopError as e:
            cycle.close("failed", e.message)
            raise
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
    trained = cycle.step("train", lambda: {"run": loop.train(dataset, force=force).id})
    run = loop.training_run(trained["run"])
    plan = candidates.plan_for(loop, dataset)
    before = None if force else _equal_candidate(loop, run, plan)
    if before is not None:
        closed = settled(
            candidates.verdict_of(before),
            production=_production(loop),
            moves=aliases.history(loop.workspace, loop.model.name),
            rollouts=loop.rollouts(),
        )
        # What this very cycle made before it was interrupted is news all the same.
        ours = cycle.made("evaluate").get("bundle") == before.id
        if closed is not None and (closed.how in ("rolled back", "being rolled out") or not ours):
            return _nothing_new(loop, cycle, before, closed)
        cycle.step("evaluate", lambda: {"bundle": before.id})
    bundle = _evaluated(loop, cycle, dataset, run, plan)
    decision = candidates.decision_of(bundle)
    if not decision.deploy:
        return _finish(
            cycle,
            "stopped",
            f"Candidate {bundle.short} is not deployed: {decision.reason}. {_stays(loop)}",
            bundle=bundle,
            refused=True,
        )
    if loop.model.rollout.automatic and _production(loop) is not None:
        begun = cycle.step("rollout", lambda: {"rollout": candidates.roll_out(loop, bundle).id})
        return _finish(
            cycle,
            "finished",
            f"{bundle.short} is being rolled out ({begun['rollout']}): {decision.reason}. "
            "See how it goes: tuneloop rollout status",
            bundle=bundle,
        )
    cycle.step("deploy", lambda: _deploy(loop, bundle, decision.reason))
    return _finish(
        cycle, "finished", f"{bundle.short} is in production: {decision.reason}", bundle=bundle
    )


def _evaluated(
    loop: Loop,
    cycle: CycleRecord,
    dataset: DatasetVersion,
    run: TrainingRun,
    plan: EvaluationPlan,
) -> Bundle:
    """The candidate, held against the gates as they are and compared with production as it is."""
    while True:
        if not cycle.made("evaluate"):
            _export_and_evaluate(loop, cycle, dataset, run, plan)
        bundle = loop.bundle(cycle.made("evaluate")["bundle"])
        verdict = candidates.verdict_of(bundle)
        same_gates = bundle.manifest["evaluation"]["gates"] == plan.gate_lock.digest
        if same_gates and _production(loop) in (bundle.id, verdict.compared_with):
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
) -> None:
    made = cycle.step("export", lambda: exporting.make(loop, run, plan))
    exported = exporting.reopen(loop, made)

    def evaluate() -> dict[str, Any]:
        return {"bundle": candidates.evaluate_export(loop, dataset, run, exported).bundle.id}

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
            f"{closed.reason}. {_stays(loop)} To try it all the same: tuneloop run --force"
        )
    refused = closed.how == "refused"
    return _finish(
        cycle, "stopped" if refused else "finished", outcome, bundle=before, refused=refused
    )


def _production(loop: Loop) -> str | None:
    alias = aliases.current(loop.workspace, loop.model.name).get("production")
    return alias.bundle if alias else None


def _stays(loop: Loop) -> str:
    production = _production(loop)
    return (
        f"{short(production)} stays in production." if production else "Nothing is in production."
    )


def _finish(
    cycle: CycleRecord,
    status: str,
    outcome: str,
    *,
    bundle: Bundle | None = None,
    refused: bool = False,
) -> CycleResult:
    cycle.close(status, outcome)
    return CycleResult(
        id=cycle.id,
        outcome=outcome,
        deployed=status == "finished" and bool(cycle.made("deploy")),
        refused=refused,
        bundle=bundle.short if bundle else None,
        steps=cycle.steps,
    )
