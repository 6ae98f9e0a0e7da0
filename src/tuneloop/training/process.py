"""Runs and supervises the process that trains.

Training in a process of its own can be cancelled at any moment, gives all its memory back, and
takes its allocator settings from its environment.
"""

from __future__ import annotations

import json
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop import errors, foreground
from tuneloop.errors import TrainingError, TuneloopError
from tuneloop.progress import Progress
from tuneloop.threads import waiting_briefly
from tuneloop.training.config import TrainingConfig
from tuneloop.training.spec import (
    CHECKPOINTS_NAME,
    OUTPUT_NAME,
    RECORD_NAME,
    SPEC_NAME,
    TrainingSpec,
)

_GRACE_SECONDS = 30.0
_LOOK_SECONDS = 0.2

# glibc gives large blocks back to the kernel and faults them in again at every step; keeping
# them makes a step a third quicker (docs/experiments.md). Other allocators ignore these.
_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024**3),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 1024**3),
    "MALLOC_TOP_PAD_": str(256 * 1024**2),
}


@dataclass(frozen=True, kw_only=True)
class TrainedOutput:
    """What a finished process left behind."""

    folder: Path
    """Holds `adapter` or `model`, and record.json."""
    record: dict[str, Any]


class TrainingProcess:
    """One child process; its events are read with `events`."""

    def __init__(self, spec: TrainingSpec, *, grace_seconds: float = _GRACE_SECONDS) -> None:
        self._spec = spec
        self._grace_seconds = grace_seconds
        _make_ready(spec)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop.training.child", str(spec.write())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(spec.config),
            # Ctrl-C reaches only us; we then tell the child in our own words.
            start_new_session=True,
        )
        foreground.rest_with_us(self._process.pid)
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def events(self, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[dict[str, Any]]:
        """What the process tells, until it ends; `cancelled` is asked several times a second.

        Raises:
            TuneloopError: what the process failed with.
        """
        asked = 0.0
        ended = False
        try:
            while True:
                if cancelled() and not asked:
                    self._process.terminate()
                    asked = time.monotonic()
                if asked and time.monotonic() - asked > self._grace_seconds:
                    self._process.kill()
                try:
                    line = self._lines.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    continue
                if line is None:
                    break
                event = json.loads(line)
                ended = ended or event["event"] in ("done", "cancelled")
                if event["event"] == "error":
                    raise _raised(event)
                yield event
            code = self._process.wait()
            if asked and not ended:
                yield {"event": "cancelled"}
            elif code != 0 or not ended:
                raise self._died(code)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the process: SIGTERM, which saves a checkpoint, then SIGKILL after the grace."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=self._grace_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        foreground.forget(self._process.pid)
        self._reader.join(timeout=5)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _died(self, code: int) -> TrainingError:
        log = self._spec.log_file
        if code == -signal.SIGKILL:
            return TrainingError(
                "The training process was killed, most likely because memory ran out.",
                remedy="Set training.gradient_checkpointing: 'on' or lower training.max_length; "
                "then train again: it continues from the last checkpoint.",
            )
        if self._process.stderr is not None and (said := self._process.stderr.read()):
            with suppress(OSError), log.open("ab") as file:
                file.write(said)
        return TrainingError(
            f"The training process ended with code {code} without saying why.",
            remedy=f"The details are in {log}.",
        )


def run_training(
    spec: TrainingSpec,
    *,
    progress: Progress,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainedOutput:
    """Train in a child process; a run that was interrupted continues from its last checkpoint.

    A run that had finished, and whose output nobody took, is not repeated.

    Raises:
        TuneloopError: what went wrong and what to do; TrainingError when cancelled.
    """
    if _is_finished(spec):
        progress.note("It had finished, only its result was not stored yet; taking that.")
        return read_output(spec.output_folder)
    process = TrainingProcess(spec)
    for event in process.events(cancelled=cancelled):
        _tell(event, progress)
        if event["event"] == "cancelled":
            raise TrainingError(
                "Training was cancelled.",
                remedy="Run the same command again to continue from the last checkpoint.",
            )
    return read_output(spec.output_folder)


def read_output(folder: Path) -> TrainedOutput:
    """The output of a finished run.

    Raises:
        TrainingError: when it is not complete.
    """
    try:
        record = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise TrainingError(f"{folder} holds no finished training run: {e}.") from e
    return TrainedOutput(folder=folder, record=record)


def _tell(event: dict[str, Any], progress: Progress) -> None:
    kind = event["event"]
    if kind == "note":
        progress.note(event["text"])
    elif kind == "step":
        margin = f"margin {event['margin']:.3f}, " if "margin" in event else ""
        detail = (
            f"{_epoch(event)}, loss {event['loss']:.4f}, {margin}"
            f"{event['tokens_per_second']:.0f} tokens/s"
        )
        progress.update(event["step"], event["total"], detail)
    elif kind == "eval":
        progress.note(f"{_epoch(event)}: evaluation loss {event['eval_loss']:.4f}.")


def _epoch(event: dict[str, Any]) -> str:
    """The epoch that a step belongs to; its last step still does."""
    return f"epoch {max(1, math.ceil(event['epoch']))} of {math.ceil(event['epochs'])}"


def _raised(event: dict[str, Any]) -> TuneloopError:
    named = getattr(errors, event["kind"], TrainingError)
    kind = named if isinstance(named, type) and issubclass(named, TuneloopError) else TrainingError
    return kind(event["message"], remedy=event["remedy"])


def _is_finished(spec: TrainingSpec) -> bool:
    """Whether an earlier process did exactly this work; the record is written last."""
    return (spec.output_folder / RECORD_NAME).is_file() and _same_work(
        spec.run_folder / SPEC_NAME, spec
    )


def _make_ready(spec: TrainingSpec) -> None:
    """Keep what can be continued: checkpoints of the same base, rows and settings."""
    try:
        spec.run_folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise TrainingError(f"{spec.run_folder} cannot be made: {e.strerror}.") from e
    previous = spec.run_folder / SPEC_NAME
    if previous.exists() and not _same_work(previous, spec):
        shutil.rmtree(spec.run_folder / CHECKPOINTS_NAME, ignore_errors=True)
    shutil.rmtree(spec.run_folder / OUTPUT_NAME, ignore_errors=True)


def _same_work(previous: Path, spec: TrainingSpec) -> bool:
    try:
        earlier = TrainingSpec.read(previous)
    except TuneloopError:
        return False
    return (
        earlier.config.digest() == spec.config.digest()
        and earlier.dataset_digest == spec.dataset_digest
        and earlier.base == spec.base
        and earlier.start_run == spec.start_run
        and (earlier.train_file, earlier.eval_file) == (spec.train_file, spec.eval_file)
        and earlier.draws_validation == spec.draws_validation
    )


def _environment(config: TrainingConfig) -> dict[str, str]:
    environment = _ALLOCATOR | waiting_briefly(os.environ)
    # The base is a local folder: nothing needs the network, and nobody is told what is trained.
    environment.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    # PEFT writes the names of the trained layers in the order of a set: equal trainings shall
    # have equal files, so that what is made of them is recognised.
    environment["PYTHONHASHSEED"] = "0"
    if config.threads is not None:
        environment["OMP_NUM_THREADS"] = str(config.threads)
    # One process trains on one GPU; TRL refuses several without a launcher.
    environment.setdefault("CUDA_VISIBLE_DEVICES", "0")
    return environment
