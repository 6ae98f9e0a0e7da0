"""A cycle that is killed in every stage, one kill after the other, ends as if it never was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

import tuneloop as package
from tiny_desk import as_json, command, make_desk
from tuneloop.loop import Loop
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.storage import tables

Reached = Callable[[Path, str], bool]
SETTINGS = ("--set", "training.epochs=3")


def said(step: str) -> Reached:
    """The step was announced."""
    return lambda desk, log: f"▸ {step}" in log


def has_checkpoint(desk: Path, log: str) -> bool:
    """The first epoch is safe."""
    return any(desk.glob(".tuneloop/work/training/*/checkpoints/*/trainer_state.json"))


def has_answers(desk: Path, log: str) -> bool:
    """The candidate has answered some of its cases."""
    files = desk.glob(".tuneloop/work/answers/*/*.jsonl")
    return any(f.read_text().count("\n") > 5 for f in files if f.parent.name != "references")


KILLS: tuple[tuple[str, str, Reached], ...] = (
    # What is going on, the step of the cycle that must not be done yet, when to kill.
    ("prepare", "prepare", said("Looking for contradictions")),
    ("train", "train", has_checkpoint),
    ("export", "evaluate", said("Converting to GGUF")),
    ("evaluate", "evaluate", has_answers),
    ("deploy", "deploy", said("Deploying")),
)


@contextmanager
def opened(desk: Path) -> Iterator[Loop]:
    loop = package.open(desk)
    try:
        yield loop
    finally:
        loop.close()


def kill_when(desk: Path, reached: Reached) -> None:
    """Start a cycle and end it with SIGKILL, as a kernel without memory does."""
    log = desk / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            command("run", *SETTINGS),
            cwd=desk,
            stdout=output,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    deadline = time.monotonic() + 150
    while not reached(desk, log.read_text()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def check_stores(loop: Loop) -> None:
    """Every artifact that is visible is whole, and nothing is left half written."""
    root = loop.workspace.root
    trees = [path.stem for path in (root / "artifacts" / "trees").glob("*.json")]
    assert trees
    for digest in trees:
        loop.workspace.artifacts.verify(digest)
    assert not list((root / "work" / "training").iterdir())


def processes_of(desk: Path) -> list[list[str]]:
    """Command lines of what still works for this folder."""
    running = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [words for words in running if any(str(desk) in word for word in words)]


@pytest.mark.timeout(600)
def test_a_cycle_that_is_killed_in_every_stage_is_done_once(tmp_path: Path) -> None:
    make_desk(tmp_path)
    for stage, undone, reached in KILLS:
        kill_when(tmp_path, reached)
        with opened(tmp_path) as loop, loop.workspace.records.begin() as tx:
            (cycle,) = tx.execute(sa.select(tables.cycles)).all()
            assert cycle.status == "running"
            assert undone not in cycle.steps, f"the kill in {stage} came too late"

    done = as_json(tmp_path, "run", *SETTINGS)
    assert done["deployed"] and done["id"] == cycle.id
    with opened(tmp_path) as loop:
        (run,) = loop.training_runs()
        assert run.status == "finished" and run.record["resumed_from_step"] > 0
        assert len(loop.dataset_versions()) == 1
        assert [one.status for one in loop.evaluations()] == ["finished"]
        (bundle,) = bundles.listing(loop.workspace, model=loop.model.name)
        moves = aliases.history(loop.workspace, loop.model.name)
        assert [m.to_bundle for m in moves if m.name == "production"] == [bundle.id]
        check_stores(loop)
    assert processes_of(tmp_path) == []
