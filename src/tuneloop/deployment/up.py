"""`tuneloop up`: the gateway and one model server for each warm bundle, kept running.

The caller may name more programs that shall run as long as these do.
The records say which servers are wanted; one loop makes it so. Another, on a thread of its own,
reads them, writes back where each server answers and publishes the routes: a database that is
locked or away can keep it for minutes, and a gateway that crashes meanwhile is started again all
the same, with what was last known. A bundle that cannot be served keeps nobody else from being
served.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneloop.deployment import gateways, servers, supervised, supervisor
from tuneloop.deployment.backends.base import answers, local_url
from tuneloop.deployment.gateways import GatewayPlace, Gateways
from tuneloop.deployment.supervisor import ProcessSpec, Supervisor
from tuneloop.deployment.wanted import Wanted
from tuneloop.errors import BusyError, DeploymentError, TuneloopError, UsageError
from tuneloop.gateway import server as gateway
from tuneloop.hashing import short
from tuneloop.logs import message_of
from tuneloop.workspace import Workspace

_log = logging.getLogger(__name__)

READY_SECONDS = 120.0
_LOOP_SECONDS = 0.15
_STOP_SECONDS = 30.0
_STATE_FILE = "up.json"


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    count: int,
    stopping: Callable[[], bool],
    restarting: Callable[[], bool],
    beside: Sequence[ProcessSpec] = (),
) -> None:
    """Run `count` gateways until `stopping` says so; replace them when `restarting` does.

    `beside`: more programs to keep running.

    Raises:
        BusyError: this workspace is being served already.
        UsageError: the address cannot be listened on.
    """
    with (
        Supervisor(_lock(workspace)) as processes,
        gateway.listen(host, port) as listener,
    ):
        with workspace.records.begin() as tx:
            warm = servers.warm(tx)
        servers.start_afresh(
            workspace, {bundle: local_url(processes.port(bundle)) for bundle in warm}
        )
        url = f"http://{_reachable(host)}:{listener.getsockname()[1]}/v1"
        state = workspace.root / _STATE_FILE
        state.write_text(json.dumps({"pid": os.getpid(), "url": url}))
        _log.info("gateway: %s", url)
        place = GatewayPlace(
            routes=workspace.root / servers.ROUTES_FILE,
            spool=workspace.folder("spool"),
            run=workspace.folder("run"),
            logs=workspace.folder("logs"),
        )
        running = Gateways(place, listener, count=count)
        loop = _Loop(workspace, processes, running, beside)
        loop.begin()
        try:
            while not stopping():
                if restarting():
                    running.restart()
                loop.step()
                time.sleep(_LOOP_SECONDS)
        finally:
            state.unlink(missing_ok=True)
            processes.stop_all()
            loop.end()
            servers.forget_all(workspace)


def serve_until_told(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    count: int = 1,
    beside: Sequence[ProcessSpec] = (),
) -> None:
    """`serve` until SIGTERM or Ctrl-C; SIGHUP replaces the gateways."""
    told, again = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    signal.signal(signal.SIGHUP, lambda *_: again.set())

    def restarting() -> bool:
        asked = again.is_set()
        again.clear()
        return asked

    serve(
        workspace,
        host=host,
        port=port,
        count=count,
        stopping=told.is_set,
        restarting=restarting,
        beside=beside,
    )


def restart_gateways(workspace: Workspace) -> None:
    """Replace the running gateway processes, one after the other; no request is dropped.

    Raises:
        UsageError: nothing is running.
    """
    pid = supervisor.holder(_lock(workspace))
    if pid is None:
        raise UsageError("tuneloop up is not running.", remedy="Start it with: tuneloop up")
    os.kill(pid, signal.SIGHUP)


class _Loop:
    """What the loop remembers between two steps."""

    def __init__(
        self,
        workspace: Workspace,
        processes: Supervisor,
        running: Gateways,
        beside: Sequence[ProcessSpec],
    ) -> None:
        self._processes = processes
        self._gateways = running
        self._beside = beside
        self._wanted = Wanted(workspace, processes)
        self._controller = supervised.controller(
            workspace.root, log=workspace.folder("logs") / "rollout.log"
        )
        self._told: dict[str, tuple[str, str]] = {}

    def begin(self) -> None:
        """Look at the records from now on."""
        self._wanted.begin()

    def end(self) -> None:
        """Look at them no more."""
        self._wanted.end()

    def step(self) -> None:
        """Move every process one step; this never waits."""
        specs = [*self._gateways.wanted, *self._wanted.specs, *self._beside]
        specs += [self._controller] if self._wanted.rolling_out else []
        statuses = self._processes.reconcile(specs)
        self._gateways.saw(statuses)
        started = {s.name: (str(s.status), s.detail) for s in statuses}
        states = {**self._wanted.unusable, **self._wanted.elsewhere, **started}
        self._wanted.saw(states)
        for name, (status, detail) in states.items():
            self._tell(name, status, detail)
        for name in self._told.keys() - states.keys():
            self._tell(name, "stopped", "no longer needed")

    def _tell(self, name: str, status: str, detail: str) -> None:
        """Say a change once."""
        if self._told.get(name) == (status, detail):
            return
        self._told[name] = (status, detail)
        others = {supervised.CONTROLLER, *(spec.name for spec in self._beside)}
        other = name in others or name.startswith(gateways.PREFIX)
        _log.log(
            logging.WARNING if status == "failed" else logging.INFO,
            "%s: %s%s",
            name if other else f"model server {short(name)}",
            status,
            f" ({detail})" if detail else "",
            extra={"program": name, "status": status, "detail": detail},
        )


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


def start_detached(
    workspace: Workspace, arguments: list[str], *, environment: Mapping[str, str]
) -> str:
    """Start `tuneloop up` in the background; returns the gateway's URL once all is ready.

    `environment` is added to ours.

    A bundle in production must be ready; another one, kept warm for a rollback, may fail.

    Raises:
        BusyError: it is running already.
        DeploymentError: it ended, or production is not ready in time; it is stopped again.
    """
    if is_running(workspace):
        raise BusyError("tuneloop up is running already.", remedy="Stop it with: tuneloop down")
    log = workspace.folder("logs") / "up.log"
    log.unlink(missing_ok=True)
    with log.open("ab") as output:  # appending, so that a log that was cut goes on at its start
        process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop.cli", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        return _wait_until_serving(workspace, process, log)
    except TuneloopError:
        stop(workspace)
        raise


def _wait_until_serving(workspace: Workspace, process: subprocess.Popen[bytes], log: Path) -> str:
    remedy = f"The log is {log}."
    deadline = time.monotonic() + READY_SECONDS
    while True:
        if process.poll() is not None:
            raise DeploymentError(_last_words(log))
        late = time.monotonic() >= deadline
        # Until the gateway answers, the records may still be those of an earlier `tuneloop up`.
        url = gateway_url(workspace)
        if url is not None:
            production, others = servers.not_ready(workspace)
            for server in production:
                if server.status == "failed":
                    raise DeploymentError(
                        f"The model server of {short(server.bundle)}, which is in production, "
                        f"does not start: {server.detail}",
                        remedy=remedy,
                    )
            if not production and (late or all(other.status == "failed" for other in others)):
                return url
        if late:
            raise DeploymentError(
                f"Serving was not ready after {READY_SECONDS:g} s: {_last_words(log)}",
                remedy=remedy,
            )
        time.sleep(0.1)


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


def _reachable(host: str) -> str:
    """Where to reach a server that listens on all addresses."""
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " ".join(map(message_of, lines[-2:])) or "it ended without a word"
