"""Takes a rollout one decision further: traffic in, verdict, move.

Everything is computed afresh from the captured traffic and the rollout's events, so a controller
that was killed and starts again, or a second one, comes to the same
verdict; the move is a compare-and-set.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from tuneloop.deployment import admission, endpoints, outcomes, rollouts, servers
from tuneloop.deployment.admission import Refusal
from tuneloop.deployment.rollout import StageEvidence, StageVerdict, decide, weigh
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import GateError, UsageError
from tuneloop.registry import bundle as bundles
from tuneloop.registry import people
from tuneloop.storage.ingest import ingest
from tuneloop.task.answer_form import declared_form
from tuneloop.workspace import Workspace

ACTOR = rollouts.CONTROLLER
Steer = Literal["pause", "resume", "promote", "abort"]
_STATUS_AFTER: dict[Steer, rollouts.RolloutStatus] = {
    "pause": "paused",
    "resume": "running",
    "promote": "running",
    "abort": "aborted",
}
_TAKES: dict[Steer, people.Action] = {
    "pause": "roll back",
    "resume": "deploy",
    "promote": "deploy",
    "abort": "roll back",
}


def advance(workspace: Workspace, rollout: Rollout) -> Rollout:
    """Judge a running rollout on what was captured until now and move it if it is to move.

    Raises:
        ConflictError: somebody moved it meanwhile; look again.
        StoreError: a store fails; nothing was moved.
    """
    if rollout.status != "running":
        return rollout
    if (refusal := _refusal(workspace, rollout)) is not None:
        return _end(workspace, rollout, f"it {refusal.about(rollout.candidate)}")
    if rollout.stage.name == "full":
        return _finish(workspace, rollout)
    evidence = look(workspace, rollout)
    verdict = decide(rollout.plan, rollout.stage, evidence)
    moved = _move(workspace, rollout, verdict, _figures(evidence))
    if moved.revision != rollout.revision:
        servers.publish(workspace)
    return _finish(workspace, moved) if moved.stage.name == "full" else moved


def steer(workspace: Workspace, model: str, command: Steer, *, actor: str, reason: str) -> Rollout:
    """Do what a person says with the rollout under way.

    A pause keeps the route as it is (a shadow gets no more copies) and nothing is decided or
    counted until it is resumed. `promote` takes the next step whatever the guards say.

    Raises:
        NotAllowedError: people are declared, and `actor` may not.
        UsageError: no rollout is under way, or the command does not fit where it is.
        GateError: it cannot go on, since something refuses the candidate by now.
        ConflictError: it was moved meanwhile.
    """
    people.allow(workspace, actor, _TAKES[command], model=model)
    rollout = rollouts.active(workspace, model)
    if rollout is None:
        raise UsageError(
            f"No rollout of {model} is under way.",
            remedy="Start one with: tuneloop rollout start candidate",
        )
    if (command, rollout.status) in (("pause", "paused"), ("resume", "running")):
        raise UsageError(f"Rollout {rollout.id} is {rollout.status} already.")
    refusal = _refusal(workspace, rollout)
    if command in ("resume", "promote") and refusal is not None:
        raise GateError(
            f"Rollout {rollout.id} cannot go on: its candidate {refusal.about(rollout.candidate)}.",
            remedy="End it with: tuneloop rollout abort",
        )
    moved = rollouts.move(
        workspace,
        rollout,
        command,
        actor=actor,
        reason=reason,
        stage=rollout.plan.after(rollout.stage) if command == "promote" else None,
        status=_STATUS_AFTER[command],
    )
    if moved.stage.name == "full" and moved.active:
        return _finish(workspace, moved)
    if not moved.active:
        servers.release_unused(workspace, keep=set())
    servers.publish(workspace)
    return moved


def look(workspace: Workspace, rollout: Rollout) -> StageEvidence:
    """The evidence of a rollout from everything that was captured until now."""
    ingest(workspace.folder("spool"), workspace.traffic)
    candidate = bundles.find(workspace, rollout.candidate)
    observations = outcomes.observe(
        workspace.traffic,
        rollout,
        rollouts.events(workspace, rollout.id),
        fits=declared_form(candidate.manifest.task.as_json()),
        now=workspace.now(),
    )
    hours = (workspace.now() - rollout.step_since).total_seconds() / 3_600
    return weigh(rollout.plan, rollout.stage, observations, hours=hours)


def _move(
    workspace: Workspace, rollout: Rollout, verdict: StageVerdict, figures: dict[str, Any]
) -> Rollout:
    match verdict.action:
        case "roll_back":
            return rollouts.move(
                workspace,
                rollout,
                "roll_back",
                actor=ACTOR,
                reason=verdict.reason,
                status="rolled_back",
                figures=figures,
            )
        case "promote" | "finish":
            return rollouts.move(
                workspace,
                rollout,
                "promote",
                actor=ACTOR,
                reason=verdict.reason,
                stage=rollout.plan.after(rollout.stage),
                figures=figures,
            )
        case "hold" if verdict.needs_person and not _asked(workspace, rollout):
            return rollouts.move(
                workspace,
                rollout,
                "hold",
                actor=ACTOR,
                reason=verdict.reason,
                figures=figures,
            )
        case _:
            return rollout


def _refusal(workspace: Workspace, rollout: Rollout) -> Refusal | None:
    """What came up against the candidate since it was let begin; a rejection counts whenever."""
    candidate = bundles.find(workspace, rollout.candidate)
    found = admission.refusals(workspace, candidate)
    news = (one for one in found if one.how == "rejected" or one.at > rollout.created_at)
    return next(news, None)


def _end(workspace: Workspace, rollout: Rollout, reason: str) -> Rollout:
    """What is refused gets no more traffic."""
    ended = rollouts.move(workspace, rollout, "abort", actor=ACTOR, reason=reason, status="aborted")
    servers.release_unused(workspace, keep=set())
    servers.publish(workspace)
    return ended


def _asked(workspace: Workspace, rollout: Rollout) -> bool:
    """Whether a person has been asked in this step already."""
    return rollouts.events(workspace, rollout.id)[-1].event == "hold"


def _finish(workspace: Workspace, rollout: Rollout) -> Rollout:
    """Make the candidate production. Done again after a kill it changes nothing."""
    endpoints.succeed(
        workspace,
        model=rollout.model,
        bundle=rollout.candidate,
        expected=rollout.production,
        actor=ACTOR,
        reason=f"rollout {rollout.id}: {rollout.detail}",
    )
    done = rollouts.move(
        workspace,
        rollout,
        "finish",
        actor=ACTOR,
        reason=rollout.detail,
        status="finished",
    )
    servers.publish(workspace)
    return done


def _figures(evidence: StageEvidence) -> dict[str, Any]:
    return {"evidence": asdict(evidence)}
