"""Moves an endpoint to a bundle: verify, load, smoke-test, switch. Going back is only a switch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tuneloop.deployment import endpoints, servers
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.deployment.smoke import Ask, Probe, SmokeResult, smoke_test
from tuneloop.errors import DeploymentError, GateError
from tuneloop.modelfile import ModelSettings
from tuneloop.progress import Progress
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.workspace import Workspace

READY_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 0.1

Serve = Callable[[Bundle], AbstractContextManager[str]]
"""Opens a server of the bundle and gives its base URL, with `/v1`."""
AskAt = Callable[[str, Bundle], Ask]
"""How to ask the server behind a base URL."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A finished deployment."""

    endpoint: Endpoint
    smoke: SmokeResult
    serving: bool
    """Whether a running `tuneloop up` took it over at once."""


def deploy(
    workspace: Workspace,
    *,
    model: ModelSettings,
    bundle: Bundle,
    probes: Sequence[Probe],
    serve: Serve,
    ask_at: AskAt,
    actor: str,
    reason: str,
    progress: Progress,
) -> Release:
    """Put a bundle into production, all at once.

    Raises:
        GateError: its gates did not pass, or the smoke test fails; production is unchanged.
        CorruptArtifactError: its files are not those of its manifest.
        DeploymentError: its server does not come up.
    """
    _refuse_ungated(bundle)
    progress.step(f"Deploying {bundle.short}: verify every file, load it, ask it, then switch")
    bundles.verify(workspace, bundle)
    with serve(bundle) as base_url:
        smoke = smoke_test(probes, ask_at(base_url, bundle))
    progress.note(
        f"smoke test: {smoke.answered}/{smoke.queries} answered, "
        f"{smoke.as_evaluated} as evaluated, "
        f"{smoke.unlike_base} of {smoke.compared_with_base} unlike the untuned base"
    )
    if not smoke.passed:
        servers.release_unused(workspace, keep=set())
        raise GateError(
            f"Bundle {bundle.short} fails the smoke test: {smoke.reason}.",
            remedy="Production is unchanged. Look at the server's log in the workspace's logs.",
        )
    servers.want(workspace, bundle.id)
    endpoint = endpoints.point(workspace, model=model, bundle=bundle.id, actor=actor, reason=reason)
    servers.release_unused(workspace, keep=set())
    servers.publish(workspace)
    server = servers.find(workspace, bundle.id)
    return Release(
        endpoint=endpoint, smoke=smoke, serving=server is not None and server.status == "ready"
    )


def roll_back(workspace: Workspace, *, model: str, actor: str, reason: str) -> Endpoint:
    """Send the endpoint back to the previous bundle, whose server is still warm.

    Raises:
        UsageError: there is no previous bundle.
    """
    endpoint = endpoints.roll_back(workspace, model=model, actor=actor, reason=reason)
    for bundle in (endpoint.bundle, endpoint.previous):
        if bundle:
            servers.want(workspace, bundle)
    servers.publish(workspace)
    return endpoint


def wait_until_ready(
    workspace: Workspace, bundle: str, *, timeout_seconds: float = READY_TIMEOUT_SECONDS
) -> str:
    """The base URL of a bundle's server once `tuneloop up` has started it.

    Raises:
        DeploymentError: it failed, or took too long.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        server = servers.find(workspace, bundle)
        if server is not None and server.status == "ready" and server.base_url:
            return server.base_url
        if server is not None and server.status == "failed":
            raise DeploymentError(f"The model server did not start: {server.detail}")
        time.sleep(_POLL_SECONDS)
    raise DeploymentError(
        f"The model server was not ready after {timeout_seconds:g} s.",
        remedy="Is `tuneloop up` still running? See: tuneloop status",
    )


def _refuse_ungated(bundle: Bundle) -> None:
    verdict = bundle.manifest["evaluation"].get("verdict")
    if verdict != "passed":
        raise GateError(
            f"Bundle {bundle.short} may not be deployed: its gates are {verdict or 'not judged'}.",
            remedy=f"See why with: tuneloop bundle show {bundle.short}",
        )
