"""The process that trains: `python -m tuneloop.training.child SPEC.json`.

Tells what it does as JSON lines on its standard output; what libraries print, and any traceback,
goes to the run's log file. Stops at the next step on SIGTERM, with a checkpoint.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from filelock import FileLock, Timeout

from tuneloop.errors import BusyError, TrainingError, TuneloopError
from tuneloop.training.spec import LOCK_NAME, TrainingSpec

_PREDECESSOR_SECONDS = 20.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "file too large")
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "defaultcpu")


class Stop:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.requested = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the wish; the trainer looks after each step."""
        self.requested = True

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.requested


class Events:
    """Writes events as JSON lines; a reader that is gone is a wish to stop."""

    def __init__(self, stream: TextIO, stop: Stop) -> None:
        self._stream = stream
        self._stop = stop

    def __call__(self, event: dict[str, Any]) -> None:
        """Write one event."""
        try:
            self._stream.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._stop.requested = True


def main(arguments: list[str]) -> int:
    """Train as the spec file says; returns the exit code, 0 also when asked to stop."""
    spec = TrainingSpec.read(Path(arguments[0]))
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.on_signal)
    events = Events(_claim_output(spec.log_file), stop)
    lock = FileLock(spec.run_folder / LOCK_NAME)
    try:
        # A process whose parent was killed saves its checkpoint and ends within a step.
        lock.acquire(timeout=_PREDECESSOR_SECONDS)
    except Timeout:
        events(_error(BusyError(f"Another process is training in {spec.run_folder}.")))
        return 1
    try:
        return _train(spec, events, stop)
    finally:
        lock.release()


def _train(spec: TrainingSpec, events: Events, stop: Stop) -> int:
    try:
        from tuneloop.training.run import train

        outcome = train(spec, emit=events, stop_requested=stop)
    except Exception as e:  # noqa: BLE001 - the one place where errors become an event
        traceback.print_exc()
        events(_error(explain(e, spec.log_file)))
        return 1
    events({"event": "done" if outcome.finished else "cancelled", "step": outcome.step})
    return 0


def explain(error: BaseException, log_file: Path) -> TuneloopError:
    """What a person can do about an error: full disk, too little memory, or the log to read."""
    if isinstance(error, TuneloopError):
        return error
    text = str(error).lower()
    if (isinstance(error, OSError) and error.errno in _FULL) or any(w in text for w in _FULL_WORDS):
        return TrainingError(
            "The disk is full; training stopped.",
            remedy="Free some space and train again: it continues from the last checkpoint.",
        )
    if isinstance(error, MemoryError) or any(word in text for word in _MEMORY_WORDS):
        return TrainingError(
            "Memory ran out; training stopped.",
            remedy="Set training.gradient_checkpointing: 'on', lower training.max_length, or "
            "choose a smaller base; then train again: it continues from the last checkpoint.",
        )
    first = next(iter(str(error).strip().splitlines()), "")
    return TrainingError(
        f"Training failed unexpectedly: {type(error).__name__}: {first}",
        remedy=f"The details are in {log_file}.",
    )


def _error(error: TuneloopError) -> dict[str, Any]:
    return {
        "event": "error",
        "kind": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
    }


def _claim_output(log_file: Path) -> TextIO:
    """Keep standard output for events and send everything else to the log."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    return events


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
