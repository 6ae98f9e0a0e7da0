"""The audit log cannot be changed unnoticed, and writers at once keep one chain."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tuneloop.errors import StoreError
from tuneloop.registry import audit, audit_chain
from tuneloop.registry.audit_chain import Verification
from tuneloop.storage import records as records_module
from tuneloop.storage import tables
from tuneloop.storage.records import Records
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


def write(workspace: Workspace, count: int = 1, actor: str = "ann") -> None:
    for number in range(count):
        with workspace.records.begin() as tx:
            audit.record(
                tx,
                model="router",
                actor=actor,
                action="endpoint.move",
                detail={"number": number, "text": "é\0ü", 2: (1.5, float("nan"))},
                now=workspace.now(),
            )


def by_hand(workspace: Workspace, *statements: str) -> None:
    """Somebody who owns the database switches its protection off."""
    with workspace.records.begin() as tx:
        if tx.dialect.name == "postgresql":
            tx.execute(sa.text("ALTER TABLE audit_events DISABLE TRIGGER USER"))
        else:
            for name in ("update", "delete", "replace"):
                tx.execute(sa.text(f"DROP TRIGGER IF EXISTS audit_events_no_{name}"))
        for statement in statements:
            tx.execute(sa.text(statement))


def test_an_untouched_log_is_whole(workspace: Workspace) -> None:
    assert audit_chain.verify(workspace) == Verification(
        events=0, head=audit.Head(event=0, digest=audit.GENESIS), broken=None
    )
    write(workspace, 3)
    found = audit_chain.verify(workspace)
    assert found.whole and found.events == 3
    assert found.head == audit.head(workspace)
    newest = audit.listing(workspace, "router")[0]
    assert (newest.id, newest.digest) == (3, found.head.digest)
    assert newest.detail == {"number": 2, "text": "é\0ü", "2": [1.5, "NaN"]}
    assert audit.listing(workspace, "other") == []
    assert len(audit.listing(workspace, None)) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'bob' WHERE id = 2",
        "DELETE FROM audit_events WHERE id = 3",
    ],
)
def test_the_database_refuses_to_change_an_event(workspace: Workspace, statement: str) -> None:
    write(workspace, 3)
    with pytest.raises(StoreError, match="append-only"), workspace.records.begin() as tx:
        tx.execute(sa.text(statement))
    assert audit_chain.verify(workspace).whole


def test_the_database_refuses_to_replace_or_empty(workspace: Workspace) -> None:
    write(workspace, 2)
    statement = "TRUNCATE audit_events"
    if workspace.records.engine.dialect.name == "sqlite":
        statement = (
            "INSERT OR REPLACE INTO audit_events SELECT id, model, 'bob', action, detail, at, "
            "previous, digest FROM audit_events WHERE id = 1"
        )
    with pytest.raises(StoreError, match="append-only"), workspace.records.begin() as tx:
        tx.execute(sa.text(statement))
    assert audit_chain.verify(workspace).whole


@pytest.mark.parametrize(
    ("statements", "kind", "event"),
    [
        (["UPDATE audit_events SET actor = 'bob' WHERE id = 3"], "changed", 3),
        (["UPDATE audit_events SET detail = '{\"number\": 9}' WHERE id = 2"], "changed", 2),
        (["DELETE FROM audit_events WHERE id = 2"], "removed", 2),
        (["DELETE FROM audit_events WHERE id < 3"], "removed", 1),
        (
            [
                "UPDATE audit_events SET id = 99 WHERE id = 2",
                "UPDATE audit_events SET id = 2 WHERE id = 3",
                "UPDATE audit_events SET id = 3 WHERE id = 99",
            ],
            "reordered",
            2,
        ),
        (["DELETE FROM audit_events WHERE id > 3"], "cut off", 4),
    ],
)
def test_the_first_broken_event_is_named(
    workspace: Workspace, statements: list[str], kind: str, event: int
) -> None:
    write(workspace, 5)
    by_hand(workspace, *statements)
    broken = audit_chain.verify(workspace).broken
    assert broken is not None
    assert (broken.kind, broken.event) == (kind, event)


def test_a_log_that_was_cut_off_with_its_head_is_found_by_a_head_kept_elsewhere(
    workspace: Workspace,
) -> None:
    write(workspace, 5)
    kept = audit.head(workspace).digest
    third = audit.listing(workspace, None)[2].digest
    by_hand(
        workspace,
        "DELETE FROM audit_events WHERE id > 3",
        f"UPDATE audit_head SET event = 3, digest = '{third}'",
    )
    assert audit_chain.verify(workspace).whole, "by itself the chain cannot tell"
    assert audit_chain.verify(workspace, head=third[:12]).whole
    write(workspace, 4)
    broken = audit_chain.verify(workspace, head=kept).broken
    assert broken is not None and (broken.kind, broken.event) == ("cut off", 8)


def test_an_older_head_is_still_in_a_longer_log(workspace: Workspace) -> None:
    write(workspace, 2)
    kept = audit.head(workspace).digest
    write(workspace, 2)
    assert audit_chain.verify(workspace, head=kept).whole


def test_writers_at_once_keep_one_chain(workspace: Workspace) -> None:
    together = threading.Barrier(6)

    def writer(name: str) -> Callable[[], None]:
        def work() -> None:
            together.wait()
            write(workspace, 10, actor=name)

        return work

    threads = [threading.Thread(target=writer(f"writer {n}")) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = audit_chain.verify(workspace)
    assert (found.events, found.whole) == (60, True)


def test_an_event_goes_when_its_change_does(workspace: Workspace) -> None:
    write(workspace)
    with pytest.raises(ZeroDivisionError), workspace.records.begin() as tx:
        audit.record(tx, model="", actor="a", action="x", detail={}, now=workspace.now())
        _ = 1 / 0
    assert audit_chain.verify(workspace).events == 1
    write(workspace)
    assert audit_chain.verify(workspace).whole


def test_events_of_an_earlier_version_are_chained(
    either_records: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("old") / "records.sqlite"
    file.touch()
    records = Records(either_records or f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", str(records_module._MIGRATIONS))
    with records.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for number in (3, 7):
            connection.execute(
                sa.text(
                    "INSERT INTO audit_events (id, model, actor, action, detail, at) VALUES "
                    "(:id, 'router', 'ann', 'x', '{\"a\": [1.5, \"é\"]}', :at)"
                ),
                {"id": number, "at": f"2026-03-02 09:00:0{number}.250000"},
            )
    records.migrate()
    workspace = Workspace.open(file.parent, records_url=either_records)
    write(workspace)
    found = audit_chain.verify(workspace)
    assert (found.events, found.whole, found.head.event) == (3, True, 8)
    with workspace.records.begin() as tx:
        first = tx.execute(sa.select(tables.audit_events).order_by("id")).first()
    assert first is not None and first.previous == audit.GENESIS
    workspace.records.close()
    records.close()
