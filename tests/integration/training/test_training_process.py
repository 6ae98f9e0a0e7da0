"""The supervised process: killed, cancelled, starved of disk; nothing is lost or left lying."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuneloop.errors import BaseModelError, TrainingError
from tuneloop.progress import Silent
from tuneloop.training.child import explain
from tuneloop.training.process import TrainingProcess, run_training
from tuneloop.training.spec import TrainingSpec


class Listener(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.updates: list[tuple[float, float, str]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        self.updates.append((done, total, detail))


def test_a_killed_run_is_explained_and_continues_from_its_checkpoint(
    spec: TrainingSpec, tmp_path: Path
) -> None:
    process = TrainingProcess(spec)
    seen: list[dict[str, Any]] = []
    with pytest.raises(TrainingError, match="was killed") as caught:
        for event in process.events():
            seen.append(event)
            # The first step of the second epoch: the first epoch's checkpoint is complete.
            if event["event"] == "step" and event["step"] == 4:
                os.kill(process.pid, signal.SIGKILL)
    assert "continues from the last checkpoint" in caught.value.remedy
    assert not spec.output_folder.exists()

    listener = Listener()
    output = run_training(spec, progress=listener)
    assert output.record["resumed_from_step"] >= 3
    assert output.record["steps"] == 9
    assert any(note.startswith("Continuing from checkpoint-") for note in listener.notes)
    assert any("⟦" in note for note in listener.notes)
    assert listener.updates[-1][:2] == (9, 9)
    assert "tokens/s" in listener.updates[-1][2]
    assert not (spec.run_folder / "checkpoints").exists()

    whole = run_training(replace(spec, run_folder=tmp_path / "whole"), progress=Silent())
    assert output.record["loss_curves"] == whole.record["loss_curves"]
    for name in ("final_loss", "best_eval_loss", "best_eval_step", "best_eval_epoch"):
        assert output.record[name] == whole.record[name]


def test_a_cancelled_run_ends_its_process_and_keeps_a_checkpoint(spec: TrainingSpec) -> None:
    long = replace(spec, config=spec.config.but(epochs=500, early_stopping_patience=0))
    process = TrainingProcess(long)
    steps: list[int] = []
    last: dict[str, Any] = {}
    for event in process.events(cancelled=lambda: len(steps) > 3):
        last = event
        if event["event"] == "step":
            steps.append(event["step"])
    assert last["event"] == "cancelled"
    assert last["step"] >= 4
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    checkpoints = [path.name for path in (long.run_folder / "checkpoints").iterdir()]
    assert f"checkpoint-{last['step']}" in checkpoints


def test_a_full_disk_is_one_clear_message_and_leaves_no_output(spec: TrainingSpec) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = subprocess.run(
        [sys.executable, "-m", "tuneloop.training.child", str(spec.write())],
        capture_output=True,
        preexec_fn=small_disk,
        check=False,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    error = json.loads(done.stdout.splitlines()[-1])
    assert error["event"] == "error"
    assert error["message"] == "The disk is full; training stopped."
    assert "Traceback" not in done.stdout + done.stderr
    assert not spec.output_folder.exists()


def test_after_a_full_disk_the_next_run_continues(spec: TrainingSpec) -> None:
    process = TrainingProcess(spec)
    with pytest.raises(TrainingError, match="The disk is full") as caught:
        for event in process.events():
            # The first epoch's checkpoint is complete; from now on no file may grow.
            if event["event"] == "step" and event["step"] == 4:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4_000, 4_000))
    assert "continues from the last checkpoint" in caught.value.remedy
    assert not spec.output_folder.exists()
    assert run_training(spec, progress=Silent()).record["resumed_from_step"] >= 3


def test_an_error_of_the_child_is_raised_here(spec: TrainingSpec, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="not a readable Hugging Face model"):
        run_training(replace(spec, base_folder=tmp_path / "nowhere"), progress=Silent())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "Memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Memory ran out"),
        (MemoryError(), "Memory ran out"),
        (KeyError("surprise"), "failed unexpectedly: KeyError: 'surprise'"),
    ],
)
def test_foreign_errors_are_explained(error: Exception, message: str) -> None:
    explained = explain(error, Path("log.txt"))
    assert message in explained.message
    assert explained.remedy
