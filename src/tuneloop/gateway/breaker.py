"""Spares a failing model server, and its clients the waiting: a circuit breaker for each bundle.

closed → (failures in a row) → open → (a pause) → one trial → closed or open again
(Nygard, "Release It!", 2nd edition, 2018, chapter 5).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

_FAILURES = 5
_PAUSE_SECONDS = 2.0


class _Circuit(msgspec.Struct):
    failures: int = 0
    """In a row."""
    retry_at: float = 0.0
    """While open: when the next trial may be made."""


class Breaker:
    """One process's knowledge of which bundles' servers fail."""

    def __init__(
        self,
        *,
        failures: int = _FAILURES,
        pause_seconds: float = _PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def allows(self, bundle: str) -> bool:
        """Whether to ask the bundle's server; while it fails, one request in a pause is let in."""
        circuit = self._circuits.get(bundle)
        if circuit is None or circuit.failures < self._failures:
            return True
        now = self._clock()
        if now < circuit.retry_at:
            return False
        circuit.retry_at = now + self._pause_seconds
        return True

    def succeeded(self, bundle: str) -> None:
        """The server answered."""
        self._circuits.pop(bundle, None)

    def failed(self, bundle: str) -> None:
        """The server did not answer, or answered that it is broken."""
        circuit = self._circuits.setdefault(bundle, _Circuit())
        circuit.failures += 1
        if circuit.failures >= self._failures:
            circuit.retry_at = self._clock() + self._pause_seconds

    @property
    def open(self) -> list[str]:
        """Bundles whose servers are spared now."""
        return sorted(b for b, c in self._circuits.items() if c.failures >= self._failures)
