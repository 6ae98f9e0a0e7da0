"""Sees a cycle through: starts its process, again when it dies, and ends it on a cancellation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuneloop.deployment.processes import ChildProcess
from tuneloop.errors import StoreError, TuneloopError
from tuneloop.project import Project
from tuneloop.retraining import cycles
from tuneloop.retraining.cycle_end import WORKER, may_go_on
from tuneloop.retraining.cycles import Cycle
from tuneloop.worker import cycle_process

_log = logging.getLogger(__name__)

Command = Callable[[Path, Sequence[str], str], tuple[str, ...]]
"""Model file, overrides and cycle → the command line of the process that works on it."""

_LOOK_SECONDS = 0.5
_STOP_SECONDS = 10.0
_CRASHES = 3
"""Ends of the process in a row, without a word, after which the cycle has failed."""


@dataclass(frozen=True, kw_only=True)
class CycleRunner:
    """How cycles are run."""

    overrides: Sequence[str] = ()
    """What the command line overrides in the model file: KEY=VALUE."""
    command: Command = cycle_process.command
    first_pause_seconds: float = 5.0
    """Before a process is started again; doubles each time."""
    longest_pause_seconds: float = 300.0

    def see_through(self, project: Project, identity: str) -> str:
        """Its status once there is no more to do for now: it is over, or it waits."""
        crashes, pause = 0, self.first_pause_seconds
        while True:
            try:
                cycle = cycles.find(project.workspace, project.model.name, identity)
                if not may_go_on(project, cycle):
                    return cycle.status
                exit_code, log = self._run(project, cycle)
                if exit_code == 0:
                    return cycles.find(project.workspace, cycle.model, identity).status
                crashes = 0 if exit_code == cycle_process.TRY_AGAIN else crashes + 1
                if crashes == _CRASHES:
                    # What a library printed last may quote rows; the outcome is told to channels.
                    why = f"its process ended {crashes} times (code {exit_code}); see {log}"
                    cycles.fail(project.workspace, cycle, why, actor=WORKER)
                    return "failed"
            except (TuneloopError, OSError) as e:  # a store is away, or a disk is full
                _log.warning("Cycle %s: %s It is tried again.", identity, e)
            time.sleep(pause)
            pause = min(2 * pause, self.longest_pause_seconds)

    def _run(self, project: Project, cycle: Cycle) -> tuple[int, Path]:
        """The exit code and the log of a process that works on a cycle."""
        child = ChildProcess(
            self.command(project.model_file.path, self.overrides, cycle.id),
            log=project.workspace.folder("logs") / f"cycle-{cycle.model}.log",
        )
        _log.info("Cycle %s runs in process %d.", cycle.id, child.pid)
        try:
            while child.exit_code is None:
                time.sleep(_LOOK_SECONDS)
                if not _is_open(project, cycle):
                    break
        finally:
            child.stop(grace_seconds=_STOP_SECONDS)
        return child.exit_code or 0, child.log


def _is_open(project: Project, cycle: Cycle) -> bool:
    try:
        return cycles.find(project.workspace, cycle.model, cycle.id).status in cycles.OPEN
    except StoreError:
        return True  # The process will notice, too.
