"""How a cycle ends, and what it waits for: people, or the end of a rollout that it began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tuneloop.deployment import admission, rollouts
from tuneloop.deployment.rollouts import Rollout
from tuneloop.hashing import short
from tuneloop.project import Project
from tuneloop.registry import approvals
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.standing import KINDS
from tuneloop.retraining import cycles, levels
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.retraining.cycles import Cycle

WORKER = "worker"
"""Who acts where nobody asked."""


@dataclass(frozen=True, kw_only=True)
class CycleResult:
    """What came of a cycle."""

    id: str
    status: Literal["finished", "stopped", "waiting"]
    """waiting: for an approval, or for the end of the rollout that it began."""
    outcome: str
    """One or two sentences for people."""
    deployed: bool
    refused: bool
    """A candidate may not replace production, or none was made, since none could."""
    bundle: str | None
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Step → what it made, and its seconds."""

    @property
    def waits_for_people(self) -> bool:
        """Whether it is not over because a person has yet to decide."""
        return self.status == "waiting" and "rollout" not in self.steps


def may_go_on(project: Project, cycle: Cycle) -> bool:
    """Whether there is something to do for a cycle: it is wanted, and what it waits for has come.

    Raises:
        StoreError: the records cannot be read.
    """
    if cycle.status != "waiting":
        return cycle.status in cycles.OPEN
    if "rollout" in cycle.steps:
        return not _rollout(project, cycle.steps).active
    bundle = project.bundle(cycle.steps["evaluate"]["bundle"])
    standings = [
        approvals.granted(project.workspace, project.model, bundle, kind) for kind in KINDS
    ]
    if all(standing.granted for standing in standings):
        return True
    return any(standing.rejected_by for standing in standings) or bool(
        admission.refusals(project.workspace, bundle)
    )


def held_back(
    project: Project, cycle: CycleRecord, bundle: Bundle, reason: str
) -> CycleResult | None:
    """What keeps an accepted candidate from production: what became of it under another id, or
    people; None where nothing does."""
    refused = admission.refusals(project.workspace, bundle)
    kept = next((refusal for refusal in refused if refusal.how != "rejected"), None)
    if kept is not None:
        outcome = (
            f"Candidate {bundle.short} is not deployed: it {kept.about(bundle.id)}. "
            f"{stays(project)} {kept.remedy}"
        )
        return finish(cycle, "stopped", outcome, bundle=bundle, refused=True, news="refused")
    standings = [
        approvals.request(project.workspace, project.model, bundle, kind, actor=project.actor)
        for kind in KINDS
    ]
    rejected = next((standing for standing in standings if standing.rejected_by), None)
    if rejected is not None:
        outcome = f"Candidate {bundle.short} is not deployed: {rejected.reason}. {stays(project)}"
        return finish(cycle, "stopped", outcome, bundle=bundle, refused=True)
    missing = [standing for standing in standings if not standing.granted]
    if missing:
        read = f"tuneloop evaluation show {bundle.manifest.evaluation.id}"
        give = "; ".join(
            f"{standing.kind}: {standing.reason}: "
            f"tuneloop approve {bundle.short} --kind {standing.kind}"
            for standing in missing
        )
        less = approvals.seen(project.workspace, bundle).weakened
        look = f"What is asked of it is {'; '.join(less)}. " if less else ""
        outcome = (
            f"Candidate {bundle.short} waits for people. {look}Read its report: {read}. Then "
            f"approve or reject it ({give})"
        )
        return wait(cycle, outcome, bundle)
    asked_by = cycles.asked_by(
        project.workspace, cycles.find(project.workspace, bundle.model, cycle.id)
    )
    if asked_by == WORKER and not levels.allowed(project.model).may_begin_rollout:
        outcome = (
            f"Candidate {bundle.short} may go into production: {reason}. Nobody asked for this "
            f"cycle, so a person decides: tuneloop deploy {bundle.short}"
        )
        return finish(cycle, "finished", outcome, bundle=bundle, news="undecided")
    return None


def after_rollout(project: Project, cycle: CycleRecord) -> CycleResult:
    """Where the rollout that a cycle began has got to."""
    rollout = _rollout(project, cycle.steps)
    bundle = project.bundle(rollout.candidate)
    if rollout.active:
        outcome = (
            f"{bundle.short} is being rolled out ({rollout.id}). "
            "See how it goes: tuneloop rollout status"
        )
        return wait(cycle, outcome, bundle)
    if rollout.status == "finished":
        outcome = f"{bundle.short} is in production: rollout {rollout.id} got to its end"
        return finish(cycle, "finished", outcome, bundle=bundle)
    outcome = f"{bundle.short} was taken back by rollout {rollout.id} ({rollout.detail})"
    return finish(cycle, "stopped", f"{outcome}. {stays(project)}", bundle=bundle, refused=True)


def _rollout(project: Project, steps: Mapping[str, Mapping[str, Any]]) -> Rollout:
    """The rollout that a cycle began."""
    return rollouts.find(project.workspace, project.model.name, steps["rollout"]["rollout"])


def stays(project: Project) -> str:
    """What is in production all the same, in a sentence."""
    live = project.in_production()
    return f"{short(live)} stays in production." if live else "Nothing is in production."


def finish(
    cycle: CycleRecord,
    status: Literal["finished", "stopped"],
    outcome: str,
    *,
    bundle: Bundle | None = None,
    refused: bool = False,
    news: Literal["refused", "undecided"] | None = None,
) -> CycleResult:
    """End a cycle.

    `news` of its candidate stands in the audit log, which is where channels are told from; what
    another event there says already is none.
    """
    detail = {} if news is None else {"candidate": news, "bundle": bundle.id if bundle else ""}
    cycle.close(status, outcome, **detail)
    went_live = bool(cycle.made("deploy") or cycle.made("rollout"))
    return CycleResult(
        id=cycle.id,
        status=status,
        outcome=outcome,
        deployed=status == "finished" and went_live,
        refused=refused,
        bundle=bundle.short if bundle else None,
        steps=cycle.steps,
    )


def wait(cycle: CycleRecord, outcome: str, bundle: Bundle) -> CycleResult:
    """Let a cycle rest."""
    cycle.wait(outcome)
    return CycleResult(
        id=cycle.id,
        status="waiting",
        outcome=outcome,
        deployed=False,
        refused=False,
        bundle=bundle.short,
        steps=cycle.steps,
    )
