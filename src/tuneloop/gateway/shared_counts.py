"""The counters of all gateway processes that share a port, each process's in a file of its own.

A full disk is the moment at which they matter most, so leaving them must not need room: a file has
all its blocks from the start and is written through a memory map, whose pages every process of the
machine sees whatever the disk does. Its two slots are written in turn. One that is torn, because
its writer was killed in the middle of it, does not fit its checksum, and then the other one counts.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path

from tuneloop.gateway.metrics import Metrics

_SUFFIX = ".counts"
_HEAD = struct.Struct("<QII")
"""Of a slot: its turn, from 1 on; the length of what follows; the CRC-32 of that."""
_FIRST_SLOT_BYTES = 1 << 15


class SharedCounts:
    """What this process counted and what the others left."""

    def __init__(self, mine: Metrics, folder: Path | None, name: str) -> None:
        """`folder`: where they leave them; None: this process is alone."""
        self._mine = mine
        self._folder = folder
        # A process that is started again under its name must not count over its predecessor's.
        self._file = (
            None if folder is None else CountsFile(folder / f"{name}-{os.getpid()}{_SUFFIX}")
        )

    def leave(self) -> None:
        """Write the own counters for the others.

        Raises:
            OSError: there is no room for the file yet.
        """
        if self._file is not None:
            self._file.write(self._mine.state())

    def total(self) -> Metrics:
        """Everybody's counters, the own ones as they are now."""
        if self._folder is None or self._file is None:
            return self._mine
        total = left_in(self._folder, but=self._file.path)
        total.add(self._mine.state())
        return total


def left_in(folder: Path, *, but: Path | None = None) -> Metrics:
    """The sum of what the processes of a run left, living and ended; `but` one file."""
    total = Metrics()
    for path in folder.glob(f"*{_SUFFIX}"):
        if path != but and (state := read(path)) is not None:
            total.add(state)
    return total


class CountsFile:
    """A file that one process writes again and again, and others read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map: mmap.mmap | None = None
        self._turn = 0

    def write(self, state: bytes) -> None:
        """Put `state` in the place of what was written before the last time.

        Raises:
            OSError: the file is to be made, or to grow, and there is no room for it.
        """
        needed = _HEAD.size + len(state)
        if self._map is None or len(self._map) // 2 < needed:
            self._map = self._made(max(_FIRST_SLOT_BYTES, 2 * needed))
        self._turn += 1
        slot = (self._turn % 2) * (len(self._map) // 2)
        head = _HEAD.pack(self._turn, len(state), zlib.crc32(state))
        self._map[slot : slot + needed] = head + state

    def _made(self, slot_bytes: int) -> mmap.mmap:
        """A new file with all its blocks; it takes the place of a smaller one."""
        new = self.path.with_suffix(".new")
        with new.open("w+b") as file:
            file.write(bytes(2 * slot_bytes))
            file.flush()
            memory = mmap.mmap(file.fileno(), 2 * slot_bytes)
        new.replace(self.path)
        return memory


def read(path: Path) -> bytes | None:
    """What was last written whole; None when nothing was yet."""
    data = path.read_bytes()
    states = []
    for slot in (data[: len(data) // 2], data[len(data) // 2 :]):
        turn, length, checksum = _HEAD.unpack_from(slot)
        state = slot[_HEAD.size : _HEAD.size + length]
        if turn > 0 and zlib.crc32(state) == checksum:
            states.append((turn, state))
    return max(states)[1] if states else None
