"""Which routes each gateway process of a port has in use, for whoever has just moved one.

Every process notes the version that it took over last, in a file of its own in the run folder.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)

_SUFFIX = ".routes"


class RoutesSeen:
    """What this process notes of itself."""

    def __init__(self, folder: Path | None, name: str) -> None:
        """`folder`: where the processes of the port leave it; None: nobody asks."""
        self._file = None if folder is None else folder / f"{name}-{os.getpid()}{_SUFFIX}"

    def note(self, version: int) -> None:
        """From now on every request is answered by these routes, or newer ones."""
        if self._file is None:
            return
        new = self._file.with_suffix(".new-routes")
        try:
            new.write_text(str(version))
            new.replace(self._file)
        except OSError as e:  # Serving does not depend on it.
            _log.warning("Routes version %d is in use and could not be noted: %s", version, e)

    def leave(self) -> None:
        """This process answers no more."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)


def versions(folder: Path) -> dict[str, int]:
    """Gateway process → version of the routes that it has in use; of those that are alive."""
    found = {}
    for path in folder.glob(f"*{_SUFFIX}"):
        name, _, process = path.stem.rpartition("-")
        with suppress(OSError, ValueError):
            if _alive(int(process)):
                found[f"{name} (process {process})"] = int(path.read_text())
    return found


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
