"""From the spool to the traffic tables, each record exactly once.

What a segment holds for each table becomes one Delta commit, marked with the segment's name; then
the segment goes. A kill in between leaves a segment whose commits are known by their marks: the
next run appends nothing and removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from tuneloop.errors import BusyError
from tuneloop.hashing import canonical_json
from tuneloop.storage.spool import (
    Account,
    Feedback,
    Interaction,
    Record,
    Shadow,
    read_segment,
    remove,
    seal_stale,
    sealed_segments,
)
from tuneloop.storage.traffic import Table, Traffic

_LOCK_TIMEOUT_SECONDS = 60.0
_INT64_END = 1 << 63
_TABLES: tuple[tuple[Table, type[Record]], ...] = (
    ("interactions", Interaction),
    ("shadows", Shadow),
    ("feedback", Feedback),
    ("accounts", Account),
)


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What one run moved."""

    interactions: int = 0
    """Newly in the table."""
    shadows: int = 0
    """Newly in the table."""
    feedback: int = 0
    """Newly in the table."""
    torn: int = 0
    """Lines that are no record: cut off by a crash, or unreadable."""
    segments: int = 0
    """Files moved and removed."""


def ingest(spool_folder: Path, traffic: Traffic) -> IngestReport:
    """Move every sealed segment into the traffic tables.

    What a living gateway wrote in the last seconds is in a segment that it has not sealed yet;
    that comes with the next run.

    Raises:
        BusyError: another process has been moving the same spool for a minute.
        StoreError: the tables cannot be written; the segments that were not moved stay.
    """
    with moving(spool_folder):
        return _ingest(spool_folder, traffic)


@contextmanager
def moving(spool_folder: Path) -> Iterator[None]:
    """Keep everybody else from writing captured traffic into the tables meanwhile.

    Raises:
        BusyError: another process has been at it for a minute.
    """
    spool_folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(spool_folder / ".ingest.lock", timeout=_LOCK_TIMEOUT_SECONDS):
            yield
    except Timeout:
        raise BusyError(
            f"Another process is moving the captured traffic of {spool_folder}.",
            remedy="Wait until it is done and run the command again.",
        ) from None


def _ingest(spool_folder: Path, traffic: Traffic) -> IngestReport:
    torn = seal_stale(spool_folder).torn_lines
    segments = sealed_segments(spool_folder)
    moved = [_move(path, traffic) for path in segments]
    if segments:
        traffic.compact()
    return IngestReport(
        interactions=sum(report.interactions for report in moved),
        shadows=sum(report.shadows for report in moved),
        feedback=sum(report.feedback for report in moved),
        torn=torn + sum(report.torn for report in moved),
        segments=len(segments),
    )


def _move(path: Path, traffic: Traffic) -> IngestReport:
    segment = read_segment(path)
    rows = [(record, row_of(record)) for record in segment.records]
    new = {
        table: traffic.append(
            table,
            [row for record, row in rows if row and isinstance(record, kind)],
            transaction=f"{path.name}/{table}",
        )
        for table, kind in _TABLES
    }
    report = IngestReport(
        interactions=new["interactions"],
        shadows=new["shadows"],
        feedback=new["feedback"],
        torn=segment.unreadable_lines + sum(row is None for _, row in rows),
        segments=1,
    )
    remove(path)
    return report


def row_of(record: Record) -> dict[str, Any] | None:
    """The table row of a record; None when a value of it cannot be stored.

    One such line must not keep its whole segment, and all later ones, out of the table.
    """
    row = msgspec.structs.asdict(record)
    try:
        row["time"] = datetime.fromisoformat(row["time"])
    except ValueError:
        return None
    if row["time"].tzinfo is None:
        return None
    if any(type(value) is int and abs(value) >= _INT64_END for value in row.values()):
        return None
    for name in ("tags", "served", "refused"):
        if name in row:
            row[name] = canonical_json(row[name])
    return row
