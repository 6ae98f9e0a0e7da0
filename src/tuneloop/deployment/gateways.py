"""The gateway processes that share one socket, and how they are replaced without a gap."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tuneloop.deployment.supervisor import ProcessSpec, ProcessStatus
from tuneloop.gateway import server as gateway

_DRAIN_SECONDS = 1.0
PREFIX = "gateway"


@dataclass(frozen=True, kw_only=True)
class GatewayPlace:
    """Where the gateways of a workspace find and leave things."""

    routes: Path
    spool: Path
    run: Path
    """Folder for what they tell each other: counters, and that they are ready."""
    logs: Path


class Gateways:
    """Which gateway processes should run now; call `saw` with what became of them."""

    def __init__(self, place: GatewayPlace, listener: socket.socket, *, count: int) -> None:
        self._place = place
        self._listener = listener
        self._count = count
        place.run.mkdir(parents=True, exist_ok=True)
        for file in place.run.glob(f"{PREFIX}-*"):
            file.unlink()
        self._running = [self._spec(slot, 0) for slot in range(count)]
        self._generation = 0
        self._newcomer: ProcessSpec | None = None
        self._left: list[int] = []

    @property
    def wanted(self) -> list[ProcessSpec]:
        """The processes that should run."""
        return [*self._running, *([self._newcomer] if self._newcomer else [])]

    @property
    def restarting(self) -> bool:
        """Whether some are still to be replaced."""
        return bool(self._left)

    def restart(self) -> None:
        """Replace all of them, one after the other, each when its successor is ready."""
        self._generation += 1
        self._left = list(range(self._count))
        self._start_next()

    def saw(self, statuses: Iterable[ProcessStatus]) -> None:
        """Let the predecessor of a newcomer go once the newcomer is ready."""
        ready = {status.name for status in statuses if status.status == "ready"}
        if self._newcomer is not None and self._newcomer.name in ready:
            self._running[self._left.pop(0)] = self._newcomer
            self._newcomer = None
            self._start_next()

    def _start_next(self) -> None:
        self._newcomer = self._spec(self._left[0], self._generation) if self._left else None

    def _spec(self, slot: int, generation: int) -> ProcessSpec:
        name = f"{PREFIX}-{slot}.{generation}" if generation else f"{PREFIX}-{slot}"
        ready = self._place.run / f"{name}.ready"
        host, port = self._listener.getsockname()[:2]
        command = gateway.command(
            routes=self._place.routes, spool=self._place.spool, host=host, port=port
        )
        flags = {
            "--fd": self._listener.fileno(),
            "--processes": self._count,
            "--run-folder": self._place.run,
            "--name": name,
            "--drain-seconds": _DRAIN_SECONDS,
        }
        words = [str(word) for pair in flags.items() for word in pair]
        return ProcessSpec(
            name=name,
            command=(*command, *words, "--until-stdin-closes"),
            log=self._place.logs / f"gateway-{slot}.log",
            ready=ready.exists,
            inherits=(self._listener.fileno(),),
            grace_seconds=_DRAIN_SECONDS + 10.0,
        )
