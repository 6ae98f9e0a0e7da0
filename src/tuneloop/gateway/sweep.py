"""Things that shall happen to requests which take long; most are over before.

A timer for each request costs more than reading the request does. One sweep over what is open, a
few times a second, costs nothing for those that are over by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

_EVERY_SECONDS = 0.05


class Sweep:
    """Calls an action when something has been open for so long, at most one sweep late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._next = loop.call_later(_EVERY_SECONDS, self._sweep)

    def add(self, item: Hashable, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in so many seconds, unless `item` is discarded before."""
        self._open[item] = (self._loop.time() + seconds, action)

    def discard(self, item: Hashable) -> None:
        """It is over; one that was not added is fine."""
        self._open.pop(item, None)

    def close(self) -> None:
        """Call nothing any more."""
        self._next.cancel()
        self._open.clear()

    def _sweep(self) -> None:
        now = self._loop.time()
        for item, (due, action) in list(self._open.items()):
            if now >= due:
                del self._open[item]
                action()
        self._next = self._loop.call_later(_EVERY_SECONDS, self._sweep)
