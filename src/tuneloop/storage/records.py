"""The records store: SQLAlchemy Core on SQLite (WAL) or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa

from tuneloop.errors import ConflictError, MissingExtraError, StoreError

HEAD = "0012"
"""The last of the migrations: what the code expects."""
_ALEMBIC = sa.table("alembic_version", sa.column("version_num"))
_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS = 15_000
_Record = TypeVar("_Record")


class Records:
    """Transactions on the records store."""

    def __init__(self, url: str) -> None:
        """Connect to a database URL; `sqlite:///FILE` or `postgresql://…`."""
        self.url = sa.make_url(url)
        if self.url.drivername in ("postgresql", "postgres"):
            self.url = self.url.set(drivername="postgresql+psycopg")
        try:
            self.engine = _engine(self.url)
        except ModuleNotFoundError as e:
            raise MissingExtraError(
                f"The database {self.url.render_as_string()} needs the driver {e.name!r}.",
                remedy="Install it with: pip install 'tuneloop[postgres]'",
            ) from e
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_immediately)

    def migrate(self) -> None:
        """Bring the schema up to this version; does nothing when it is.

        Raises:
            StoreError: the database cannot be reached, or was written by a newer tuneloop.
        """
        self._make_file()
        revision = self._revision()
        if revision == HEAD:
            return
        # Only here: Alembic takes a third of the time that a command needs to start.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision is not None and revision not in known:
            raise StoreError(
                f"The records store is at schema {revision}, which this tuneloop does not know.",
                remedy="It was written by a newer version: upgrade tuneloop.",
            )
        with self.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back when an error passes.

        Raises:
            StoreError: the database is unreachable, locked, full or damaged, or refuses a value.
            ConflictError: somebody else wrote a record with the same key at the same moment.
        """
        with self._wrapped(), self.engine.begin() as connection:
            yield connection

    def free(self, *names: str) -> None:
        """Make the bytes of rows that were deleted from these tables unreadable in the files.

        Raises:
            StoreError: the database is unreachable or locked; run it again.
        """
        with self._wrapped():
            if self.engine.dialect.name == "sqlite":
                self._empty_log()
                return
            alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
            with alone.connect() as connection:
                for name in names:
                    connection.exec_driver_sql(f'VACUUM FULL "{name}"')

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def _empty_log(self) -> None:
        """The pages of deleted rows are overwritten (secure_delete), but older copies of them stand
        in SQLite's log until it is written back."""
        with closing(self.engine.raw_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            ((busy, *_),) = cursor.fetchall()
        if busy:
            raise StoreError(
                "Another process keeps the log of the records store from being emptied.",
                remedy="Run it again in a moment.",
            )

    def _revision(self) -> str | None:
        """The schema that the database is at; None: it is empty."""
        with self._wrapped(), self.engine.connect() as connection:
            if not sa.inspect(connection).has_table(_ALEMBIC.name):
                return None
            revision: str | None = connection.scalar(sa.select(_ALEMBIC.c.version_num))
        return revision

    def _make_file(self) -> None:
        """Where SQLite's database is not there yet; nothing else makes one in its place."""
        if self.engine.dialect.name == "sqlite" and self.url.database:
            try:
                Path(self.url.database).touch()
            except OSError as e:
                raise StoreError(
                    f"The records store {self.url.render_as_string()} cannot be made: {e.strerror}."
                ) from e

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError as e:
            raise ConflictError(
                f"The records store holds something else already: {_first_line(e)}.",
                remedy="Somebody else was faster: look with `tuneloop status` and decide again.",
            ) from e
        except (sa.exc.OperationalError, sa.exc.InterfaceError) as e:
            raise self._failure(
                e, "Check that the database is up, writable and has room, then try again."
            ) from e
        except sa.exc.DatabaseError as e:
            raise self._failure(
                e, "If the database is damaged or was changed by hand, restore it from a backup."
            ) from e

    def _failure(self, error: sa.exc.DBAPIError, remedy: str) -> StoreError:
        where = self.url.render_as_string()
        return StoreError(f"The records store {where} failed: {_first_line(error)}.", remedy=remedy)


def record_of(
    kind: Callable[..., _Record], row: sa.Row[*tuple[Any, ...]], /, **fields: Any
) -> _Record:
    """A row as a frozen record: each of its fields has the value of the column of its name.

    A list, which JSON makes of a tuple, is a tuple again. `fields` are those whose value is no
    column's, or that of a column of another name; columns that the record has no field for are left
    out, and fields with a default may have no column.

    Raises:
        KeyError: neither the row nor `fields` has the value of a field.
    """
    columns = row._asdict()
    values = {
        name: columns[name]
        for name, has_default in _fields(kind)
        if name not in fields and (name in columns or not has_default)
    }
    frozen = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return kind(**frozen, **fields)


@cache
def _fields(kind: Callable[..., object]) -> tuple[tuple[str, bool], ...]:
    """The names of a record's fields, and whether they have a default."""
    parameters = signature(kind).parameters.values()
    return tuple(
        (parameter.name, parameter.default is not Parameter.empty) for parameter in parameters
    )


def _engine(url: sa.URL) -> sa.Engine:
    """Where SQLite's file is deleted and restored while we run, the next transaction must see it.

    So each one opens the file anew, and never makes one: an open connection would go on with the
    deleted file, and what is made in its place would be in the way of the backup.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        return sa.create_engine(url, pool_pre_ping=True)
    there = url.set(database=f"file:{quote(url.database)}", query={"mode": "rw", "uri": "true"})
    return sa.create_engine(there, poolclass=sa.NullPool)


def _first_line(error: sa.exc.DBAPIError) -> str:
    """What the database says, without the statement and its values."""
    return next(iter(str(error.orig).strip().splitlines()), type(error).__name__)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling would begin too late; see _begin_immediately.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # What was deleted is overwritten, so that an erased person's texts are not in the file.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _begin_immediately(connection: sa.Connection) -> None:
    # A read that later writes would fail at once with "database is locked" when another writer
    # came between; taking the write lock first waits for busy_timeout instead.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
