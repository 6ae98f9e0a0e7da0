"""`tuneloop worker`."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from tuneloop.cli.terminal import DEFAULT_FILE, SetOption

FilesOption = Annotated[
    list[Path] | None,
    typer.Option("--file", "-f", help="A model file, or its folder; once for each model."),
]


def worker(files: FilesOption = None, overrides: SetOption = None) -> None:
    """Run a worker alone: schedules, cycles, alerts, housekeeping. `tuneloop up` runs one, too.

    Several workers with one PostgreSQL share the work. Stop it with Ctrl-C: what it was at is
    continued by the next one.

    Example: tuneloop worker -f router/tuneloop.yaml -f triage/tuneloop.yaml
    """
    from tuneloop import logs
    from tuneloop.worker import process as worker_process

    logs.configure()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    chosen = files or [Path(os.environ.get("TUNELOOP_FILE", DEFAULT_FILE))]
    worker_process.run(chosen, overrides or [], stopping=stopping)
