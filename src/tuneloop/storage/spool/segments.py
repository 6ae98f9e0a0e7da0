"""The files of the spool: names, sealing after a crash, reading."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from tuneloop.storage.spool.records import Record, decode

OPEN_SUFFIX = ".jsonl.open"
SEALED_SUFFIX = ".jsonl"
_READ_BYTES = 1 << 16


def sealed_path(path: Path) -> Path:
    """The final name of an open segment."""
    return path.with_name(path.name.removesuffix(OPEN_SUFFIX) + SEALED_SUFFIX)


def sealed_segments(folder: Path) -> list[Path]:
    """Segments that will not change any more, oldest first."""
    return sorted(folder.glob(f"*{SEALED_SUFFIX}"))


@dataclass(frozen=True, kw_only=True)
class StaleSeal:
    """What `seal_stale` did."""

    segments: int = 0
    torn_lines: int = 0
    """Last lines cut off because the writer died in the middle of them."""


def seal_stale(folder: Path) -> StaleSeal:
    """Seal the segments whose writer has died; those of living writers stay as they are."""
    torn = []
    for path in sorted(folder.glob(f"*{OPEN_SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # its writer sealed it meanwhile
        try:
            # The kernel lets go of a dead writer's lock, whatever killed it.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            torn.append(_seal_dead(path, descriptor))
        except (BlockingIOError, FileNotFoundError):
            continue
        finally:
            os.close(descriptor)
    return StaleSeal(segments=len(torn), torn_lines=sum(torn))


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The content of a sealed segment."""

    records: list[Record]
    """In the order of writing."""
    unreadable_lines: int
    """Lines that are no record, for instance after a power cut."""


def read_segment(path: Path) -> Segment:
    """Every record of a segment."""
    with path.open("rb") as file:
        decoded = [decode(line) for line in file]
    records = [record for record in decoded if record is not None]
    return Segment(records=records, unreadable_lines=len(decoded) - len(records))


def remove(segment: Path) -> None:
    """Delete a segment whose records were moved on; missing is fine."""
    segment.unlink(missing_ok=True)


def _seal_dead(path: Path, descriptor: int) -> int:
    """Cut a torn last line off and rename; returns the number of lines cut (0 or 1)."""
    size = os.fstat(descriptor).st_size
    whole = _end_of_last_line(descriptor, size)
    if whole < size:
        os.ftruncate(descriptor, whole)
    if whole:
        os.fsync(descriptor)
        path.rename(sealed_path(path))
    else:
        path.unlink()
    return int(whole < size)


def _end_of_last_line(descriptor: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _READ_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
