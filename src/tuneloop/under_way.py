"""What a process is doing for a model at this moment, for all others to see.

A process that works tells a small file in the workspace; `status`, `cycle show` and `runs show`
read it. The file goes when the work ends, and is not believed once its process is dead.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tuneloop.progress import Pace, Progress, duration

_SECONDS_BETWEEN_WRITES = 1.0
_SILENT_MINUTES = 10
"""After which the work of another machine's process is not believed in any more."""


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """One piece of work that a process is at."""

    what: str
    """The whole, e.g. `a cycle`."""
    step: str
    """The piece, in one line."""
    done: float
    total: float | None
    """Units of the piece, as far as they are known."""
    count: str
    """Both in words."""
    detail: str
    """How it goes, e.g. epoch, loss and speed of a training."""
    seconds_left: float | None
    """Of the piece, when this was written."""
    began_at: datetime
    """The piece."""
    told_at: datetime
    process: int
    host: str

    def __str__(self) -> str:
        """One line."""
        left = f"{duration(self.seconds_left)} left" if self.seconds_left is not None else ""
        parts = ", ".join(part for part in (self.count, self.detail, left) if part)
        return f"{self.step}: {parts}" if parts else self.step


def folder(workspace: Path, model: str) -> Path:
    """Where the processes that work for a model tell what they are at."""
    return workspace / "under-way" / model


@contextmanager
def told(
    progress: Progress, folder: Path, *, what: str, now: Callable[[], datetime]
) -> Iterator[Progress]:
    """A progress that passes everything on to `progress`, and to who looks into `folder`.

    Inside another one nothing is added: the outermost names the work.
    """
    if isinstance(progress, _Told):
        yield progress
        return
    teller = _Told(progress, folder / f"{os.getpid()}.json", what=what, now=now)
    try:
        yield teller
    finally:
        teller.end()


def seen(folder: Path, *, now: datetime) -> list[UnderWay]:
    """What is under way, the longest piece first; files of dead processes are passed over."""
    found = []
    for file in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError, TypeError, KeyError):
            row = json.loads(file.read_text(encoding="utf-8"))
            for moment in ("began_at", "told_at"):
                row[moment] = datetime.fromisoformat(row[moment])
            found.append(UnderWay(**row))
    return sorted((one for one in found if _lives(one, now)), key=lambda one: one.began_at)


def _lives(one: UnderWay, now: datetime) -> bool:
    if one.host != platform.node():
        return now - one.told_at < timedelta(minutes=_SILENT_MINUTES)
    try:
        os.kill(one.process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _Told:
    """See `told`."""

    def __init__(
        self, inner: Progress, file: Path, *, what: str, now: Callable[[], datetime]
    ) -> None:
        self._inner = inner
        self._file = file
        self._what = what
        self._now = now
        self._step = ""
        self._began_at = now()
        self._pace = Pace(time.monotonic())
        self._written = 0.0

    def step(self, text: str, *, keeps: str = "") -> None:
        """A new piece of work begins."""
        self._inner.step(text, keeps=keeps)
        self._step, self._began_at = text, self._now()
        self._pace = Pace(time.monotonic())
        self._write()

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """It goes on; told at most once a second."""
        self._inner.update(done, total, detail)
        now = time.monotonic()
        self._pace.update(now, done, total, detail)
        if now - self._written >= _SECONDS_BETWEEN_WRITES:
            self._write()

    def note(self, text: str) -> None:
        """Passed on."""
        self._inner.note(text)

    def end(self) -> None:
        """The work is over, however it ended."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        self._written = time.monotonic()
        pace = self._pace
        row = UnderWay(
            what=self._what,
            step=self._step,
            done=pace.done,
            total=pace.total,
            count=pace.count,
            detail=pace.detail,
            seconds_left=pace.seconds_left,
            began_at=self._began_at,
            told_at=self._now(),
            process=os.getpid(),
            host=platform.node(),
        )
        partial = self._file.with_suffix(".part")
        # That others can look is never worth failing for.
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(asdict(row), default=datetime.isoformat), "utf-8")
            partial.replace(self._file)
