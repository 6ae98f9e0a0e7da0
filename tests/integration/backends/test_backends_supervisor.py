"""The supervisor with real processes that come up, crash, hang and refuse to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tuneloop.deployment import supervisor
from tuneloop.deployment.supervisor import ProcessSpec, ProcessStatus, RestartTiming, Supervisor
from tuneloop.errors import BusyError

QUICK = RestartTiming(first_seconds=0.05, longest_seconds=0.2)


def _spec(folder: Path, code: str, name: str = "p", **options: Any) -> ProcessSpec:
    """A Python process that is ready once it has made the file `ready-NAME`."""
    ready = folder / f"ready-{name}"
    ready.unlink(missing_ok=True)
    program = f"import sys, time, signal, pathlib\nready = pathlib.Path({str(ready)!r})\n{code}"
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-c", program),
        log=folder / f"{name}.log",
        ready=ready.exists,
        **options,
    )


GOOD = "ready.touch(); time.sleep(60)"


def _until(
    supervised: Supervisor,
    desired: Sequence[ProcessSpec],
    condition: Callable[[list[ProcessStatus]], object],
) -> list[ProcessStatus]:
    deadline = time.monotonic() + 15
    while not condition(status := supervised.reconcile(desired)):
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
    return status


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_crashed_process_comes_back(tmp_path: Path) -> None:
    desired = [_spec(tmp_path, GOOD)]
    with Supervisor(tmp_path / "lock", timing=QUICK) as supervised:
        (first,) = _until(supervised, desired, lambda s: s[0].status == "ready")
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        (crashed,) = _until(supervised, desired, lambda s: s[0].crashes == 1)
        assert "exit code -9" in crashed.detail
        (again,) = _until(supervised, desired, lambda s: s[0].status == "ready")
        assert again.pid not in (None, first.pid)
        assert again.detail == ""
    assert again.pid is not None
    assert not _alive(again.pid)


def test_one_that_never_comes_up_is_reported_as_failed_with_its_reason(tmp_path: Path) -> None:
    desired = [_spec(tmp_path, "sys.exit('no such model')"), _spec(tmp_path, GOOD, "other")]
    with Supervisor(tmp_path / "lock", timing=QUICK) as supervised:
        status = _until(supervised, desired, lambda s: s[0].status == "failed")
        assert "no such model" in status[0].detail
        assert status[1].status == "ready"  # the others do not suffer


def test_one_that_hangs_at_its_start_is_killed_and_tried_again(tmp_path: Path) -> None:
    desired = [_spec(tmp_path, "time.sleep(60)", ready_within_seconds=0.4)]
    with Supervisor(tmp_path / "lock", timing=QUICK) as supervised:
        (status,) = _until(supervised, desired, lambda s: s[0].crashes == 2)
        assert "not ready after 0.4 s" in status.detail


def test_what_is_not_desired_any_more_is_stopped_even_against_its_will(tmp_path: Path) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " + GOOD
    desired = [_spec(tmp_path, stubborn, grace_seconds=0.3), _spec(tmp_path, GOOD, "other")]
    with Supervisor(tmp_path / "lock", timing=QUICK) as supervised:
        first, other = _until(supervised, desired, lambda s: all(p.status == "ready" for p in s))
        (left,) = _until(supervised, desired[1:], lambda s: len(s) == 1)
        assert (left.name, left.pid) == ("other", other.pid)
        assert first.pid is not None
        assert not _alive(first.pid)


def test_a_changed_command_replaces_the_process(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "lock", timing=QUICK) as supervised:
        before = [_spec(tmp_path, GOOD)]
        (first,) = _until(supervised, before, lambda s: s[0].status == "ready")
        after = [_spec(tmp_path, "# another\n" + GOOD)]
        (second,) = _until(
            supervised, after, lambda s: s and s[0].status == "ready" and s[0].pid != first.pid
        )
        assert second.crashes == 0


def test_a_port_stays_the_same_for_a_name(tmp_path: Path) -> None:
    supervised = Supervisor(tmp_path / "lock")
    assert supervised.port("a") == supervised.port("a") != supervised.port("b")


_SUPERVISE = """
import sys, time
from pathlib import Path
from tuneloop.deployment.supervisor import ProcessSpec, Supervisor
code = "import sys, os; print(os.getpid(), flush=True); sys.stdin.read()"
spec = ProcessSpec(
    name="p", command=(sys.executable, "-c", code), log=Path(sys.argv[1]) / "p.log",
    ready=lambda: True,
)
with Supervisor(Path(sys.argv[1]) / "lock") as supervised:
    while True:
        supervised.reconcile([spec])
        time.sleep(0.05)
"""


def test_two_supervisors_refuse_and_children_die_with_a_killed_one(tmp_path: Path) -> None:
    assert supervisor.holder(tmp_path / "lock") is None
    first = subprocess.Popen([sys.executable, "-c", _SUPERVISE, str(tmp_path)])
    log = tmp_path / "p.log"
    deadline = time.monotonic() + 15
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = int(log.read_text())
    assert supervisor.holder(tmp_path / "lock") == first.pid
    with pytest.raises(BusyError, match=f"process {first.pid}"):
        Supervisor(tmp_path / "lock").__enter__()

    first.kill()
    first.wait()
    while _alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with Supervisor(tmp_path / "lock"):  # the lock died with its holder
        assert supervisor.holder(tmp_path / "lock") == os.getpid()
    assert supervisor.holder(tmp_path / "lock") is None
