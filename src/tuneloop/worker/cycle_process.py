"""The process that takes one cycle as far as it gets; the worker starts it and restarts it.

python -m tuneloop.worker.cycle_process --file FILE --cycle ID

A process of its own, because a training that runs out of memory must not take the worker with it,
and one that is cancelled must end at once. It runs at a low priority: serving goes first.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tuneloop import logs
from tuneloop.errors import TuneloopError
from tuneloop.project import Project
from tuneloop.retraining import cycles
from tuneloop.retraining.cycle import go_on
from tuneloop.retraining.cycle_end import WORKER

# By name: as a program this module is called __main__.
_log = logging.getLogger("tuneloop.worker.cycle_process")

TRY_AGAIN = 75
"""Exit code: something is in the way that may pass by itself (EX_TEMPFAIL of sysexits.h)."""
_NICENESS = 10


class _Logged:
    """Tells the log what a cycle does."""

    def step(self, text: str, *, keeps: str = "") -> None:
        """A new piece of work begins."""
        _log.info("%s", text)

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Bars are for terminals."""

    def note(self, text: str) -> None:
        """Something worth reading."""
        _log.info("%s", text)


def command(file: Path, overrides: Sequence[str], cycle: str) -> tuple[str, ...]:
    """The command line for a cycle of a model file."""
    return (
        sys.executable,
        "-m",
        "tuneloop.worker.cycle_process",
        f"--file={file}",
        f"--cycle={cycle}",
        *(f"--set={override}" for override in overrides),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Work until there is nothing more to do, or standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--cycle", required=True)
    parser.add_argument("--set", action="append", default=[])
    chosen = parser.parse_args(argv)
    logs.configure()
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    try:
        project = Project.open(chosen.file, actor=WORKER, overrides=chosen.set, progress=_Logged())
        asked_by = cycles.asked_by(
            project.workspace, cycles.find(project.workspace, project.model.name, chosen.cycle)
        )
        go_on(project.as_(asked_by or WORKER), chosen.cycle)
    except TuneloopError as e:
        _log.warning("Cycle %s: %s It is tried again.", chosen.cycle, e.message)
        return TRY_AGAIN
    return 0


def _end_with_the_worker() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
