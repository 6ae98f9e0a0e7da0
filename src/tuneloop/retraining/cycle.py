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
from typing import Any

from tuneloop import review
from tuneloop.candidates import candidate as candidates
from tuneloop.candidates import contents, exporting, held_out, planning, preparing, training
from tuneloop.candidates.promotion import Settled, settled
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment import admission, rollouts
from tuneloop.errors import (
    BusyError,
    CorruptArtifactError,
    GateError,
    StoreError,
    TuneloopError,
)
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.project import Project
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import cycles
from tuneloop.retraining.cycle_end import (
    CycleResult,
    after_rollout,
    finish,
    held_back,
    may_go_on,
    stays,
)
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.setup import check
from tuneloop.training import stage as runs
from tuneloop.training.stage import TrainingRun


def run_cycle(project: Project, *, reason: str, force: bool = False) -> CycleResult:
    """Corrections → dataset → training → candidate → decision → deployment.

    With `force` also where nothing is new: trained, asked and deployed again. What is made of the
    same weights is the same all the same, and is not made again.

    Raises:
        BusyError: another cycle of this model is running.
        ModelFileError, CheckError: it would fail later; no cycle was begun.
        TuneloopError: a step failed; production is unchanged, the next run continues.
    """
    with _alone(project) as project:
        resting = CycleRecord.resting(project)
        if resting is not None:
            after = after_rollout(project, resting)
            if after.status == "waiting":
                return after
        looked = check.require(project, base=True)
        cycle = CycleRecord.start(project, reason, afresh=force)
        try:
            return _noted(project, _run(project, cycle, force=force, looked=looked))
        except GateError as e:
            refused = finish(cycle, "stopped", _said(e), refused=True, news="refused")
            return _noted(project, refused)
        except TuneloopError as e:
            cycle.close("failed", e.message)
            raise


def go_on(project: Project, identity: str) -> None:
    """Take a cycle as far as it gets, as the worker does.

    What may pass by itself leaves the cycle open; it is to be tried again.

    Raises:
        BusyError: somebody else is at it, or at one of its steps.
        StoreError: a store fails.
    """
    with _alone(project) as project:
        if not may_go_on(project, cycles.find(project.workspace, project.model.name, identity)):
            return
        resting = CycleRecord.resting(project)
        if resting is not None:
            after_rollout(project, resting)
            return
        cycle = CycleRecord.start(project, cycles.UNSAID)
        try:
            _noted(project, _run(project, cycle, force=False))
        except GateError as e:
            finish(cycle, "stopped", _said(e), refused=True, news="refused")
        except TuneloopError as e:
            if _passes(e):
                raise
            cycle.close("failed", e.message)


@contextmanager
def _alone(project: Project) -> Iterator[Project]:
    """One cycle of a model at a time, and others can see how far it is."""
    name = project.model.name
    busy = project.workspace.exclusive(f"cycle-{name}", doing=f"run a cycle of {name}")
    with busy, project.telling(cycles.UNDER_WAY) as telling:
        yield telling


def _passes(error: TuneloopError) -> bool:
    """Whether a failure may pass by itself: a store that is away, somebody else at work."""
    return isinstance(error, BusyError | StoreError) and not isinstance(error, CorruptArtifactError)


def _said(error: GateError) -> str:
    """What stopped a cycle and what helps."""
    return f"{error.message} {error.remedy}".strip()


def _noted(project: Project, result: CycleResult) -> CycleResult:
    project.progress.note(
        ", ".join(f"{step} {made['seconds']:.0f} s" for step, made in result.steps.items())
    )
    return result


def _run(project: Project, cycle: CycleRecord, *, force: bool, looked: bool = False) -> CycleResult:
    """`looked`: what could fail later was looked at just now."""
    new = review.collect_corrections(project)
    if new:
        project.progress.note(f"{new} new corrections wait for review: tuneloop review")

    def prepare() -> dict[str, Any]:
        return {"dataset": preparing.prepare(project, looked=looked).digest}

    prepared = cycle.renew("prepare", prepare)
    dataset = versions.load(project.workspace, project.model.name, prepared["dataset"])
    held_out.check(project, dataset)

    def train() -> dict[str, Any]:
        return {"run": training.train(project, dataset, force=force, looked=looked).id}

    trained = cycle.step("train", train)
    run = runs.run_of(project.workspace, project.model.name, trained["run"])
    plan = planning.plan_for(project, dataset, run)
    before = None if force else _equal_candidate(project, run, plan)
    if before is not None:
        closed = settled(
            candidates.verdict_of(before),
            production=project.in_production(),
            past=admission.past_of(project.workspace, project.model.name),
        )
        # What this very cycle made before it was interrupted is news all the same.
        ours = cycle.made("evaluate").get("bundle") == before.id
        under_way = rollouts.active(project.workspace, project.model.name)
        if ours and under_way is not None and under_way.candidate == before.id:
            cycle.step("rollout", lambda: {"rollout": under_way.id})
            return after_rollout(project, cycle)
        if closed is not None and (closed.how in ("rolled back", "being rolled out") or not ours):
            return _nothing_new(project, cycle, before, closed)
        cycle.step("evaluate", lambda: {"bundle": before.id})
    bundle = _evaluated(project, cycle, dataset, run, plan, afresh=force)
    decision = candidates.decision_of(bundle)
    if not decision.deploy:
        return finish(
            cycle,
            "stopped",
            f"Candidate {bundle.short} is not deployed: {decision.reason}. {stays(project)} "
            f"Look at its answers: tuneloop evaluation show {bundle.manifest.evaluation.id}",
            bundle=bundle,
            refused=True,
            news="refused",
        )
    kept_back = held_back(project, cycle, bundle, decision.reason)
    if kept_back is not None:
        return kept_back
    # It is there already where the cycle was killed just after it had been deployed.
    if project.model.rollout.automatic and project.in_production() not in (None, bundle.id):
        cycle.step("rollout", lambda: {"rollout": candidates.roll_out(project, bundle).id})
        return after_rollout(project, cycle)
    cycle.step("deploy", lambda: _deploy(project, bundle, decision.reason))
    return finish(
        cycle, "finished", f"{bundle.short} is in production: {decision.reason}", bundle=bundle
    )


def _evaluated(
    project: Project,
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
            _export_and_evaluate(project, cycle, dataset, run, plan, afresh=afresh)
        bundle = project.bundle(cycle.made("evaluate")["bundle"])
        verdict = candidates.verdict_of(bundle)
        same_gates = bundle.manifest.evaluation.gates == plan.gate_lock.digest
        if same_gates and project.in_production() in (bundle.id, verdict.compared_with):
            return bundle
        project.progress.note(
            f"{bundle.short} was evaluated against other gates or another bundle in production "
            "than there are now: it is evaluated again"
        )
        cycle.forget("evaluate")


def _export_and_evaluate(
    project: Project,
    cycle: CycleRecord,
    dataset: DatasetVersion,
    run: TrainingRun,
    plan: EvaluationPlan,
    *,
    afresh: bool,
) -> None:
    made = cycle.step("export", lambda: exporting.make(project, run, plan))
    exported = exporting.reopen(project, made)

    def evaluate() -> dict[str, Any]:
        made = candidates.evaluate_export(project, dataset, run, exported, afresh=afresh)
        return {"bundle": made.bundle.id}

    cycle.step("evaluate", evaluate)


def _deploy(project: Project, bundle: Bundle, reason: str) -> dict[str, Any]:
    compared_with = candidates.verdict_of(bundle).compared_with
    release = candidates.deploy(project, bundle, reason=reason, expected=compared_with)
    return {"endpoint": release.endpoint.name, "revision": release.endpoint.revision}


def _equal_candidate(project: Project, run: TrainingRun, plan: EvaluationPlan) -> Bundle | None:
    """The newest bundle that was made of this run, with these settings, for these gates.

    Settings that neither decide what it does nor what is asked of it make no other candidate.
    """
    judged_by = contents.deciding(contents.evaluation_settings(project))
    made = (
        bundle
        for bundle in bundles.listing(project.workspace, model=project.model.name)
        if bundle.manifest.training.run == run.id
        and bundle.manifest.task.as_json() == contents.task_part(project)
        and bundle.manifest.serving.settings == contents.serving_settings(project)
        and contents.deciding(bundle.manifest.evaluation.settings) == judged_by
        and bundle.manifest.evaluation.gates == plan.gate_lock.digest
    )
    return next(made, None)


def _nothing_new(
    project: Project, cycle: CycleRecord, before: Bundle, closed: Settled
) -> CycleResult:
    if closed.how == "being rolled out":
        outcome = f"Nothing new: {before.short} {closed.reason}."
    elif closed.how == "in production":
        outcome = (
            f"Nothing new: {before.short}, trained on these rows with these settings and held "
            f"against these gates, {closed.reason}."
        )
    else:
        outcome = (
            f"Nothing new: candidate {before.short}, made of these rows with these settings, "
            f"{closed.reason}. {stays(project)} {closed.remedy}"
        )
    refused = closed.how == "refused"
    return finish(
        cycle, "stopped" if refused else "finished", outcome, bundle=before, refused=refused
    )
