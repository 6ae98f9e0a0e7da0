"""Keeps a set of named processes running: starts, restarts after a crash, stops.

Call `Supervisor.reconcile(desired)` again and again, about five times a second; each call does
what `next_action` says and never waits. What is desired may change from call to call.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Literal

from tuneloop.deployment.processes import ChildProcess, free_port
from tuneloop.errors import BusyError, DeploymentError
from tuneloop.logs import message_of

_STOP_POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process that should run. A changed command or environment replaces the process."""

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], bool] = field(compare=False)
    """Asked until it says yes; must answer quickly."""
    explain: Callable[[ChildProcess], str] = field(
        compare=False, default=lambda child: " | ".join(map(message_of, child.log_tail(3)))
    )
    """Why a process ended, in one line, from its log."""
    environment: Mapping[str, str] = field(default_factory=dict)
    inherits: tuple[int, ...] = ()
    """Descriptors of ours that it gets, by the same number."""
    ready_within_seconds: float = 180.0
    grace_seconds: float = 5.0
    """Between asking it to stop and making it stop."""


class Phase(StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, kw_only=True)
class ProcessState:
    """What the decision needs to know of a process; times in seconds of one monotonic clock."""

    phase: Phase
    since: float
    """When the phase began."""
    start_at: float = 0.0
    """While waiting: not before."""
    failures: int = 0
    """Starts in a row that ended in a crash."""


class Action(StrEnum):
    """What to do with one process now."""

    NOTHING = "nothing"
    START = "start"
    PROBE = "probe"
    NOTE_CRASH = "note crash"
    TERMINATE = "terminate"
    KILL = "kill"
    FORGET = "forget"


@dataclass(frozen=True, kw_only=True)
class RestartTiming:
    """When to start a crashed process again."""

    first_seconds: float = 0.5
    """Doubles with every crash in a row."""
    longest_seconds: float = 30.0
    steady_seconds: float = 60.0
    """Ready for so long, a process counts as sound again."""
    failed_after: int = 3
    """Crashes in a row from which it is reported as failed; it is tried again all the same."""

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many crashes in a row."""
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))


def next_action(
    state: ProcessState, now: float, *, spec: ProcessSpec, wanted: bool, running: bool
) -> Action:
    """What to do with a process, from what is known of it."""
    age = now - state.since
    match state.phase:
        case Phase.WAITING:
            if not wanted:
                return Action.FORGET
            return Action.START if now >= state.start_at else Action.NOTHING
        case Phase.STOPPING:
            if not running:
                return Action.FORGET
            return Action.KILL if age >= spec.grace_seconds else Action.NOTHING
        case Phase.STARTING | Phase.READY:
            if not running:
                return Action.NOTE_CRASH if wanted else Action.FORGET
            if not wanted:
                return Action.TERMINATE
            if state.phase is Phase.READY:
                return Action.NOTHING
            return Action.KILL if age >= spec.ready_within_seconds else Action.PROBE


def after_crash(state: ProcessState, now: float, timing: RestartTiming) -> ProcessState:
    """Wait for a while, longer with every crash in a row."""
    was_steady = state.phase is Phase.READY and now - state.since >= timing.steady_seconds
    failures = 1 if was_steady else state.failures + 1
    return ProcessState(
        phase=Phase.WAITING, since=now, start_at=now + timing.pause(failures), failures=failures
    )


Status = Literal["waiting", "starting", "ready", "stopping", "failed"]


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """What the supervisor says of one process."""

    name: str
    status: Status
    pid: int | None
    crashes: int
    """Since the supervisor first started it."""
    detail: str
    """Why it ended last, while it is not ready."""


@dataclass(kw_only=True)
class _Process:
    spec: ProcessSpec
    state: ProcessState
    child: ChildProcess | None = None
    crashes: int = 0
    detail: str = ""
    killed_because: str = ""


class Supervisor:
    """Owns the processes of one workspace; a context manager that stops them all at the end."""

    def __init__(
        self,
        lock: Path,
        *,
        timing: RestartTiming | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lock`: the file that keeps a second supervisor out; it holds the process id."""
        self._lock = _Lock(lock)
        self._timing = timing or RestartTiming()
        self._clock = clock
        self._processes: dict[str, _Process] = {}
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Supervisor:
        """Take the lock.

        Raises:
            BusyError: another supervisor has it.
        """
        self._lock.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop_all()
        finally:
            self._lock.release()

    def port(self, name: str) -> int:
        """A free port for the process `name`: the same at every restart."""
        if name not in self._ports:
            self._ports[name] = free_port()
        return self._ports[name]

    def reconcile(self, desired: Sequence[ProcessSpec]) -> list[ProcessStatus]:
        """Move every process one step towards what is desired; says where each one is."""
        wanted = {spec.name: spec for spec in desired}
        for name, spec in wanted.items():
            if name not in self._processes:
                waiting = ProcessState(phase=Phase.WAITING, since=self._clock())
                self._processes[name] = _Process(spec=spec, state=waiting)
        for name, process in list(self._processes.items()):
            self._step(process, wanted=wanted.get(name) == process.spec)
        return self.status()

    def status(self) -> list[ProcessStatus]:
        """Where each process is."""
        return [self._describe(process) for process in self._processes.values()]

    def stop_all(self) -> None:
        """End every process: ask all, wait, then make them."""
        while self._processes:
            for process in list(self._processes.values()):
                self._step(process, wanted=False)
            if self._processes:
                time.sleep(_STOP_POLL_SECONDS)

    def _step(self, process: _Process, *, wanted: bool) -> None:
        running = process.child is not None and process.child.exit_code is None
        action = next_action(
            process.state, self._clock(), spec=process.spec, wanted=wanted, running=running
        )
        match action:
            case Action.START:
                self._start(process)
            case Action.PROBE:
                self._probe(process)
            case Action.NOTE_CRASH:
                self._note_crash(process)
            case Action.TERMINATE:
                self._end(process, kill=False)
            case Action.KILL:
                self._end(process, kill=True)
            case Action.FORGET:
                self._forget(process)
            case Action.NOTHING:
                pass

    def _start(self, process: _Process) -> None:
        spec = process.spec
        self._enter_phase(process, Phase.STARTING)
        try:
            process.child = ChildProcess(
                spec.command,
                log=spec.log,
                environment=spec.environment,
                inherits=spec.inherits,
            )
        except DeploymentError as e:
            self._wait_after_crash(process, e.message)

    def _probe(self, process: _Process) -> None:
        if process.spec.ready():
            self._enter_phase(process, Phase.READY)
            process.detail = ""

    def _note_crash(self, process: _Process) -> None:
        child, process.child = process.child, None
        if child is not None:
            child.close()
            ended = f"exit code {child.exit_code}: {process.spec.explain(child)}"
            self._wait_after_crash(process, process.killed_because or ended)
            process.killed_because = ""

    def _wait_after_crash(self, process: _Process, reason: str) -> None:
        process.crashes += 1
        process.detail = reason
        process.state = after_crash(process.state, self._clock(), self._timing)

    def _end(self, process: _Process, *, kill: bool) -> None:
        if process.child is None:
            return
        if process.state.phase is Phase.STARTING and kill:
            seconds, why = process.spec.ready_within_seconds, process.spec.explain(process.child)
            process.killed_because = f"not ready after {seconds:g} s: {why}"
        if kill:
            process.child.kill()
        else:
            process.child.terminate()
            self._enter_phase(process, Phase.STOPPING)

    def _forget(self, process: _Process) -> None:
        if process.child is not None:
            process.child.close()
        del self._processes[process.spec.name]

    def _enter_phase(self, process: _Process, phase: Phase) -> None:
        process.state = replace(process.state, phase=phase, since=self._clock())

    def _describe(self, process: _Process) -> ProcessStatus:
        state, child = process.state, process.child
        failed = state.failures >= self._timing.failed_after and state.phase is not Phase.READY
        status: Status = "failed" if failed else state.phase.value
        return ProcessStatus(
            name=process.spec.name,
            status=status,
            pid=child.pid if child is not None and child.exit_code is None else None,
            crashes=process.crashes,
            detail=process.detail,
        )


class _Lock:
    """A locked file; the kernel lets go of it however its holder dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise BusyError(
                f"This workspace is being served already (process {holder or 'unknown'}).",
                remedy="Use it, or stop it first with: tuneloop down",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def holder(lock: Path) -> int | None:
    """The process id of the supervisor that holds `lock`, or None when nobody does."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
