"""A worker whose cycles are played: a real worker and real processes, no training.

python played_worker.py FILE ...        works for these model files
python played_worker.py --cycle FILE ID plays a cycle; steps last PLAYED_SECONDS, and for as
                                        long as the file PLAYED_HOLD names them or is empty

What happens is appended to the file PLAYED_LOG: model, step and the worker's process id.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tuneloop import logs

STEPS = ("prepare", "train", "evaluate")


def command(file: Path, overrides: Sequence[str], cycle: str) -> tuple[str, ...]:
    return (sys.executable, __file__, "--cycle", str(file), cycle)


def say(*words: str) -> None:
    with Path(os.environ["PLAYED_LOG"]).open("a") as log:
        log.write(" ".join(words) + "\n")


def play(file: Path, cycle: str) -> int:
    """One cycle: each step says when it begins and when it is done."""
    from tuneloop.errors import BusyError
    from tuneloop.project import Project
    from tuneloop.retraining import cycles
    from tuneloop.retraining.cycle_record import CycleRecord
    from tuneloop.worker.cycle_process import TRY_AGAIN

    worker = str(os.getppid())
    threading.Thread(target=end_with_stdin, daemon=True).start()
    project = Project.open(file, actor="worker")
    name = project.model.name

    def work(step: str) -> dict[str, str]:
        say(name, step, "begins", worker)
        time.sleep(float(os.environ["PLAYED_SECONDS"]))
        while held(step):
            time.sleep(0.05)
        say(name, step, "done", worker)
        return {"made": step}

    try:
        with project.workspace.exclusive(f"cycle-{name}", doing="play"):
            record = CycleRecord.start(project, cycles.UNSAID)
            assert record.id == cycle
            for step in STEPS:
                record.step(step, lambda step=step: work(step))
            record.close("finished", "played")
    except BusyError:
        return TRY_AGAIN
    return 0


def held(step: str) -> bool:
    """Whether the test keeps this step from its end."""
    with suppress(FileNotFoundError):
        return Path(os.environ["PLAYED_HOLD"]).read_text() in ("", step)
    return False


def end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def work(files: Sequence[Path]) -> None:
    from tuneloop.project import Project
    from tuneloop.worker.cycle_runner import CycleRunner
    from tuneloop.worker.presence import announced
    from tuneloop.worker.worker import Worker

    projects = [Project.open(file, actor="worker") for file in files]
    with announced(projects[0].workspace) as presence:
        worker = Worker(projects, presence, CycleRunner(command=command, first_pause_seconds=0.5))
        worker.launch()
        say("worker", "ready", str(os.getpid()))
        while True:
            worker.look()
            time.sleep(0.5)


if __name__ == "__main__":
    logs.configure()
    if sys.argv[1] == "--cycle":
        sys.exit(play(Path(sys.argv[2]), sys.argv[3]))
    work([Path(name) for name in sys.argv[1:]])
