"""Which routes each gateway process of a port has in use, for whoever has just moved one.

Every process notes the version that it took over last, in a file of its own in the run folder, and
keeps that file locked: the system frees the lock when the process dies, so a file that nobody holds
is what a dead process left behind. (A process id would not do: in a container it is always taken.)
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)

_SUFFIX = ".routes"
_ATTEMPTS = 50
_PAUSE_SECONDS = 0.01


class RoutesSeen:
    """What this process notes of itself."""

    def __init__(self, folder: Path | None, name: str) -> None:
        """`folder`: where the processes of the port leave it; None: nobody asks.

        A process that is started again under its `name` takes its predecessor's place.
        """
        self._path = None if folder is None else folder / f"{name}{_SUFFIX}"
        self._file: int | None = None

    def note(self, version: int) -> None:
        """From now on every request is answered by these routes, or newer ones."""
        if self._path is None:
            return
        try:
            if self._file is None:
                self._file = _hold(self._path)
            # In its place and always as long: a reader sees the old number or the new one.
            os.pwrite(self._file, b"%020d" % version, 0)
        except OSError as e:  # Serving does not depend on it.
            _log.warning("Routes version %d is in use and could not be noted: %s", version, e)

    def leave(self) -> None:
        """This process answers no more."""
        if self._path is not None and self._file is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def versions(folder: Path) -> dict[str, int]:
    """Gateway process → version of the routes that it has in use; of those that are alive."""
    in_use = {}
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError, ValueError), path.open() as file:
            if not _locked(file.fileno(), fcntl.LOCK_SH):
                in_use[path.stem] = int(file.read())
    return in_use


def _hold(path: Path) -> int:
    """The opened file, locked until it is closed or this process dies."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        for _ in range(_ATTEMPTS):
            if _locked(file, fcntl.LOCK_EX):
                return file
            time.sleep(_PAUSE_SECONDS)  # Somebody is just looking whether anybody holds it.
        raise BlockingIOError(f"another process holds {path}")
    except OSError:
        os.close(file)
        raise


def _locked(file: int, kind: int) -> bool:
    """Whether we could lock the file; not while another process holds it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
