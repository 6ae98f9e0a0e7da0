"""Runs steps in a process of their own, so that their memory goes when it ends."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tuneloop.deployment.export import child_process
from tuneloop.deployment.export.disk import FULL_MESSAGE, disk_full
from tuneloop.errors import DeploymentError
from tuneloop.threads import waiting_briefly

_KEPT_LINES = 400
_SHOWN_LINES = 12
_DONE_BYTES = 16


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
    raise _failure(lines, process.returncode, doing=doing, writes=writes, needed_bytes=needed_bytes)


class Child:
    """One interpreter for several steps, so that what they need, torch above all, is imported once.

    It starts with the first step and ends with the block; after a step that failed the next one
    has a new one.
    """

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        doing: str,
        writes: Path,
        needed_bytes: int,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Call `work(*arguments)` of a module there; each line of its output goes to `on_line`.

        Raises:
            DeploymentError: with the last lines of its output, or saying that the disk is full.
        """
        process = self._started()
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        done = secrets.token_hex(_DONE_BYTES)
        order = {"module": module, "arguments": list(arguments), "done": done}
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.rstrip() == done:
                    return
                lines.append(line.rstrip())
                on_line(line)
        except BrokenPipeError:
            # It died between two steps: its exit code says how, its last words perhaps why.
            lines.extend(line.rstrip() for line in process.stdout)
        except BaseException:
            process.kill()
            self.stop()
            raise
        raise _failure(lines, self.stop(), doing=doing, writes=writes, needed_bytes=needed_bytes)

    def stop(self) -> int:
        """End it, and return its exit code; doing it again changes nothing."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):  # an order that it never read
            process.stdin.close()
        process.stdout.close()
        return process.wait()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", child_process.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=waiting_briefly(os.environ) | {"HF_HUB_OFFLINE": "1"},
                text=True,  # universal newlines, as above
                encoding="utf-8",
                errors="replace",
            )
        return self._process


def lent(child: Child | None) -> AbstractContextManager[Child]:
    """The child that a caller goes on with; where there is none, one as long as the block lasts."""
    return nullcontext(child) if child is not None else Child()


def _failure(
    lines: Sequence[str], code: int, *, doing: str, writes: Path, needed_bytes: int
) -> DeploymentError:
    said_full = any(FULL_MESSAGE.search(line) for line in lines)
    # A tool may fail on a full disk without saying so.
    if said_full or shutil.disk_usage(writes.parent).free < needed_bytes // 100:
        return disk_full(writes, needed_bytes)
    shown = "\n".join(f"  {line}" for line in list(lines)[-_SHOWN_LINES:])
    return DeploymentError(
        f"{doing} failed ({_ending(code)}). Its last lines:\n{shown}",
        remedy="Repeat the command; if it fails again, the lines above say why.",
    )


def _ending(code: int) -> str:
    if code == -9:
        return "killed, often for lack of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
