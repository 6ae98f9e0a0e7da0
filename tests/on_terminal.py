"""A command at a real terminal: what a person sees of it, types, and how it ends.

A pseudo-terminal of a size, with an emulator that keeps the screen as it is drawn, so that bars
that redraw themselves and lines that wrap are seen as on a real one.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pexpect
import pyte

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")


class OnTerminal:
    """One command that runs under a pseudo-terminal of `columns` × `rows`."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        columns: int = 80,
        rows: int = 24,
        term: str = "xterm-256color",
        program: str = sys.executable,
        **environment: str,
    ) -> None:
        kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self.raw = ""
        """Everything that was written, with its escapes."""
        self._child = pexpect.spawn(
            program,
            list(arguments),
            cwd=str(cwd) if cwd else None,
            env={**kept, "TERM": term, "OMP_NUM_THREADS": "1", **environment},
            dimensions=(rows, columns),
            encoding="utf-8",
            codec_errors="replace",
            timeout=None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None
    ) -> None:
        self._child.close(force=True)

    @property
    def pid(self) -> int:
        """The command's process."""
        return int(self._child.pid)

    @property
    def screen(self) -> str:
        """What the screen shows now, without empty lines at the end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def text(self) -> str:
        """Everything that was written, without escapes."""
        return ESCAPE.sub("", self.raw).replace("\r\n", "\n")

    def wait_for(self, *texts: str, seconds: float = 60, since: int = 0) -> None:
        """Read until one of the texts was written, after the first `since` characters.

        Raises:
            AssertionError: the time is over, or the command ended without it.
        """
        deadline = time.monotonic() + seconds
        while not any(text in self.text[since:] for text in texts):
            assert time.monotonic() < deadline, f"no {texts} in:\n{self.text}"
            assert self._read(), f"ended without {texts}:\n{self.text}"

    def watch(self, seconds: float) -> None:
        """Read for that long, or until it ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._read():
            pass

    def resize(self, *, columns: int, rows: int) -> None:
        """The window changes its size."""
        self._screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    def press(self, keys: str) -> None:
        """Type, without a line's end unless there is one in `keys`."""
        self._child.send(keys)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._child.sendintr()

    def end(self, seconds: float = 60) -> int:
        """Read to the end; the exit code, negative for a signal."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"still running:\n{self.text}"
        self._child.close()
        assert "Traceback (most recent call last)" not in self.text, self.text
        if self._child.signalstatus is not None:
            return -int(self._child.signalstatus)
        return int(self._child.exitstatus)

    def _read(self) -> bool:
        """Take what is there, waiting a little; False at the end."""
        try:
            new = self._child.read_nonblocking(65_536, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += new
        self._stream.feed(new)
        return True


def tuneloop(
    *arguments: str,
    cwd: Path,
    columns: int = 80,
    rows: int = 24,
    term: str = "xterm-256color",
    **environment: str,
) -> OnTerminal:
    """A `tuneloop` command at a terminal."""
    size = {"columns": columns, "rows": rows}
    return OnTerminal("-m", "tuneloop.cli", *arguments, cwd=cwd, **size, term=term, **environment)


def shell(*, cwd: Path) -> OnTerminal:
    """An interactive shell, whose jobs can be stopped with Ctrl-Z and go on with `fg`."""
    return OnTerminal("--norc", "--noprofile", "-i", cwd=cwd, program="bash", PS1="$ ")
