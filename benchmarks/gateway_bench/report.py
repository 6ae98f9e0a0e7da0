"""What both benches do alike: install the proxies, take turns, write the result."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

from gateway_bench.installs import MissingError
from gateway_bench.peers import Peer
from gateway_bench.processes import Cores

RESULTS = Path(__file__).resolve().parents[1] / "results"

T = TypeVar("T")


class Comparison:
    """The proxies that take part, and why others do not."""

    def __init__(self, peers: Iterable[Peer]) -> None:
        self.missing: dict[str, str] = {}
        """Reason by proxy."""
        self.versions: dict[str, str] = {}
        self._peers = list(peers)
        for peer in self._peers:
            try:
                self.versions[peer.name] = peer.install()
            except MissingError as e:
                self._leave_out(peer.name, str(e))

    @property
    def peers(self) -> list[Peer]:
        """Those that still take part."""
        return [peer for peer in self._peers if peer.name not in self.missing]

    @property
    def names(self) -> list[str]:
        """All, in their order."""
        return [peer.name for peer in self._peers]

    def turn(self, peer: Peer, measure: Callable[[], T]) -> T | None:
        """One measurement; a proxy that fails is out, with its reason, and the bench goes on."""
        try:
            return measure()
        except RuntimeError as e:
            self._leave_out(peer.name, str(e))
            return None

    def _leave_out(self, name: str, reason: str) -> None:
        self.missing[name] = reason
        print(f"{name}: left out: {reason}", flush=True)


class Neighbours:
    """How much the machine did for others during the bench: their share spoils timings."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._all, self._ours = _busy_seconds(), _our_seconds()

    def cores(self) -> float:
        """Cores that processes outside of the bench kept busy, on average since the start."""
        everything, ours = _busy_seconds() - self._all, _our_seconds() - self._ours
        return round((everything - ours) / (time.monotonic() - self._started), 2)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _our_seconds() -> float:
    """Of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def machine(cores: Cores) -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": {
            "proxy": cores.proxy,
            "upstream": cores.upstream,
            "load": cores.load,
            "note": cores.note(),
        },
        "python": platform.python_version(),
    }


def median(values: Iterable[float | None], digits: int = 3) -> float | None:
    """Of the values that are there; None where there is none."""
    found = [value for value in values if value is not None]
    return round(statistics.median(found), digits) if found else None


def difference(through: float | None, direct: float | None) -> float | None:
    """What the proxy adds."""
    return None if through is None or direct is None else through - direct


def write(name: str, result: dict[str, Any]) -> None:
    """Into `results/`, and as the last line."""
    text = json.dumps(result)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
