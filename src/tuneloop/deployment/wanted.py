"""What shall be served, as the records say: looked at on a thread of its own.

A database that is locked or away keeps a reader waiting, for minutes where a machine is gone. Who
keeps the processes running must not wait with it: it asks here for what was last known.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuneloop.deployment import servers
from tuneloop.deployment.backends import table
from tuneloop.deployment.backends.base import Server, ServerHandle, address_in, local_url
from tuneloop.deployment.elsewhere import Elsewhere
from tuneloop.deployment.servers import ModelServer
from tuneloop.deployment.supervisor import ProcessSpec, RestartTiming, Supervisor
from tuneloop.errors import StoreError, TuneloopError
from tuneloop.registry import bundle as bundles
from tuneloop.workspace import Workspace

_log = logging.getLogger(__name__)

Found = Mapping[str, tuple[str, str]]
"""Bundle → status and detail of its server."""

_EVERY_SECONDS = 0.15
_END_SECONDS = 2.0
# Looking at a bundle again reads every byte of it.
_LOOK_AGAIN = RestartTiming(first_seconds=10.0, longest_seconds=300.0)
_STATUS: dict[str, servers.ServerStatus] = {
    "waiting": "starting",
    "starting": "starting",
    "ready": "ready",
    "stopping": "stopped",
    "failed": "failed",
}


@dataclass(frozen=True, kw_only=True)
class _Unusable:
    """A bundle that no server can be started for."""

    reason: str
    failures: int
    """Looks in a row that found it unusable."""
    look_again_at: float
    """Seconds of the monotonic clock."""


class Wanted:
    """The model servers that are wanted, and whether a rollout is under way.

    Only the thread writes what others read, and it replaces whole values.
    """

    def __init__(self, workspace: Workspace, processes: Supervisor) -> None:
        self._workspace = workspace
        self._processes = processes
        self._specs: dict[str, ProcessSpec] = {}
        self._addresses: dict[str, ServerHandle] = {}
        self._others: dict[str, Server] = {}
        self._elsewhere = Elsewhere()
        self._unusable: dict[str, _Unusable] = {}
        self._bundles: list[str] = []
        self._rolling_out = False
        self._found: Found = {}
        self._trouble = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)

    def begin(self) -> None:
        """Look at the records from now on."""
        self._elsewhere.begin()
        self._thread.start()

    def end(self) -> None:
        """Look no more; one that hangs in the database is left behind."""
        self._ending.set()
        self._elsewhere.end()
        self._thread.join(_END_SECONDS)

    @property
    def specs(self) -> list[ProcessSpec]:
        """The servers that can be run, of those that are wanted."""
        specs = self._specs
        return [specs[bundle] for bundle in self._bundles if bundle in specs]

    @property
    def elsewhere(self) -> Found:
        """Those that somebody else runs, and how they are."""
        return self._elsewhere.found

    @property
    def unusable(self) -> Found:
        """Those that cannot, and why."""
        wanted, unusable = self._bundles, self._unusable
        return {b: ("failed", failure.reason) for b, failure in unusable.items() if b in wanted}

    @property
    def rolling_out(self) -> bool:
        """Whether a rollout is under way."""
        return self._rolling_out

    def saw(self, found: Found) -> None:
        """What became of the servers; the records are told in a moment."""
        self._found = found

    def look(self) -> None:
        """Read what is wanted, and write back what was seen."""
        seen = self._found
        try:
            self._rolling_out = servers.rolling_out(self._workspace)
            recorded = servers.listing(self._workspace)
            self._bundles = [server.bundle for server in recorded if server.wanted]
            self._write_back(recorded, seen)
        except StoreError as e:
            if self._trouble != e.message:
                _log.warning("records: unreachable (%s)", e.message)
            self._trouble = e.message
            return
        self._trouble = ""
        self._look_at_one()
        wanted = self._bundles
        self._elsewhere.watch({b: server for b, server in self._others.items() if b in wanted})

    def _look_again_and_again(self) -> None:
        while not self._ending.wait(_EVERY_SECONDS):
            self.look()

    def _look_at_one(self) -> None:
        """Find out how to serve a bundle, or why it cannot be: one a look, for it takes a while."""
        now = time.monotonic()
        for bundle in self._bundles:
            before = self._unusable.get(bundle)
            known = bundle in self._specs or bundle in self._addresses
            if known or (before is not None and now < before.look_again_at):
                continue
            others = {b: failure for b, failure in self._unusable.items() if b in self._bundles}
            try:
                self._find_out(bundle)
                self._unusable = {b: failure for b, failure in others.items() if b != bundle}
            except (TuneloopError, OSError, KeyError) as e:
                failures = before.failures + 1 if before else 1
                unusable = _Unusable(
                    reason=e.message if isinstance(e, TuneloopError) else repr(e),
                    failures=failures,
                    look_again_at=time.monotonic() + _LOOK_AGAIN.pause(failures),
                )
                self._unusable = {**others, bundle: unusable}
            return

    def _find_out(self, identity: str) -> None:
        """Where a bundle is served, or how to serve it here."""
        bundle = bundles.find(self._workspace, identity)
        serving = bundle.manifest.serving
        backend, address = table.backend_of(serving), address_in(serving.conditions)
        log = self._workspace.folder("logs") / f"server-{bundle.short}.log"
        if address is not None:
            server = backend.server(
                serving.as_json(), model=Path(serving.file), served_name=bundle.id, log=log
            )
            self._others = {**self._others, bundle.id: server}
            self._addresses = {**self._addresses, bundle.id: address}
            return
        spec = table.managed(backend).process(
            serving.as_json(),
            model=bundles.verify(self._workspace, bundle)["export"] / serving.file,
            served_name=bundle.id,
            port=self._processes.port(bundle.id),
            log=log,
        )
        self._specs = {**self._specs, bundle.id: spec}

    def _write_back(self, recorded: Sequence[ModelServer], seen: Found) -> None:
        """Make the records say of every server what was found of it, and publish the routes."""
        for server in recorded:
            unseen = "waiting" if server.wanted else "stopping"
            status, detail = seen.get(server.bundle, (unseen, ""))
            shown = _STATUS[status]
            url = None if shown == "stopped" else self._base_url(server.bundle)
            if (server.status, server.base_url, server.detail) != (shown, url, detail):
                servers.report(self._workspace, server.bundle, shown, base_url=url, detail=detail)
        servers.publish(self._workspace)

    def _base_url(self, bundle: str) -> str:
        address = self._addresses.get(bundle)
        return address.base_url if address else local_url(self._processes.port(bundle))
