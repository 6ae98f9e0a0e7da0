"""Runs a step in a process of its own, so that its memory goes when it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tuneloop.deployment.export.disk import FULL_MESSAGE, disk_full
from tuneloop.errors import DeploymentError

_KEPT_LINES = 400
_SHOWN_LINES = 12


def run_child(
    command: Sequence[str],
    *,
    doing: str,
    writes: Path,
    needed_bytes: int,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> str:
    """Run `command` and return the last lines of its output; each line goes to `on_line` too.

    Raises:
        DeploymentError: with the last lines of its output, or saying that the disk is full.
    """
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        text=True,  # universal newlines: the \r of a progress bar ends a line as well
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                on_line(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode == 0:
        return "\n".join(lines)
    said_full = any(FULL_MESSAGE.search(line) for line in lines)
    # A tool may fail on a full disk without saying so.
    if said_full or shutil.disk_usage(writes.parent).free < needed_bytes // 100:
        raise disk_full(writes, needed_bytes)
    shown = "\n".join(f"  {line}" for line in list(lines)[-_SHOWN_LINES:])
    raise DeploymentError(
        f"{doing} failed ({_ending(process.returncode)}). Its last lines:\n{shown}",
        remedy="Repeat the command; if it fails again, the lines above say why.",
    )


def _ending(code: int) -> str:
    if code == -9:
        return "killed, often for lack of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
