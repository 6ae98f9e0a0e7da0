"""Which workers are alive, so that the work of a dead one is taken over.

With SQLite all work is on one machine: one worker at a time, which holds a file lock. With
PostgreSQL every worker keeps one session open that bears its name; the server ends the session of a
worker that died, within half a minute also where the machine died with it. No clock is compared.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from filelock import FileLock, Timeout

from tuneloop.errors import StoreError
from tuneloop.workspace import Workspace

_LOCK = "worker"
_ONLY = "local"
_SESSION = "tuneloop worker "
_NAME_CHARACTERS = 63 - len(_SESSION)
"""PostgreSQL cuts longer names off."""
_KEEPALIVE = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 4}
"""Seconds and tries, after which the server takes a silent session for dead."""


class Presence:
    """A worker that is there; `name` is its own as long as it lives."""

    def __init__(self, name: str, session: sa.Connection | None) -> None:
        self.name = name
        self._session = session

    def others_and_self(self) -> set[str]:
        """The names of all workers that are alive.

        Raises:
            StoreError: the database does not answer, or has ended our session: others may have
                taken over what we do.
        """
        if self._session is None:
            return {self.name}
        try:
            alive = _sessions(self._session)
        except sa.exc.DBAPIError as e:
            raise StoreError("The database has ended the session of this worker.") from e
        return alive


@contextmanager
def announced(workspace: Workspace) -> Iterator[Presence]:
    """Be there until the end of the block, or of the process.

    Raises:
        BusyError: there is a worker already, and the records are in SQLite.
        StoreError: the database cannot be reached.
    """
    if workspace.records.engine.dialect.name == "sqlite":
        with workspace.exclusive(_LOCK, doing="run a worker"):
            yield Presence(_ONLY, None)
        return
    host = socket.gethostname()[: _NAME_CHARACTERS - 20]
    name = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    try:
        session = workspace.records.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except sa.exc.OperationalError as e:
        raise StoreError("The records store cannot be reached.") from e
    with session:
        for setting, value in {**_KEEPALIVE, "application_name": _SESSION + name}.items():
            session.execute(
                sa.text("SELECT set_config(:setting, :value, false)"),
                {"setting": setting, "value": str(value)},
            )
        yield Presence(name, session)
        session.invalidate()  # Nobody else shall get a session that bears our name.


def alive(workspace: Workspace) -> list[str]:
    """The workers that are alive now.

    Raises:
        StoreError: the records cannot be read.
    """
    if workspace.records.engine.dialect.name != "sqlite":
        with workspace.records.begin() as tx:
            return sorted(_sessions(tx))
    try:
        with FileLock(workspace.folder("locks") / f"{_LOCK}.lock", blocking=False):
            return []
    except Timeout:
        return [_ONLY]


def _sessions(connection: sa.Connection) -> set[str]:
    query = sa.text("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE :n")
    names = connection.execute(query, {"n": f"{_SESSION}%"}).scalars()
    return {name.removeprefix(_SESSION) for name in names}
