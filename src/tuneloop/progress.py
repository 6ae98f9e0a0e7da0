"""How a long step tells what it is doing, without knowing who listens.

Stages call a `Progress`; the command line draws bars, tests and the Python API stay silent.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what a step does."""

    def step(self, text: str) -> None:
        """A new piece of work begins; `text` says what and why in one line."""

    def update(self, done: float, total: float, detail: str = "") -> None:
        """`done` of `total` units of the current piece are finished."""

    def note(self, text: str) -> None:
        """Something worth reading: a result, a warning."""


class Silent:
    """Listens to nothing."""

    def step(self, text: str) -> None:
        """Ignore."""

    def update(self, done: float, total: float, detail: str = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
