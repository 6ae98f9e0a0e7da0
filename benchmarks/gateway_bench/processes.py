"""Processes of the bench: each on its core, watched, and stopped by its own id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Cores:
    """Which core each part of the bench runs on."""

    proxy: int
    upstream: int
    load: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The proxy has a core to itself where there are two."""
        usable = sorted(os.sched_getaffinity(0))
        upstream, load = usable[min(1, len(usable) - 1)], usable[min(2, len(usable) - 1)]
        return cls(proxy=usable[0], upstream=upstream, load=load)

    def note(self) -> str:
        """What a reader of the figures must know."""
        if self.proxy == self.upstream:
            return "one core: proxy, upstream and load share it, so no figure here is a limit"
        if self.upstream == self.load:
            return "two cores: the proxy has one to itself, upstream and load share the other"
        return "proxy, upstream and load have a core each"


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """The command on one core only, threads and children included."""
    return ["taskset", "--cpu-list", str(core), *command]


class Running:
    """A started process; use it as a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int,
        log: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                pinned(core, command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Until it can be used.

        Raises:
            RuntimeError: it ended or took too long; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"ended with {self._process.returncode}: {self._log_end()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"not ready after {seconds:g} s: {self._log_end()}")
            time.sleep(0.05)

    def cpu_seconds(self) -> float:
        """User and system time so far, children included."""
        times = [process.cpu_times() for process in self._family()]
        return sum(one.user + one.system for one in times)

    def memory_mb(self) -> float:
        """Resident memory, children included, in MB of 10^6 bytes."""
        return sum(process.memory_info().rss for process in self._family()) / 1e6

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session, nobody else's
            self._process.wait()

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace").strip()[-500:]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str, body: str, headers: dict[str, str], *, text: str) -> bool:
    """Whether the answer to a POST holds the text; reads no further than that."""
    request = urllib.request.Request(url, body.encode(), headers)
    answer = b""
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            while text.encode() not in answer and (piece := response.read1()):
                answer += piece
    except OSError:  # refused, reset, or an error status
        return False
    return text.encode() in answer
