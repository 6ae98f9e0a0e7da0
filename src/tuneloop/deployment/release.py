"""Moves an endpoint to a bundle: verify, load, smoke-test, switch. Going back is only a switch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tuneloop.deployment import (
    admission,
    asking,
    bundle_server,
    endpoints,
    rollouts,
    servers,
    smoke,
    taking_effect,
    up,
)
from tuneloop.deployment.backends.base import proof_of, proof_sentence
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.deployment.rollout_plan import RolloutPlan
from tuneloop.deployment.rollouts import Rollout
from tuneloop.deployment.smoke import Probe, SmokeResult
from tuneloop.deployment.taking_effect import Effect
from tuneloop.errors import BusyError, DeploymentError, GateError, UsageError
from tuneloop.hashing import short
from tuneloop.modelfile import ModelSettings
from tuneloop.progress import Progress
from tuneloop.registry import approvals, people
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.weakness import sentences, stored
from tuneloop.workspace import Workspace

ROLLBACK_WAIT_SECONDS = 5.0
"""How long a rollback waits for a previous bundle whose server is not ready."""


class AsFound(Enum):
    """Stands for the bundle that was in production when a deployment began, or for none."""

    AS_FOUND = "as found"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A finished deployment."""

    endpoint: Endpoint
    smoke: SmokeResult
    proof: Mapping[str, Any]
    """How it is known that the bundle's weights are those that answer: see `backends.base`."""
    serving: bool
    """Whether a running `tuneloop up` took it over at once."""
    effect: Effect
    """When it took effect, counted from the moment that the route was moved."""


def deploy(
    workspace: Workspace,
    *,
    model: ModelSettings,
    bundle: Bundle,
    probes: Sequence[Probe],
    actor: str,
    reason: str,
    progress: Progress,
    expected: str | AsFound | None = AsFound.AS_FOUND,
    effect_timeout_seconds: float = taking_effect.WAIT_SECONDS,
) -> Release:
    """Put a bundle into production, all at once.

    `expected` is the bundle that must be in production when the route moves, None: nothing.
    `effect_timeout_seconds`: how long to wait, after that, until every gateway has it.

    Raises:
        NotAllowedError: people are declared, and `actor` may not deploy.
        GateError: `admission` refuses it, an approval is missing, or the smoke test fails;
            production is unchanged.
        UsageError: it is a bundle of another model.
        CorruptArtifactError: its files are not those of its manifest.
        DeploymentError: its server does not come up.
        ConflictError: something else than `expected` is in production; it is unchanged.
    """
    people.allow(workspace, actor, "deploy", model=model.name)
    _refuse_under_way(workspace, model.name)
    if isinstance(expected, AsFound):
        current = endpoints.find(workspace, model.name)
        expected = current.bundle if current else None
    progress.step(f"Deploying {bundle.short}: verify every file, load it, ask it, then switch")
    try:
        shown = admit(
            workspace,
            model=model,
            bundle=bundle,
            probes=probes,
            progress=progress,
        )
        servers.want(workspace, bundle.id)
        moved_at = time.monotonic()
        endpoint = endpoints.point(
            workspace, model=model, bundle=bundle.id, expected=expected, actor=actor, reason=reason
        )
    finally:
        servers.release_unused(workspace, keep=set())
    servers.publish(workspace)
    server = servers.find(workspace, bundle.id)
    return Release(
        endpoint=endpoint,
        smoke=shown,
        proof=proof_of(bundle.manifest.serving),
        serving=server is not None and server.status == "ready",
        effect=taking_effect.wait(
            workspace, endpoint, since=moved_at, timeout_seconds=effect_timeout_seconds
        ),
    )


def roll_out(
    workspace: Workspace,
    *,
    model: ModelSettings,
    bundle: Bundle,
    plan: RolloutPlan,
    probes: Sequence[Probe],
    actor: str,
    progress: Progress,
) -> Rollout:
    """Begin to move the endpoint to a bundle step by step; the controller goes on from here.

    Raises:
        NotAllowedError: people are declared, and `actor` may not deploy.
        UsageError: nothing is in production yet, nothing is being served, or it is there already.
        BusyError: another rollout is under way.
        GateError, CorruptArtifactError, DeploymentError: as `admit`; production is unchanged.
    """
    people.allow(workspace, actor, "deploy", model=model.name)
    _refuse_under_way(workspace, model.name)
    endpoint = endpoints.find(workspace, model.name)
    if endpoint is None or endpoint.bundle is None:
        raise UsageError(
            f"Nothing is in production of {model.name}: there is nothing to compare with.",
            remedy=f"Deploy the first bundle at once: tuneloop deploy {bundle.short}",
        )
    rollouts.check_another(bundle.id, endpoint.bundle)
    if not up.is_running(workspace):
        raise UsageError(
            "A rollout is judged on live traffic, and nothing is being served.",
            remedy="Start it with: tuneloop up --detach",
        )
    progress.step(f"Rolling out {bundle.short}: verify every file, load it, ask it, then begin")
    try:
        admit(
            workspace,
            model=model,
            bundle=bundle,
            probes=probes,
            progress=progress,
        )
        begun = rollouts.start(
            workspace,
            model=model.name,
            endpoint=endpoint.name,
            candidate=bundle.id,
            production=endpoint.bundle,
            plan=plan,
            actor=actor,
        )
    finally:
        servers.release_unused(workspace, keep=set())
    servers.publish(workspace)
    return begun


def admit(
    workspace: Workspace,
    *,
    model: ModelSettings,
    bundle: Bundle,
    probes: Sequence[Probe],
    progress: Progress,
) -> SmokeResult:
    """What must hold before a bundle answers any client: nothing refuses what it does, and it has
    its approvals, its files and a smoke test.

    Raises:
        GateError: `admission` refuses it, an approval is missing, or the smoke test fails.
        UsageError: it is a bundle of another model.
        CorruptArtifactError: its files are not those of its manifest.
        DeploymentError: its server does not come up.
    """
    _refuse_foreign(bundle, model)
    for weaker in sentences(stored(bundle.manifest.evaluation.weakened)):
        progress.note(f"warning: {weaker}")
    admission.require(workspace, bundle)
    approvals.require(workspace, model, bundle)
    bundles.verify(workspace, bundle)
    with bundle_server.opened(workspace, bundle) as server:
        target = servers.target(bundle.id, bundle.manifest, server.base_url)
        questions = [probe.prompt for probe in probes]
        answers = asking.texts(target, questions, progress=progress)
    shown = smoke.assess(probes, answers)
    _refuse_unsound(bundle, shown, progress)
    if unproven := proof_sentence(bundle.manifest.serving):
        progress.note(unproven)
    # Loading and asking took a while: somebody may have rejected it since.
    admission.require(workspace, bundle)
    approvals.require(workspace, model, bundle)
    return shown


def roll_back(
    workspace: Workspace,
    *,
    model: str,
    actor: str,
    reason: str,
    force: bool = False,
    expected: str | None = None,
    drill: bool = False,
) -> Endpoint:
    """Send the endpoint back to the previous bundle, whose server is still warm.

    `expected`: the bundle to go back from; by default whatever is in production now. Two people who
    name it do not undo each other's rollback.

    While a rollout is under way, going back means to end it: production gets all traffic again.

    Where `tuneloop up` runs and that server is not ready, it is waited for a few seconds; after
    that the route moves once the server is ready (see `in_effect`), and production's goes on
    answering until then.

    Raises:
        NotAllowedError: people are declared, and `actor` is neither engineer nor expert.
        UsageError: there is no previous bundle.
        GateError: somebody rejected it; nothing changed.
        ConflictError: another bundle than `expected` is in production; nothing changed.
        DeploymentError: its server fails, and `force` is not set; nothing changed.
    """
    people.allow(workspace, actor, "roll back", model=model)
    under_way = rollouts.active(workspace, model)
    if under_way is not None:
        rollouts.move(workspace, under_way, "abort", actor=actor, reason=reason, status="aborted")
        servers.publish(workspace)
        return _in_production(workspace, model)
    before = endpoints.find(workspace, model)
    if before is not None and before.previous is not None and not drill:
        admission.require_way_back(workspace, bundles.find(workspace, before.previous))
    if before is not None and before.previous is not None and up.is_running(workspace):
        servers.want(workspace, before.previous)
        server = bundle_server.settled(
            workspace, before.previous, timeout_seconds=ROLLBACK_WAIT_SECONDS
        )
        if server is not None and server.status == "failed" and not force:
            raise DeploymentError(
                f"The model server of the previous bundle {short(before.previous)} fails: "
                f"{server.detail} Production is unchanged.",
                remedy="Mend it, or go back all the same, which takes effect once that server is "
                "up: tuneloop rollback --force",
            )
    endpoint = endpoints.roll_back(
        workspace,
        model=model,
        actor=actor,
        reason=reason,
        expected=expected or (before.bundle if before else None),
        drill=drill,
    )
    for bundle in (endpoint.bundle, endpoint.previous):
        if bundle:
            servers.want(workspace, bundle)
    servers.publish(workspace)
    return endpoint


def in_effect(workspace: Workspace, endpoint: Endpoint) -> bool:
    """Whether the gateway sends the endpoint's requests to the bundle that is in production."""
    return up.is_running(workspace) and servers.routed(workspace, endpoint.name) == {
        endpoint.bundle
    }


def _refuse_foreign(bundle: Bundle, model: ModelSettings) -> None:
    if bundle.model != model.name:
        raise UsageError(
            f"Expected a bundle of {model.name}, got {bundle.short}, which is one of "
            f"{bundle.model}.",
            remedy="See the bundles of this model with: tuneloop bundle list",
        )


def _in_production(workspace: Workspace, model: str) -> Endpoint:
    endpoint = endpoints.find(workspace, model)
    if endpoint is None:
        raise UsageError(f"Nothing is in production of {model}.")
    return endpoint


def _refuse_under_way(workspace: Workspace, model: str) -> None:
    rollout = rollouts.active(workspace, model)
    if rollout is not None:
        raise BusyError(
            f"Rollout {rollout.id} of {model} is under way ({rollout.stage}).",
            remedy="Let it decide, or end it with: tuneloop rollout abort",
        )


def _refuse_unsound(bundle: Bundle, shown: SmokeResult, progress: Progress) -> None:
    progress.note(f"smoke test: {shown.summary}")
    if not shown.passed:
        raise GateError(
            f"Bundle {bundle.short} fails the smoke test: {shown.reason}.",
            remedy="Production is unchanged. Look at the server's log in the workspace's logs.",
        )
