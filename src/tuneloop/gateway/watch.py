"""Follows the routes file and keeps the last snapshot that could be served (G5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from tuneloop.errors import StoreError
from tuneloop.gateway.errors import ApiError
from tuneloop.registry import routes
from tuneloop.registry.routes import RouteSnapshot

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]


class RouteWatch:
    """The current routes; a file that is gone or broken changes nothing but `stale`."""

    def __init__(self, path: Path, *, taken: Callable[[int], None] = lambda version: None) -> None:
        """`taken` is told the version of the routes each time that others are in use."""
        self._path = path
        self._taken = taken
        self._seen: _Stamp | None = None
        self._snapshot: RouteSnapshot | None = None
        self.stale = False
        """Whether the routes in use are not those of the file."""
        self.check()

    @property
    def loaded(self) -> RouteSnapshot | None:
        """The routes in use; None when there were none yet."""
        return self._snapshot

    def current(self) -> RouteSnapshot:
        """The routes in use.

        Raises:
            ApiError: 503 when there were none yet.
        """
        if self._snapshot is None:
            raise ApiError(
                503, "no_routes", "No routes have been published yet.", kind="server_error"
            )
        return self._snapshot

    def check(self) -> None:
        """Read the file if it is another one than last time."""
        stamp = self._stamp()
        if stamp is None:
            self.stale = self._snapshot is not None
            self._seen = None
        elif stamp != self._seen:
            # What could not be read is read again: the reason may pass, the file stay the same.
            self._seen = stamp if self._load() else None

    async def follow(self, *, every_seconds: float) -> None:
        """Check again and again until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                self.check()
            except Exception:  # noqa: BLE001  routes must be followed whatever happens once
                _log.exception("The routes could not be checked")

    def _stamp(self) -> _Stamp | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _load(self) -> bool:
        """Whether the file could be read."""
        try:
            snapshot = routes.read(self._path)
        except StoreError as e:
            if not self.stale:
                _log.warning("Keeping the last good routes. %s", e.message)
            self.stale = True
            return False
        if snapshot is not None:
            self._snapshot, self.stale = snapshot, False
            self._taken(snapshot.version)
            _log.info("Routes version %d: %s", snapshot.version, ", ".join(snapshot.endpoints))
        return True
