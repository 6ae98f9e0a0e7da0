"""The server of one bundle: the running one, one for the moment, or the one that others run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tuneloop.deployment import servers, up
from tuneloop.deployment.backends import table
from tuneloop.deployment.backends.base import ServerHandle, address_in
from tuneloop.deployment.servers import ModelServer
from tuneloop.errors import DeploymentError
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.workspace import Workspace

READY_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 0.1


@contextmanager
def opened(workspace: Workspace, bundle: Bundle) -> Iterator[ServerHandle]:
    """Where a bundle answers: at its address, else under `tuneloop up`, else for so long as this.

    Raises:
        CorruptArtifactError: its files are not those of its manifest.
        DeploymentError: it does not come up, or is not at its address.
    """
    serving = bundle.manifest.serving
    backend = table.backend_of(serving)
    if address_in(serving.conditions) is None and up.is_running(workspace):
        servers.want(workspace, bundle.id)
        url = wait_until_ready(workspace, bundle.id)
        yield ServerHandle(base_url=url, served_name=bundle.id)
        return
    model = bundles.verify(workspace, bundle)["export"] / serving.file
    log = workspace.folder("logs") / f"server-{bundle.short}.log"
    with backend.server(serving.as_json(), model=model, served_name=bundle.id, log=log) as handle:
        yield handle


def wait_until_ready(
    workspace: Workspace, bundle: str, *, timeout_seconds: float = READY_TIMEOUT_SECONDS
) -> str:
    """The base URL of a bundle's server once `tuneloop up` has it ready.

    Raises:
        DeploymentError: it failed, or took too long.
    """
    server = settled(workspace, bundle, timeout_seconds=timeout_seconds)
    if server is not None and server.status == "ready" and server.base_url:
        return server.base_url
    if server is not None and server.status == "failed":
        raise DeploymentError(f"The model server did not start: {server.detail}")
    raise DeploymentError(
        f"The model server was not ready after {timeout_seconds:g} s.",
        remedy="Is `tuneloop up` still running? See: tuneloop status",
    )


def settled(workspace: Workspace, bundle: str, *, timeout_seconds: float) -> ModelServer | None:
    """A bundle's server once it is ready or has failed; as it is when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        server = servers.find(workspace, bundle)
        done = server is not None and server.status in ("ready", "failed")
        if done or time.monotonic() >= deadline:
            return server
        time.sleep(_POLL_SECONDS)
