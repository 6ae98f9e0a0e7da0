"""When a moved route takes effect, measured: every gateway process has it in use.

A gateway looks at the route file several times a second, and until then the next request is still
answered by the bundle before. Each process notes which routes it uses (`gateway.routes_seen`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tuneloop.deployment import endpoints, rollouts, servers, up
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.gateway import routes_seen
from tuneloop.hashing import short
from tuneloop.workspace import Workspace

WAIT_SECONDS = 5.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Whether requests are answered by the bundle that is in production."""

    seconds: float | None
    """Until every gateway process had the route, measured; None: it was not seen to."""
    waits_for: str = ""
    """What is in the way and what to do, in a sentence; empty where it took effect."""

    def __str__(self) -> str:
        if self.seconds is None:
            return self.waits_for
        return f"It took effect after {self.seconds:.2f} s (measured at every gateway process)."


NOT_SERVED = Effect(
    seconds=None, waits_for="Nothing is being served: it takes effect with the next `tuneloop up`."
)


def wait(
    workspace: Workspace,
    endpoint: Endpoint,
    *,
    since: float,
    timeout_seconds: float = WAIT_SECONDS,
) -> Effect:
    """Wait until every gateway process sends the endpoint's requests to the bundle in production.

    `since`: when the move began, by `time.monotonic`. Where nothing is served, or the bundle's
    server has failed, nothing is waited for; nor where somebody moved the endpoint meanwhile.
    """
    if not up.is_running(workspace):
        return NOT_SERVED
    deadline = time.monotonic() + timeout_seconds
    while True:
        meanwhile = _meanwhile(workspace, endpoint)
        if meanwhile:
            return Effect(seconds=None, waits_for=meanwhile)
        # The route first: a server that is ready has its route before anybody can take it over.
        routed = servers.routed(workspace, endpoint.name) == {endpoint.bundle}
        late = _late(workspace) if routed else None
        now = time.monotonic()
        if routed and late == []:
            return Effect(seconds=now - since)
        if late is None and routed:
            return Effect(seconds=None, waits_for=_SILENT)
        if now >= deadline or (not routed and _failed(workspace, endpoint)):
            return Effect(seconds=None, waits_for=_why(late))
        time.sleep(_LOOK_SECONDS)


def _meanwhile(workspace: Workspace, moved: Endpoint) -> str:
    """What somebody did with the endpoint since it was moved, in a sentence; empty: nothing."""
    now = endpoints.find(workspace, moved.model)
    if now is not None and now.bundle != moved.bundle:
        return (
            f"Meanwhile somebody else moved {now.name} on: {short(now.bundle or '')} is in "
            "production now. See: tuneloop history"
        )
    rollout = rollouts.active(workspace, moved.model)
    if rollout is not None:
        return (
            f"Meanwhile somebody began rollout {rollout.id} of {short(rollout.candidate)}, which "
            "decides where requests go. See: tuneloop rollout status"
        )
    return ""


_SILENT = (
    "The route is moved. The gateways that are running do not say when they have it; "
    "they look for it five times a second."
)


def _late(workspace: Workspace) -> list[str] | None:
    """The gateway processes that have older routes in use than the published ones; None where none
    says what it has."""
    version = servers.published(workspace).version
    seen = routes_seen.versions(workspace.folder("run"))
    return [name for name, used in seen.items() if used < version] if seen else None


def _failed(workspace: Workspace, endpoint: Endpoint) -> bool:
    server = servers.find(workspace, endpoint.bundle) if endpoint.bundle else None
    return server is not None and server.status == "failed"


def _why(late: list[str] | None) -> str:
    if late:
        return (
            f"It is not in effect yet: {', '.join(sorted(late))} still answers by the old route. "
            "Look again: tuneloop status; replace the gateways: tuneloop restart"
        )
    return (
        "It takes effect once its model server is ready; the bundle before answers until then. "
        "See: tuneloop status"
    )
