"""The writing side of the spool: one thread writes by the batch, another one syncs by the group."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from tuneloop.errors import StoreError
from tuneloop.storage.spool.records import new_id
from tuneloop.storage.spool.segments import OPEN_SUFFIX, sealed_path


class DropReason(StrEnum):
    """Why the spool did not keep a record."""

    QUEUE_FULL = "queue_full"
    DISK_FULL = "disk_full"
    DISK_ERROR = "disk_error"
    CLOSED = "closed"


# EFBIG: over the process's limit on file sizes; EDQUOT: over the user's quota.
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


@dataclass(frozen=True, kw_only=True)
class SpoolLimits:
    """Bounds of the spool's memory, of one segment, and of what a power cut can take."""

    queue_bytes: int = 64 << 20
    """Records waiting in memory; more are refused, so memory stays bounded."""
    segment_bytes: int = 64 << 20
    segment_seconds: float = 2.0
    """A segment is sealed at this age however small it is: readers see nothing younger."""
    sync_seconds: float = 0.05
    """Pause between two fsyncs."""


Ticket = TypeVar("Ticket")


class Spool(Generic[Ticket]):
    """Appends lines to segments in one folder; safe to call from any thread.

    `on_written(tickets, reason)` is called on the writer thread, once for each batch; the reason is
    None when the operating system has the lines. Every ticket that `submit` accepted comes back
    exactly once.

    Raises:
        StoreError: when the folder cannot be created.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_written: Callable[[list[Ticket], DropReason | None], None],
        limits: SpoolLimits | None = None,
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StoreError(f"Cannot create the spool folder {folder}: {e.strerror}.") from e
        self._folder = folder
        self._on_written = on_written
        self._limits = limits or SpoolLimits()
        self._changed = threading.Condition()
        self._waiting: list[tuple[bytes, Ticket]] = []
        self._pending_bytes = 0
        self._closing = False
        self._segment: _OpenSegment | None = None
        self._syncer = _Syncer(self._limits.sync_seconds)
        self._writer = threading.Thread(target=self._write_loop, name="spool-writer", daemon=True)
        self._writer.start()

    @property
    def pending_bytes(self) -> int:
        """Accepted and not yet written."""
        return self._pending_bytes

    @property
    def sync_errors(self) -> int:
        """Failed fsyncs: what was written then would not survive a power cut."""
        return self._syncer.errors

    def submit(self, line: bytes, ticket: Ticket) -> DropReason | None:
        """Queue one line; None when accepted, else why not (the ticket is forgotten)."""
        with self._changed:
            if self._closing:
                return DropReason.CLOSED
            if self._pending_bytes + len(line) > self._limits.queue_bytes:
                return DropReason.QUEUE_FULL
            self._pending_bytes += len(line)
            self._waiting.append((line, ticket))
            if len(self._waiting) == 1:
                self._changed.notify()
        return None

    def close(self) -> None:
        """Write what is queued, seal the segment, stop the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._writer.join()
        self._syncer.stop()

    def _write_loop(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._write(batch)
            elif self._closing:
                break
            if self._segment is not None and self._is_due(self._segment):
                self._hand_over()
        self._hand_over()

    def _next_batch(self) -> list[tuple[bytes, Ticket]]:
        """All that waits; empty when it is time to look at the segment's age, or to stop."""
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait(self._seconds_to_seal())
            batch, self._waiting = self._waiting, []
            return batch

    def _seconds_to_seal(self) -> float | None:
        if self._segment is None:
            return None
        return max(0.0, self._limits.segment_seconds - self._segment.age_seconds)

    def _is_due(self, segment: _OpenSegment) -> bool:
        return (
            segment.size_bytes >= self._limits.segment_bytes
            or segment.age_seconds >= self._limits.segment_seconds
        )

    def _write(self, batch: list[tuple[bytes, Ticket]]) -> None:
        data = b"".join([line for line, _ in batch])
        reason = self._append(data)
        with self._changed:
            self._pending_bytes -= len(data)
        self._on_written([ticket for _, ticket in batch], reason)

    def _append(self, data: bytes) -> DropReason | None:
        try:
            if self._segment is None:
                self._segment = _OpenSegment(self._folder)
            self._segment.append(data)
        except OSError as e:
            return DropReason.DISK_FULL if e.errno in _FULL else DropReason.DISK_ERROR
        self._syncer.mark(self._segment)
        return None

    def _hand_over(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            self._syncer.finish(segment)


class _OpenSegment:
    """The file that is being written, locked while this process lives."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{new_id(time.time_ns())}-{os.getpid()}{OPEN_SUFFIX}"
        self.size_bytes = 0
        self._opened = time.monotonic()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self._opened

    def append(self, data: bytes) -> None:
        """All of `data`, or an error and nothing of it."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self.size_bytes)
            raise
        self.size_bytes += len(data)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def seal(self) -> None:
        """Give it its final name; an empty one disappears."""
        if self.size_bytes:
            self.path.rename(sealed_path(self.path))
        else:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


class _Syncer:
    """Brings written bytes to the disk and seals finished segments, on its own thread.

    The writer must not wait for the disk, because answers wait for the writer.
    """

    def __init__(self, pause_seconds: float) -> None:
        self.errors = 0
        self._pause_seconds = pause_seconds
        self._changed = threading.Condition()
        self._dirty: _OpenSegment | None = None
        self._finished: list[_OpenSegment] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="spool-syncer", daemon=True)
        self._thread.start()

    def mark(self, segment: _OpenSegment) -> None:
        """`segment` has bytes that are not on disk."""
        if self._dirty is segment:
            return  # an fsync that has not begun yet covers these bytes too
        with self._changed:
            self._dirty = segment
            self._changed.notify()

    def finish(self, segment: _OpenSegment) -> None:
        """`segment` gets no more bytes: sync and seal it."""
        with self._changed:
            self._finished.append(segment)
            self._changed.notify()

    def stop(self) -> None:
        """Finish what was handed over."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not (self._dirty or self._finished or self._stopping.is_set()):
                    self._changed.wait()
                dirty, self._dirty = self._dirty, None
                finished, self._finished = self._finished, []
            if dirty is not None and dirty not in finished:
                self._sync(dirty)
            for segment in finished:
                self._sync(segment)
                self._seal(segment)
            if not (dirty or finished):
                return  # stopping, and nothing is left
            self._stopping.wait(self._pause_seconds)

    def _sync(self, segment: _OpenSegment) -> None:
        try:
            segment.sync()
        except OSError:
            self.errors += 1

    def _seal(self, segment: _OpenSegment) -> None:
        try:
            segment.seal()
        except OSError:
            self.errors += 1  # `seal_stale` seals it once this process is gone
