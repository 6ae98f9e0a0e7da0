"""What every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tuneloop.workspace import Workspace


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **units: float) -> None:
        self.time += timedelta(**units)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workspace(tmp_path: Path, clock: Clock) -> Iterator[Workspace]:
    """A fresh workspace on the embedded defaults."""
    opened = Workspace.open(tmp_path / "workspace", now=clock)
    yield opened
    opened.records.close()
