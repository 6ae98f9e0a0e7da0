"""`tuneloop up`: the gateway and one model server for each warm bundle, kept running.

The records say which servers are wanted; this loop makes it so, writes back where each answers and
publishes the routes. When the records cannot be read it goes on with what it last knew.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuneloop.deployment import endpoints, servers, supervised, supervisor
from tuneloop.deployment.backends import llamacpp
from tuneloop.deployment.backends.base import answers
from tuneloop.deployment.supervisor import ProcessSpec, Supervisor
from tuneloop.errors import BusyError, DeploymentError, StoreError, TuneloopError, UsageError
from tuneloop.hashing import short
from tuneloop.progress import Progress
from tuneloop.registry import bundle as bundles
from tuneloop.workspace import Workspace

READY_SECONDS = 120.0
_LOOP_SECONDS = 0.15
_STOP_SECONDS = 30.0
_STATE_FILE = "up.json"
_NO_SERVERS = {"gateway", "records"}
_STATUS: dict[str, servers.Status] = {
    "waiting": "starting",
    "starting": "starting",
    "ready": "ready",
    "stopping": "stopped",
    "failed": "failed",
}


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    stopping: Callable[[], bool],
    progress: Progress,
) -> None:
    """Run until `stopping` says so.

    Raises:
        BusyError: this workspace is being served already.
        UsageError: the address cannot be listened on.
    """
    with Supervisor(_lock(workspace)) as processes:
        _check_address(host, port)
        servers.forget_all(workspace)
        for endpoint in endpoints.listing(workspace):
            for bundle in (endpoint.bundle, endpoint.previous):
                if bundle:
                    servers.want(workspace, bundle)
        servers.publish(workspace)
        url = f"http://{host}:{port}/v1"
        state = workspace.root / _STATE_FILE
        state.write_text(json.dumps({"pid": os.getpid(), "url": url}))
        progress.note(f"gateway: {url}")
        try:
            loop = _Loop(workspace, processes, host=host, port=port, progress=progress)
            while not stopping():
                loop.step()
                time.sleep(_LOOP_SECONDS)
        finally:
            state.unlink(missing_ok=True)
            processes.stop_all()
            servers.forget_all(workspace)


def serve_until_told(workspace: Workspace, *, host: str, port: int, progress: Progress) -> None:
    """`serve` until SIGTERM or Ctrl-C."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    serve(workspace, host=host, port=port, stopping=told.is_set, progress=progress)


class _Loop:
    """What the loop remembers between two steps."""

    def __init__(
        self,
        workspace: Workspace,
        processes: Supervisor,
        *,
        host: str,
        port: int,
        progress: Progress,
    ) -> None:
        self._workspace = workspace
        self._processes = processes
        self._progress = progress
        self._gateway = supervised.gateway_process(
            routes=workspace.root / servers.ROUTES_FILE,
            spool=workspace.folder("spool"),
            host=host,
            port=port,
            log=workspace.folder("logs") / "gateway.log",
        )
        self._specs: dict[str, ProcessSpec] = {}
        self._wanted: list[str] = []
        self._told: dict[str, tuple[str, str]] = {}

    def step(self) -> None:
        """Read what is wanted, move every process one step, write back what changed."""
        try:
            self._wanted = [s.bundle for s in servers.listing(self._workspace) if s.wanted]
            servers.publish(self._workspace)
        except StoreError as e:
            self._tell("records", "unreachable", e.message)
        specs = [spec for bundle in self._wanted if (spec := self._spec(bundle)) is not None]
        statuses = self._processes.reconcile([self._gateway, *specs])
        for status in statuses:
            if self._tell(status.name, status.status, status.detail):
                self._write_back(status.name, _STATUS[status.status], status.detail)
        for name in self._told.keys() - {status.name for status in statuses} - _NO_SERVERS:
            if name not in self._wanted and self._tell(name, "stopped", "no longer needed"):
                self._write_back(name, "stopped", "")

    def _spec(self, bundle: str) -> ProcessSpec | None:
        if bundle not in self._specs:
            try:
                self._specs[bundle] = self._new_spec(bundle)
            except TuneloopError as e:
                if self._tell(bundle, "failed", e.message):
                    servers.report(self._workspace, bundle, "failed", detail=e.message)
                return None
        return self._specs[bundle]

    def _new_spec(self, identity: str) -> ProcessSpec:
        bundle = bundles.find(self._workspace, identity)
        serving = bundle.manifest["serving"]
        folder = bundles.verify(self._workspace, bundle)["export"]
        return supervised.model_server(
            name=bundle.id,
            model=folder / serving["file"],
            served_name=bundle.id,
            port=self._processes.port(bundle.id),
            log=self._workspace.folder("logs") / f"server-{bundle.short}.log",
            settings=llamacpp.settings_of(serving),
        )

    def _tell(self, name: str, status: str, detail: str) -> bool:
        """Say a change once; whether it was one."""
        if self._told.get(name) == (status, detail):
            return False
        self._told[name] = (status, detail)
        shown = name if name in _NO_SERVERS else f"model server {short(name)}"
        self._progress.note(f"{shown}: {status}{f' ({detail})' if detail else ''}")
        return True

    def _write_back(self, name: str, status: servers.Status, detail: str) -> None:
        if name in _NO_SERVERS:
            return
        url = llamacpp.base_url(self._processes.port(name)) if status == "ready" else None
        try:
            servers.report(self._workspace, name, status, base_url=url, detail=detail)
            servers.publish(self._workspace)
        except StoreError:
            del self._told[name]  # try again in the next step


def is_running(workspace: Workspace) -> bool:
    """Whether `tuneloop up` serves this workspace now."""
    return supervisor.holder(_lock(workspace)) is not None


def gateway_url(workspace: Workspace) -> str | None:
    """Where clients reach the gateway, with `/v1`; None when it does not answer."""
    if not is_running(workspace):
        return None
    try:
        state: dict[str, Any] = json.loads((workspace.root / _STATE_FILE).read_text())
    except (OSError, ValueError):
        return None
    url = str(state["url"])
    return url if answers(f"{url.removesuffix('/v1')}/healthz") else None


def start_detached(workspace: Workspace, arguments: list[str]) -> str:
    """Start `tuneloop up` in the background; returns the gateway's URL once all is ready.

    Raises:
        BusyError: it is running already.
        DeploymentError: it ended, or a model server is not ready in time; it is stopped again.
    """
    if is_running(workspace):
        raise BusyError("tuneloop up is running already.", remedy="Stop it with: tuneloop down")
    log = workspace.folder("logs") / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop.cli", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DeploymentError(_last_words(log))
        url = gateway_url(workspace)
        waiting = [s for s in servers.listing(workspace) if s.wanted and s.status != "ready"]
        if url is not None and not waiting:
            return url
        failed = [server for server in waiting if server.status == "failed"]
        if failed:
            stop(workspace)
            raise DeploymentError(
                f"The model server of {short(failed[0].bundle)} does not start: {failed[0].detail}",
                remedy=f"The log is {log}.",
            )
        time.sleep(0.1)
    stop(workspace)
    raise DeploymentError(
        f"Serving was not ready after {READY_SECONDS:g} s: {_last_words(log)}",
        remedy=f"The log is {log}.",
    )


def stop(workspace: Workspace) -> bool:
    """Stop `tuneloop up`; whether it was running."""
    pid = supervisor.holder(_lock(workspace))
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while is_running(workspace):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    return True


def _lock(workspace: Workspace) -> Path:
    return workspace.folder("locks") / "up.lock"


def _check_address(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            raise UsageError(
                f"Cannot listen on {host}:{port}: {e.strerror}.",
                remedy="Choose another port: tuneloop up --set endpoint.port=8401",
            ) from e


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " ".join(lines[-2:]) or "it ended without a word"
