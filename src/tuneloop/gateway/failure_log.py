"""Says in the log which requests failed: one in a flood, and how many it stands for.

The metrics count every failure. A line for each, while a model server is down, would fill the disk
that the captures need.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from tuneloop.gateway.capture import Exchange
from tuneloop.storage.spool import CLIENT_LEFT

_log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0


class _Kind(msgspec.Struct):
    """The failures of one endpoint for one reason."""

    next_line_at: float = 0.0
    unsaid: int = 0


class FailureLog:
    """At most one line in `EVERY_SECONDS` for each endpoint and reason."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def note(self, exchange: Exchange) -> None:
        """Log an exchange that failed, or keep it for the next line of its kind."""
        endpoint, error, now = exchange.route.endpoint, str(exchange.error), self._clock()
        kind = self._kinds.setdefault((endpoint, error), _Kind())
        if now < kind.next_line_at:
            kind.unsaid += 1
            return
        _log.log(
            logging.INFO if exchange.status == CLIENT_LEFT else logging.WARNING,
            "A request to %s failed: %s.%s",
            endpoint,
            error,
            f" {kind.unsaid} more did since the last line." if kind.unsaid else "",
            extra={
                "interaction": exchange.id,
                "endpoint": endpoint,
                "bundle": exchange.route.bundle,
                "status": exchange.status,
                "error": error,
                "latency_ms": round(exchange.seconds * 1000, 3),
                "unsaid": kind.unsaid,
            },
        )
        kind.next_line_at, kind.unsaid = now + EVERY_SECONDS, 0
