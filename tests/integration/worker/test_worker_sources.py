"""A real worker sees files come: one that fits begins one cycle, another kind alerts a person."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import played_worker
from tuneloop.monitoring import alerts
from tuneloop.retraining import cycles, decisions
from tuneloop.workspace import Workspace
from watched_desk import make_desk, row, write

pytestmark = pytest.mark.timeout(240)
EVERY_SECOND = "* * * * * *"
NEVER = ("golden", "judge", "sample", "hourly_monitors", "daily_monitors", "weekly_monitors")


def start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, played_worker.__file__, str(folder / "tuneloop.yaml")],
            env={
                **os.environ,
                "PLAYED_LOG": str(folder / "played"),
                "PLAYED_SECONDS": "0.1",
                "PLAYED_HOLD": str(folder / "hold"),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def wait_for(condition: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, (folder / "worker.log").read_text()
        time.sleep(0.1)


def test_a_worker_that_is_killed_while_it_looks_begins_one_cycle(tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    workspace = Workspace.open(folder / ".tuneloop")
    make_desk(
        workspace,
        folder,
        automation={"level": 3},
        schedule={**dict.fromkeys(NEVER, "never"), "sources": EVERY_SECOND},
    )
    memory = workspace.root / "sources/desk.json"
    worker = start(folder)
    try:
        wait_for(memory.is_file, folder)
        write(folder / "data/other.jsonl", [{"q": "where", "code": 1}] * 60)
        wait_for(lambda: bool(alerts.listing(workspace, "desk")), folder)
        assert cycles.newest(workspace, "desk") is None
        write(folder / "data/november.jsonl", [row(number) for number in range(200, 300)])
        wait_for(lambda: "november" in memory.read_text(), folder)
        worker.kill()
        worker.wait()
        worker = start(folder)
        wait_for(
            lambda: [c.status for c in cycles.listing(workspace, "desk")] == ["finished"], folder
        )
        time.sleep(3)  # it has looked again, and decided again
    finally:
        worker.kill()
        worker.wait()
    (cycle,) = cycles.listing(workspace, "desk")
    assert "data/november.jsonl is new: 100 rows, 100 usable" in cycle.reason
    kept = [(one.action, one.because) for one in decisions.listing(workspace, "desk")]
    assert kept.count(("retrain", "evidence")) == 1 and kept[0] == ("do_not", "cooldown")
    (alert,) = alerts.listing(workspace, "desk")
    assert alert.seen == 1 and "data/other.jsonl is new and does not fit" in alert.message
    workspace.records.close()
