"""The worker as a program of its own.

python -m tuneloop.worker.process --file FILE
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tuneloop import logs
from tuneloop.deployment.supervisor import ProcessSpec
from tuneloop.errors import MissingExtraError, TuneloopError
from tuneloop.workspace import Workspace

# By name: as a program this module is called __main__.
_log = logging.getLogger("tuneloop.worker.process")

NAME = "worker"
_MISSING = MissingExtraError(
    "The worker needs the package dbos.", remedy="Install it with: pip install 'tuneloop[worker]'"
)


def beside(workspace: Workspace, file: Path, overrides: Sequence[str]) -> list[ProcessSpec]:
    """The programs that the supervisor keeps running beside the serving."""
    if not is_installed():
        _log.warning("No worker: %s", _MISSING.remedy)
        return []
    command = (
        sys.executable,
        "-m",
        "tuneloop.worker.process",
        f"--file={file}",
        *(f"--set={override}" for override in overrides),
    )
    log = workspace.folder("logs") / "worker.log"
    return [ProcessSpec(name=NAME, command=command, log=log, ready=lambda: True)]


def is_installed() -> bool:
    """Whether its libraries are there."""
    return importlib.util.find_spec("dbos") is not None


def run(files: Sequence[Path], overrides: Sequence[str], *, stopping: threading.Event) -> None:
    """Work until `stopping` is set; then the process ends.

    Raises:
        MissingExtraError: its libraries are not installed.
        UsageError, BusyError, StoreError: as `worker.work`.
    """
    if not is_installed():
        raise _MISSING
    from tuneloop.worker import worker

    worker.work(files, overrides, stopping=stopping)


def main(argv: Sequence[str] | None = None) -> int:
    """Work until standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, action="append", required=True)
    parser.add_argument("--set", action="append", default=[])
    chosen = parser.parse_args(argv)
    logs.configure()
    stopping = threading.Event()
    threading.Thread(target=_until_stdin_closes, args=(stopping,), daemon=True).start()
    try:
        run(chosen.file, chosen.set, stopping=stopping)
    except TuneloopError as e:
        _log.error("%s %s", e.message, e.remedy)
    os._exit(1)  # It could not begin.


def _until_stdin_closes(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stopping.set()


if __name__ == "__main__":
    main()
