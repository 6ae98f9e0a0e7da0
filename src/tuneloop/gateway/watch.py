"""Follows the routes file and keeps the last snapshot that could be served (G5)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from tuneloop.errors import StoreError
from tuneloop.gateway.errors import ApiError
from tuneloop.registry import routes
from tuneloop.registry.routes import RouteSnapshot

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]


class RouteWatch:
    """The current routes; a file that is gone or broken changes nothing but `stale`."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
            self._seen = stamp
            self._load()

    async def follow(self, *, every_seconds: float) -> None:
        """Check again and again until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            self.check()

    def _stamp(self) -> _Stamp | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _load(self) -> None:
        try:
            snapshot = routes.read(self._path)
        except StoreError as e:
            self.stale = True
            _log.warning("Keeping the last good routes. %s", e.message)
            return
        if snapshot is not None:
            self._snapshot, self.stale = snapshot, False
            _log.info("Routes version %d: %s", snapshot.version, ", ".join(snapshot.endpoints))
