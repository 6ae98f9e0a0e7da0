"""A key is known by the name that it was made for: creating and revoking speak of the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuneloop.cli.main import app
from tuneloop.errors import UsageError
from tuneloop.registry import keys
from tuneloop.registry.keys import Grant
from tuneloop.workspace import Workspace


def make(workspace: Workspace, name: str) -> str:
    """A new key's id."""
    return keys.create(workspace, Grant(owner=name), actor="ana")[0].name


def test_what_creates_a_key_revokes_it(workspace: Workspace) -> None:
    desk, shop = make(workspace, "help-desk"), make(workspace, "shop")
    assert keys.revoke(workspace, "help-desk", actor="ana").name == desk
    assert keys.revoke(workspace, "help-desk", actor="ana").name == desk, "it stays closed"
    assert [one.name for one in keys.listing(workspace) if one.active] == [shop]


def test_an_id_or_a_good_part_of_it_means_a_key(workspace: Workspace) -> None:
    first, second = make(workspace, "help-desk"), make(workspace, "help-desk")
    assert not keys.revoke(workspace, first, actor="ana").active
    # Of the two that share the name one is left, so the name is enough again.
    assert keys.revoke(workspace, "help-desk", actor="ana").name == second
    third = make(workspace, "help-desk")
    for little in ("", third[:1], third[:3]):
        with pytest.raises(UsageError, match="There is no API key"):
            keys.revoke(workspace, little, actor="ana")
    assert keys.revoke(workspace, third[:7], actor="ana").name == third


def test_several_keys_of_a_name_are_listed_with_what_to_type(workspace: Workspace, clock) -> None:
    ids = []
    for _ in range(2):
        ids.append(make(workspace, "help-desk"))
        clock.advance(days=1)
    with pytest.raises(UsageError) as caught:
        keys.revoke(workspace, "help-desk", actor="ana")
    said = str(caught.value)
    for one, day in zip(ids, ("2026-03-02", "2026-03-03"), strict=True):
        assert f"{one} of help-desk, made {day}" in said
    assert f"tuneloop key revoke {ids[1]}" in said
    assert all(one.active for one in keys.listing(workspace))


@pytest.mark.parametrize("reference", ["help-dsk", "", "zz"])
def test_what_means_no_key_is_refused(workspace: Workspace, reference: str) -> None:
    make(workspace, "help-desk")
    with pytest.raises(UsageError, match="tuneloop key list") as caught:
        keys.revoke(workspace, reference, actor="ana")
    assert ("Did you mean 'help-desk'?" in str(caught.value)) == (reference == "help-dsk")


@pytest.mark.usefixtures("wide_terminal")
def test_the_list_shows_what_revoke_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tuneloop.yaml").write_text("name: router\nbase: b\ndata: {sources: [a.jsonl]}\n")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Any:
        done = CliRunner().invoke(app, ["key", *words])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout) if "--json" in words else done.stdout

    made = run("create", "help desk", "--json")
    assert made["key"].split("_")[1] == made["id"]
    header, row = run("list").splitlines()
    assert header.split()[:2] == ["name", "id"] and row.split()[:3] == ["help", "desk", made["id"]]
    assert "tuneloop key revoke 'help desk'" in run("create", "help desk")
    assert run("revoke", made["name"], "--json")["revoked_at"] is not None
    assert f"id {run('list', '--json')[0]['id']}, is revoked" in run("revoke", "help desk")
