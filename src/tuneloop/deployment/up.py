"""`tuneloop up`: the gateway and one model server for each warm bundle, kept running.

The caller may name more programs that shall run as long as these do.
The records say which servers are wanted; this loop makes it so, writes back where each answers and
publishes the routes. When the records cannot be read it goes on with what it last knew; a bundle
that cannot be served keeps nobody else from being served.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop.deployment import gateways, servers, supervised, supervisor
from tuneloop.deployment.backends import llamacpp
from tuneloop.deployment.backends.base import answers
from tuneloop.deployment.gateways import GatewayPlace, Gateways
from tuneloop.deployment.servers import ModelServer
from tuneloop.deployment.supervisor import ProcessSpec, RestartTiming, Supervisor
from tuneloop.errors import BusyError, DeploymentError, StoreError, TuneloopError, UsageError
from tuneloop.gateway import server as gateway
from tuneloop.hashing import short
from tuneloop.logs import message_of
from tuneloop.registry import bundle as bundles
from tuneloop.workspace import Workspace

_log = logging.getLogger(__name__)

READY_SECONDS = 120.0
_LOOP_SECONDS = 0.15
_STOP_SECONDS = 30.0
_STATE_FILE = "up.json"
# Looking at a bundle again reads every byte of it, and nothing else is looked after meanwhile.
_LOOK_AGAIN = RestartTiming(first_seconds=10.0, longest_seconds=300.0)
_STATUS: dict[str, servers.Status] = {
    "waiting": "starting",
    "starting": "starting",
    "ready": "ready",
    "stopping": "stopped",
    "failed": "failed",
}
_BAD = ("failed", "unreachable")


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
            workspace, {bundle: llamacpp.base_url(processes.port(bundle)) for bundle in warm}
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
        try:
            loop = _Loop(workspace, processes, running, beside)
            while not stopping():
                if restarting():
                    running.restart()
                loop.step()
                time.sleep(_LOOP_SECONDS)
        finally:
            state.unlink(missing_ok=True)
            processes.stop_all()
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


@dataclass(frozen=True, kw_only=True)
class _Unusable:
    """A bundle that no server can be started for."""

    reason: str
    failures: int
    """Looks in a row that found it unusable."""
    look_again_at: float
    """Seconds of the monotonic clock."""


class _Loop:
    """What the loop remembers between two steps."""

    def __init__(
        self,
        workspace: Workspace,
        processes: Supervisor,
        running: Gateways,
        beside: Sequence[ProcessSpec],
    ) -> None:
        self._workspace = workspace
        self._processes = processes
        self._gateways = running
        self._beside = beside
        self._controller = supervised.controller(
            workspace.root, log=workspace.folder("logs") / "rollout.log"
        )
        self._rolling_out = False
        self._specs: dict[str, ProcessSpec] = {}
        self._unusable: dict[str, _Unusable] = {}
        self._wanted: list[str] = []
        self._told: dict[str, tuple[str, str]] = {}

    def step(self) -> None:
        """Read what is wanted, move every process one step, write back what changed."""
        recorded = self._read()
        if recorded is not None:
            self._wanted = [server.bundle for server in recorded if server.wanted]
        found = self._reconcile()
        for name, (status, detail) in found.items():
            self._tell(name, status, detail)
        for name in self._told.keys() - found.keys() - {"records"}:
            self._tell(name, "stopped", "no longer needed")
        if recorded is not None:
            self._write_back(recorded, found)
            self._look_at_one()

    def _read(self) -> list[ModelServer] | None:
        """What the records say; None when they cannot be read."""
        try:
            self._rolling_out = servers.rolling_out(self._workspace)
            return servers.listing(self._workspace)
        except StoreError as e:
            self._tell("records", "unreachable", e.message)
            return None

    def _look_at_one(self) -> None:
        """Find out how to serve a bundle, or why it cannot be: one a step, for it takes a while."""
        now = time.monotonic()
        for bundle in self._wanted:
            before = self._unusable.get(bundle)
            if bundle in self._specs or (before is not None and now < before.look_again_at):
                continue
            try:
                self._specs[bundle] = self._new_spec(bundle)
                self._unusable.pop(bundle, None)
            except (TuneloopError, OSError, KeyError) as e:
                failures = before.failures + 1 if before else 1
                self._unusable[bundle] = _Unusable(
                    reason=e.message if isinstance(e, TuneloopError) else repr(e),
                    failures=failures,
                    look_again_at=time.monotonic() + _LOOK_AGAIN.pause(failures),
                )
            return

    def _reconcile(self) -> dict[str, tuple[str, str]]:
        """Move every process one step; name → status and detail, unusable bundles too."""
        self._unusable = {b: u for b, u in self._unusable.items() if b in self._wanted}
        specs = [self._specs[bundle] for bundle in self._wanted if bundle in self._specs]
        specs += [self._controller] if self._rolling_out else []
        statuses = self._processes.reconcile([*self._gateways.wanted, *specs, *self._beside])
        self._gateways.saw(statuses)
        found = {bundle: ("failed", one.reason) for bundle, one in self._unusable.items()}
        return found | {s.name: (str(s.status), s.detail) for s in statuses}

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

    def _tell(self, name: str, status: str, detail: str) -> None:
        """Say a change once."""
        if self._told.get(name) == (status, detail):
            return
        self._told[name] = (status, detail)
        others = {"records", supervised.CONTROLLER, *(spec.name for spec in self._beside)}
        other = name in others or name.startswith(gateways.PREFIX)
        _log.log(
            logging.WARNING if status in _BAD else logging.INFO,
            "%s: %s%s",
            name if other else f"model server {short(name)}",
            status,
            f" ({detail})" if detail else "",
            extra={"program": name, "status": status, "detail": detail},
        )

    def _write_back(
        self, recorded: Sequence[ModelServer], found: dict[str, tuple[str, str]]
    ) -> None:
        """Make the records say of every server what was found of it, and publish the routes."""
        try:
            for server in recorded:
                unseen = "waiting" if server.wanted else "stopping"
                status, detail = found.get(server.bundle, (unseen, ""))
                shown = _STATUS[status]
                url = None if shown == "stopped" else self._base_url(server.bundle)
                if (server.status, server.base_url, server.detail) != (shown, url, detail):
                    servers.report(
                        self._workspace, server.bundle, shown, base_url=url, detail=detail
                    )
            servers.publish(self._workspace)
            self._told.pop("records", None)
        except StoreError as e:
            self._tell("records", "unreachable", e.message)

    def _base_url(self, bundle: str) -> str:
        return llamacpp.base_url(self._processes.port(bundle))


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

    A bundle in production must be ready; another one, kept warm for a rollback, may fail.

    Raises:
        BusyError: it is running already.
        DeploymentError: it ended, or production is not ready in time; it is stopped again.
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
            if not production and (late or all(one.status == "failed" for one in others)):
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
