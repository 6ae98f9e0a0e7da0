"""What is in production stands once; a workspace from when it stood twice goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tuneloop.deployment import endpoints, servers
from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.registry import aliases
from tuneloop.registry.aliases import Alias
from tuneloop.storage import records as stores
from tuneloop.storage.records import Records
from tuneloop.workspace import Workspace

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def records_url(either_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_records


def point(workspace: Workspace, bundle: str, *, expected: str | None, model: str = "desk") -> None:
    settings = ModelSettings(name=model, base="b", data=DataSettings(sources=("a",)))
    endpoints.point(
        workspace, model=settings, bundle=bundle, expected=expected, actor="ann", reason="test"
    )


def agreed(workspace: Workspace, model: str = "desk") -> tuple[str | None, str | None]:
    """Production and previous, which every reader gives alike."""
    endpoint, names = endpoints.find(workspace, model), aliases.current(workspace, model)
    assert endpoint is not None
    alias = aliases.in_production(workspace, model)
    assert endpoint.bundle == (alias.bundle if alias else None)
    assert endpoint.previous == (names["previous"].bundle if "previous" in names else None)
    assert endpoint in endpoints.listing(workspace)
    with workspace.records.begin() as tx:
        assert {endpoint.bundle, endpoint.previous} - {None} <= servers.warm(tx)
    return endpoint.bundle, endpoint.previous


def test_all_that_moves_production_moves_it_for_every_reader(workspace: Workspace) -> None:
    point(workspace, ONE, expected=None)
    assert agreed(workspace) == (ONE, None)
    point(workspace, THREE, expected=None, model="other")
    endpoints.succeed(
        workspace, model="desk", bundle=TWO, expected=ONE, actor="ann", reason="rolled out"
    )
    assert agreed(workspace) == (TWO, ONE)
    endpoints.roll_back(workspace, model="desk", actor="ann", reason="worse")
    assert agreed(workspace) == (ONE, TWO)
    assert agreed(workspace, "other") == (THREE, None)


def test_whoever_moves_the_name_alone_moves_what_is_served_too(workspace: Workspace) -> None:
    point(workspace, ONE, expected=None)
    with workspace.records.begin() as tx:
        aliases.move(
            tx,
            model="desk",
            name="production",
            bundle=TWO,
            expected=aliases.read(tx, "desk")["production"],
            actor="ann",
            reason="by hand",
            now=workspace.now(),
        )
    assert agreed(workspace) == (TWO, None)


def test_a_workspace_of_before_goes_on_as_its_endpoints_pointed(
    records_url: str | None, tmp_path: Path
) -> None:
    """`desk` agrees; of `shop` somebody had moved the names by hand, `first` had no name at all."""
    url = records_url or f"sqlite:///{tmp_path / 'records.sqlite'}"
    before = Records(url)
    before._make_file()
    config = Config()
    config.set_main_option("script_location", str(stores._MIGRATIONS))
    pointed = {"desk": (TWO, ONE), "shop": (ONE, None), "first": (THREE, None)}
    named = {"desk": (TWO, ONE), "shop": (TWO, ONE)}
    with before.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0008")
        for model, (live, previous) in pointed.items():
            tx.execute(
                sa.text("INSERT INTO endpoints VALUES (:model, :model, :live, :previous, '{}', 4)"),
                {"model": model, "live": live, "previous": previous},
            )
        for model, bundles in named.items():
            for name, bundle in zip(("production", "previous"), bundles, strict=True):
                tx.execute(
                    sa.text(
                        "INSERT INTO aliases VALUES (:model, :name, :bundle, 7, "
                        "'2026-03-02 09:00:00.000000')"
                    ),
                    {"model": model, "name": name, "bundle": bundle},
                )
    before.close()
    workspace = Workspace.open(tmp_path / "workspace", records_url=url)
    assert {model: agreed(workspace, model) for model in pointed} == pointed
    kept: Alias = aliases.current(workspace, "desk")["production"]
    assert (kept.revision, f"{kept.moved_at:%Y-%m-%d}") == (7, "2026-03-02")
    assert aliases.history(workspace, "desk") == []
    assert [
        (one.name, one.from_bundle, one.to_bundle) for one in aliases.history(workspace, "shop")
    ] == [
        ("previous", ONE, None),
        ("production", TWO, ONE),
    ]
    assert endpoints.roll_back(workspace, model="desk", actor="ann", reason="w").revision == 5
    assert agreed(workspace, "desk") == (ONE, TWO)
    workspace.records.close()
