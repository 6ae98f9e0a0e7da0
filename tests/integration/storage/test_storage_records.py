"""The records store behaves alike on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tuneloop.deployment import endpoints
from tuneloop.errors import ConflictError, StoreError, UsageError
from tuneloop.modelfile import DataSettings, EndpointSettings, ModelSettings
from tuneloop.registry import aliases, audit
from tuneloop.registry import bundle as bundles
from tuneloop.storage import records as storage_records
from tuneloop.storage import tables
from tuneloop.storage.records import Records
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace


@pytest.fixture
def url(either_records: str | None, tmp_path: Path) -> str:
    return either_records or f"sqlite:///{tmp_path / 'records.sqlite'}"


@pytest.fixture
def shared(url: str, tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace.open(tmp_path / "ws", records_url=url)
    yield workspace
    workspace.records.close()


def settings(name: str = "router", endpoint: str | None = None) -> ModelSettings:
    return ModelSettings(
        name=name,
        base="b",
        data=DataSettings(sources=("a",)),
        endpoint={"name": endpoint},  # type: ignore[arg-type]
    )


def make_bundle(workspace: Workspace, seed: int, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "weights").write_text(str(seed))
    digest = workspace.artifacts.put(folder, kind="export")
    content = manifest_of(
        model="router",
        base={"digest": "b" * 64},
        artifacts={"export": digest},
        dataset={},
        training={"seed": seed},
        task={"system": ""},
        serving={"sampling": {}},
        evaluation={"verdict": "passed"},
        routing={},
    )
    return bundles.register(workspace, content).id


def test_schema_equals_all_migrations(url: str) -> None:
    records = Records(url)
    records.migrate()
    records.migrate()
    with records.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    records.close()


def test_the_code_names_the_last_migration() -> None:
    scripts = ScriptDirectory(str(Path(storage_records.__file__).parent / "migrations"))
    assert scripts.get_current_head() == storage_records.HEAD


def test_a_newer_schema_is_refused(url: str) -> None:
    records = Records(url)
    records.migrate()
    with records.begin() as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version"):
        records.migrate()
    records.close()


def test_deploy_and_roll_back_move_route_and_aliases_together(
    shared: Workspace, tmp_path: Path
) -> None:
    one, two = (make_bundle(shared, seed, tmp_path / f"b{seed}") for seed in (1, 2))
    for bundle, expected in ((one, None), (two, one)):
        endpoints.point(
            shared,
            model=settings(),
            bundle=bundle,
            expected=expected,
            actor="ann",
            reason="better",
        )
    assert aliases.current(shared, "router")["production"].bundle == two
    assert aliases.current(shared, "router")["previous"].bundle == one
    after = endpoints.roll_back(shared, model="router", actor="bob", reason="wrong answers")
    assert (after.bundle, after.previous) == (one, two)
    assert aliases.current(shared, "router")["production"].bundle == one
    assert endpoints.roll_back(shared, model="router", actor="bob", reason="undo").bundle == two
    newest = aliases.history(shared, "router")[0]
    assert (newest.actor, newest.reason) == ("bob", "undo")
    assert [event.actor for event in audit.listing(shared, "router")] == ["bob"] * 2 + ["ann"] * 2


def first(shared: Workspace, bundle: str, model: ModelSettings | None = None) -> endpoints.Endpoint:
    """A first deployment."""
    return endpoints.point(
        shared, model=model or settings(), bundle=bundle, expected=None, actor="a", reason="r"
    )


def test_a_drill_leaves_no_trace_in_what_is_live_since_when(
    shared: Workspace, tmp_path: Path
) -> None:
    one, two = (make_bundle(shared, seed, tmp_path / f"b{seed}") for seed in (1, 2))
    first(shared, one)
    endpoints.succeed(shared, model="router", bundle=two, expected=one, actor="ann", reason="r")
    since = aliases.current(shared, "router")["production"].moved_at
    for _ in range(2):
        endpoints.roll_back(shared, model="router", actor="bob", reason="drill", drill=True)
    assert aliases.current(shared, "router")["production"].moved_at == since
    assert [move.drill for move in aliases.history(shared, "router")[:5]] == [True] * 4 + [False]
    with pytest.raises(ConflictError, match="not in production"):
        endpoints.roll_back(shared, model="router", actor="ann", reason="r", expected=one)


def test_rollback_without_a_previous_bundle_is_refused(shared: Workspace, tmp_path: Path) -> None:
    first(shared, make_bundle(shared, 1, tmp_path / "b"))
    with pytest.raises(UsageError, match="no previous bundle"):
        endpoints.roll_back(shared, model="router", actor="a", reason="r")


def test_an_endpoint_name_belongs_to_one_model(shared: Workspace, tmp_path: Path) -> None:
    bundle = make_bundle(shared, 1, tmp_path / "b")
    first(shared, bundle, settings(endpoint="front"))
    with pytest.raises(UsageError, match="belongs to the model 'router'"):
        first(shared, bundle, settings("other", "front"))
    first(shared, bundle, settings("other"))
    with pytest.raises(UsageError, match="belongs to the model 'router'"):
        endpoints.take_over_settings(shared, model=settings("other", "front"), actor="a")


def test_production_is_replaced_only_where_it_is_what_was_expected(
    shared: Workspace, tmp_path: Path
) -> None:
    one, two, three = (make_bundle(shared, seed, tmp_path / f"b{seed}") for seed in (1, 2, 3))

    def point(bundle: str, expected: str | None) -> endpoints.Endpoint:
        return endpoints.point(
            shared, model=settings(), bundle=bundle, expected=expected, actor="a", reason="r"
        )

    with pytest.raises(ConflictError, match=f"Expected {two[:12]} .* found nothing"):
        point(one, two)
    point(one, None)
    with pytest.raises(ConflictError, match=f"Expected nothing .* found {one[:12]}"):
        point(two, None)
    point(two, one)
    with pytest.raises(ConflictError, match=f"found {two[:12]}"):
        point(three, one)
    assert point(two, one).previous == one, "what is there already needs no move"
    assert [move.to_bundle for move in aliases.history(shared, "router")].count(three) == 0


def test_name_and_settings_follow_the_model_file(shared: Workspace, tmp_path: Path) -> None:
    assert endpoints.take_over_settings(shared, model=settings(), actor="ann") is None
    one = make_bundle(shared, 1, tmp_path / "b")
    first(shared, one)
    changed = settings(endpoint="front").model_copy(
        update={"endpoint": EndpointSettings(name="front", capture=False)}
    )
    after = endpoints.take_over_settings(shared, model=changed, actor="ann")
    assert after is not None
    assert (after.name, after.bundle, after.settings["capture"]) == ("front", one, False)
    assert endpoints.listing(shared) == [after]
    event = audit.listing(shared, "router")[0]
    assert (event.actor, event.action) == ("ann", "endpoint.settings")
    assert event.detail["endpoint"] == ["router", "front"]
    assert event.detail["settings"]["capture"] == [True, False]
    assert endpoints.take_over_settings(shared, model=changed, actor="ann") == after
    assert first(shared, one, settings()).name == "router", "deploying it again does it too"
    assert len(audit.listing(shared, "router")) == 3


def test_moves_at_once_follow_each_other_or_conflict(shared: Workspace, tmp_path: Path) -> None:
    """Whatever the interleaving, route and alias agree and every move has its history line."""
    ids = [make_bundle(shared, seed, tmp_path / f"b{seed}") for seed in range(6)]
    together = threading.Barrier(len(ids))
    lost = []

    def deploy(bundle: str) -> None:
        together.wait()
        found = endpoints.find(shared, "router")
        try:
            endpoints.point(
                shared,
                model=settings(),
                bundle=bundle,
                expected=found.bundle if found else None,
                actor="a",
                reason="r",
            )
        except ConflictError as e:
            lost.append(e)

    threads = [threading.Thread(target=deploy, args=(bundle,)) for bundle in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    endpoint = endpoints.find(shared, "router")
    assert endpoint is not None
    assert aliases.current(shared, "router")["production"].bundle == endpoint.bundle
    moves = [move for move in aliases.history(shared, "router") if move.name == "production"]
    assert len(moves) == endpoint.revision == len(ids) - len(lost)
    seen = [None, *(move.to_bundle for move in reversed(moves))]
    assert [move.from_bundle for move in reversed(moves)] == seen[:-1], "none was overwritten"


@pytest.mark.parametrize("either_records", ["postgres"], indirect=True)
def test_two_first_deployments_at_the_same_moment(shared: Workspace, tmp_path: Path) -> None:
    """The second waits for the first one's row, and then finds its key taken."""
    one, two = (make_bundle(shared, seed, tmp_path / f"b{seed}") for seed in (1, 2))
    lost: list[ConflictError] = []

    def deploy() -> None:
        with pytest.raises(ConflictError) as found:
            first(shared, two)
        lost.append(found.value)

    second = threading.Thread(target=deploy)
    with shared.records.begin() as tx:
        tx.execute(
            sa.insert(tables.endpoints).values(
                name="router", model="router", settings={}, revision=1
            )
        )
        aliases.move(
            tx,
            model="router",
            name="production",
            bundle=one,
            expected=None,
            actor="ann",
            reason="first",
            now=shared.now(),
        )
        second.start()
        waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        deadline = time.monotonic() + 20
        while not tx.execute(waiting).scalar():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    second.join()
    assert len(lost) == 1
    found = endpoints.find(shared, "router")
    assert found is not None and found.bundle == one


def test_a_value_that_the_database_refuses_is_one_clear_message(url: str) -> None:
    records = Records(url)
    records.migrate()
    with pytest.raises(StoreError, match=r"The records store .* failed"), records.begin() as tx:
        tx.execute(sa.text("SELECT * FROM no_such_table"))
    with pytest.raises(ConflictError, match="holds something else"), records.begin() as tx:
        tx.execute(sa.text("INSERT INTO alembic_version SELECT version_num FROM alembic_version"))
    records.close()


def test_a_damaged_database_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"not a database.*\n.*backup"):
        Records(f"sqlite:///{tmp_path / 'records.sqlite'}").migrate()


def test_bundles_are_found_by_beginning_and_alias(shared: Workspace, tmp_path: Path) -> None:
    one = make_bundle(shared, 1, tmp_path / "b1")
    first(shared, one)
    assert bundles.find(shared, one[:8]).id == one
    assert bundles.find(shared, "production", model="router").id == one
    with pytest.raises(UsageError, match="bundle list"):
        bundles.find(shared, "ffff%")
    with pytest.raises(UsageError):
        bundles.find(shared, one[:2])
    with pytest.raises(UsageError, match=r"^Nothing is in production yet\."):
        bundles.find(shared, "production", model="another")


def test_one_model_never_gets_the_bundle_of_another(shared: Workspace, tmp_path: Path) -> None:
    mine = make_bundle(shared, 1, tmp_path / "b1")
    assert bundles.find(shared, mine, model="router").id == mine
    with pytest.raises(UsageError, match="is not the id of a bundle of other"):
        bundles.find(shared, mine, model="other")


def test_the_same_manifest_is_the_same_bundle(shared: Workspace, tmp_path: Path) -> None:
    assert make_bundle(shared, 1, tmp_path / "b") == make_bundle(shared, 1, tmp_path / "b")
    assert len(bundles.listing(shared)) == 1


def test_a_manifest_changed_by_hand_is_refused(shared: Workspace, tmp_path: Path) -> None:
    bundle = make_bundle(shared, 1, tmp_path / "b")
    with shared.records.begin() as tx:
        tx.execute(sa.update(tables.bundles).values(manifest={"version": 1}))
    with pytest.raises(StoreError, match="does not match its id"):
        bundles.find(shared, bundle)


def test_unreachable_database_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Check that the database is up"):
        Workspace.open(tmp_path / "ws", records_url="postgresql://nobody:secret@127.0.0.1:1/none")
