"""How a long step tells what it is doing, without knowing who listens.

Stages call a `Progress`; the command line draws bars, tests and the Python API stay silent.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what a step does."""

    def step(self, text: str, *, keeps: str = "") -> None:
        """A new piece of work begins; `text` says what and why in one line.

        `keeps`: what of an unfinished piece is there for the next time, e.g. `its last checkpoint`;
        empty: the piece begins again.
        """

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """`done` of `total` units of the current piece are finished; None: total unknown."""

    def note(self, text: str) -> None:
        """Something worth reading: a result, a warning."""


class Silent:
    """Listens to nothing."""

    def step(self, text: str, *, keeps: str = "") -> None:
        """Ignore."""

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


class Pace:
    """How far a piece of work is, and how long it will still take at the pace so far.

    The pace counts from the first update on: what came before it (starting a process, work that an
    earlier run had done) says nothing about the rest.
    """

    def __init__(self, began: float) -> None:
        """`began`: seconds on a clock that the caller reads."""
        self.began = began
        self.done = 0.0
        self.total: float | None = None
        """Units in all; None as long as nobody has said."""
        self.detail = ""
        self._first: tuple[float, float] | None = None
        self._last = began

    def update(self, now: float, done: float, total: float | None, detail: str = "") -> None:
        """`done` of `total` units are finished at `now`."""
        if self._first is None or total != self.total or done < self.done:
            self._first = (now, done)
        self.done, self.total, self.detail, self._last = done, total, detail, now

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far, from the last update on; None before a second one."""
        if self._first is None or self.total is None:
            return None
        since, units = self._last - self._first[0], self.done - self._first[1]
        return (self.total - self.done) * since / units if units > 0 and since > 0 else None

    def left_at(self, now: float) -> float | None:
        """Seconds left at `now`, between two updates as well; never below 0."""
        left = self.seconds_left
        return None if left is None else max(0.0, left - (now - self._last))

    @property
    def count(self) -> str:
        """`34 of 80`, `12,000` where nobody knows of how many, nothing before there is any."""
        if self.total is not None:
            return f"{self.done:,.0f} of {self.total:,.0f}"
        return f"{self.done:,.0f}" if self.done else ""


def duration(seconds: float) -> str:
    """A time that one waits for: `8 s`, `1:20 min`, `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60}:{whole % 60:02} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} h"
