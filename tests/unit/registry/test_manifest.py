"""The identity of a bundle and the text of its manifest stay byte for byte, whoever wrote it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from live_desk import make_loop
from tuneloop.cli import main as cli
from tuneloop.errors import CorruptArtifactError
from tuneloop.hashing import digest_json
from tuneloop.registry import bundle as bundles
from tuneloop.registry.manifest import PARTS, Evaluated, Manifest, Part, Serving
from tuneloop.storage import tables
from tuneloop.workspace import FOLDER, Workspace

STORED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("manifests.json").read_text("utf-8")
)
"""Manifests as versions of tuneloop wrote them, from the first to one that is yet to come."""
IDS = {
    "the first": "b7f5d3f1631ee8208d87c96b86fb896330c2078e1e268c16004c0eac5430636b",
    "compared with production": "35e44a167f096a9370d81ef487228eb62acce298e03e812a9d1400292370ef6d",
    "repeatable": "d58eef40ae58d3e64df4170f2b4af270ec05e66a1527801203edc75323d2a43e",
    "served elsewhere": "86e34659840c8d74f0b1b6604f1d538a1a0ef1fd8b83ffc833ba9bac017cacf7",
    "of a newer version": "bd6ff962948c66006ad6387b2bf3f03264de8f1e71f4440638a10ebabce59ac8",
    "with hardly anything": "f60f55112644661080501f22e4e301654eb412fbf3dadb0270bb462dfa4dfa27",
}
"""The ids that those bundles have."""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """With every stored bundle, as earlier versions left them in the table."""
    loop = make_loop(Workspace.open(tmp_path / FOLDER), tmp_path)
    monkeypatch.chdir(tmp_path)
    with loop.workspace.records.begin() as tx:
        for name, manifest in STORED.items():
            row = {"id": IDS[name], "model": "desk", "manifest": manifest}
            tx.execute(sa.insert(tables.bundles).values(**row, created_at=loop.workspace.now()))
    return loop.workspace


def printed(*words: str) -> str:
    done = CliRunner().invoke(cli.app, ["bundle", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", STORED)
def test_a_stored_bundle_is_shown_to_the_byte(workspace: Workspace, name: str) -> None:
    assert bundles.find(workspace, IDS[name]).id == IDS[name]
    shown = json.loads(printed("show", IDS[name], "--json"))
    assert json.dumps(shown["manifest"]) == json.dumps(STORED[name])


@pytest.mark.parametrize("name", STORED)
def test_a_bundle_that_is_registered_again_is_the_same(workspace: Workspace, name: str) -> None:
    read = bundles.find(workspace, IDS[name]).manifest
    folder = workspace.folder("work/export")
    (folder / "weights").write_text("w")
    assert workspace.artifacts.put(folder, kind="export") == STORED[name]["artifacts"]["export"]
    assert bundles.register(workspace, read).id == IDS[name]
    with workspace.records.begin() as tx:
        tx.execute(sa.delete(tables.bundles))
    assert bundles.register(workspace, read).id == IDS[name]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("part", PARTS.values())
@given(data=st.data())
def test_a_part_is_written_as_it_was_read(part: type[Part], data: st.DataObject) -> None:
    """With any of its fields, null or not, in any order, and any that are not known here."""
    known = st.sampled_from([one.name for one in fields(part)])
    stored = data.draw(st.dictionaries(known | st.text(max_size=9), JSON, max_size=8))
    assert json.dumps(part.of(stored).as_json()) == json.dumps(stored)


def test_a_part_that_is_made_says_null_or_nothing_as_it_always_did() -> None:
    made = Evaluated(id="e-1", verdict="passed").as_json()
    assert made["production"] is None and made["latency_p95_ms"] is None
    assert "repeatability" not in made
    assert "proof" not in Serving(backend="llama.cpp").as_json()


def test_what_a_backend_wrote_of_itself_is_told_from_the_rest() -> None:
    there = Manifest.of(STORED["served elsewhere"]).serving
    assert there.proof == {"by": "answers", "compared": 12, "agreed": 11}
    assert set(there.conditions) == {"address", "parallel_requests", "offers"}
    first = Manifest.of(STORED["the first"]).serving
    assert "flash_attention" not in first.conditions and first.server is None


def test_a_notebook_that_asks_for_a_part_by_name_gets_it_and_is_told() -> None:
    first = STORED["the first"]
    with pytest.warns(DeprecationWarning, match=r"bundle\.manifest\.serving"):
        assert Manifest.of(first)["serving"] == first["serving"]


def test_two_bundles_differ_in_what_their_manifests_say(workspace: Workspace) -> None:
    found = json.loads(printed("diff", IDS["repeatable"], IDS["of a newer version"], "--json"))
    assert {one["key"]: one["after"] for one in found} == {
        "adapters.support": "x",
        "artifacts.later": STORED["of a newer version"]["artifacts"]["later"],
        **{
            f"{part}.later.said": [part, None, 1.5]
            for part in ("base", "dataset", "training", "task", "serving", "evaluation", "routing")
        },
    }
    old = json.loads(printed("diff", IDS["the first"], IDS["compared with production"], "--json"))
    changed = {one["key"]: (one["before"], one["after"]) for one in old}
    assert changed["evaluation.production"] == (None, "b" * 64)
    assert changed["routing.rollout"][0] == "all at once after gates"


def test_a_row_whose_part_is_no_object_is_told_as_damage(workspace: Workspace) -> None:
    manifest = {"model": "desk", "serving": None}
    row = {"id": digest_json(manifest), "model": "desk", "manifest": manifest}
    with workspace.records.begin() as tx:
        tx.execute(sa.insert(tables.bundles).values(**row, created_at=workspace.now()))
    with pytest.raises(CorruptArtifactError, match="a part is no object"):
        bundles.listing(workspace, model="desk")
