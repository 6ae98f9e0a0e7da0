"""What a process is doing for a model at this moment, for all others to see.

A process that works tells a small file in the workspace; `status`, `cycle show` and `runs show`
read it. The file goes when the work ends. Beside it lies a lock that its process holds: the system
frees it when the process dies, so a file without a held lock is what a killed process left behind.
(A process id would not do: in a container every `tuneloop` has the same one.)
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

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
    """The piece, in one line; empty before the first."""
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
        doing = self.step or self.what
        left = f"{duration(self.seconds_left)} left" if self.seconds_left is not None else ""
        parts = ", ".join(part for part in (self.count, self.detail, left) if part)
        return f"{doing}: {parts}" if parts else doing


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
    file = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
    with _claimed(file):
        yield _Told(progress, file, what=what, now=now)


def seen(folder: Path, *, now: datetime) -> list[UnderWay]:
    """What is under way, the longest piece first; what killed processes left behind is removed."""
    pieces = []
    for file in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError, TypeError, KeyError):
            row = json.loads(file.read_text(encoding="utf-8"))
            for moment in ("began_at", "told_at"):
                row[moment] = datetime.fromisoformat(row[moment])
            piece = UnderWay(**row)
            if _lives(piece, file, now):
                pieces.append(piece)
    return sorted(pieces, key=lambda piece: piece.began_at)


@contextmanager
def _claimed(file: Path) -> Iterator[None]:
    """Hold the lock beside a file that tells; both go at the end, however it comes."""
    lock = FileLock(file.with_suffix(".lock"))
    # That others can look is never worth failing for.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        _remove(file)
        lock.release()


def _lives(piece: UnderWay, file: Path, now: datetime) -> bool:
    if piece.host != platform.node():
        return now - piece.told_at < timedelta(minutes=_SILENT_MINUTES)
    lock = FileLock(file.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    _remove(file)
    lock.release()
    return False


def _remove(file: Path) -> None:
    for path in (file, file.with_suffix(".lock")):
        with suppress(OSError):
            path.unlink(missing_ok=True)


class _Told:
    """What `told` gives: passes on, and keeps the file of the work up to date."""

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
        self._write()

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
        with suppress(OSError):
            partial.write_text(json.dumps(asdict(row), default=datetime.isoformat), "utf-8")
            partial.replace(self._file)
