"""What a command costs, its children included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_EVERY_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run."""

    cpu_seconds: float
    """User and system time."""
    peak_mb: int
    """Memory at its highest, in MB of 10^6 bytes; a page that two processes share counts once."""


def measured(command: Sequence[str]) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    before, peak = os.times(), 0
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None:
            began = time.perf_counter()
            peak = max(peak, _memory_bytes(process.pid))
            # To count the pages of a large process takes a while, which must not be felt.
            time.sleep(max(_EVERY_SECONDS, 20 * (time.perf_counter() - began)))
        if process.returncode != 0:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{errors.read()[-3000:]}")
    after = os.times()
    cpu = (
        after.children_user - before.children_user + after.children_system - before.children_system
    )
    return Cost(cpu_seconds=round(cpu, 1), peak_mb=round(peak / 1e6))


def _memory_bytes(pid: int) -> int:
    """Proportional set size where the system tells it, else resident memory."""
    total = 0
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            if len(family) > 1 and sys.platform == "linux":
                total += process.memory_full_info().pss
            else:
                total += process.memory_info().rss
        except psutil.Error:  # it has ended, or belongs to somebody else
            continue
    return total
