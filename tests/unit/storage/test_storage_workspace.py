"""Where a workspace keeps what follows from a base model alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuneloop.workspace import Workspace, user_cache


def test_workspaces_share_what_follows_from_a_base(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNELOOP_CACHE", str(tmp_path / "shared"))
    other = Workspace.open(tmp_path / "other")
    assert workspace.shared_folder("bases") == other.shared_folder("bases")
    assert workspace.shared_folder("bases") == tmp_path / "shared" / "bases"
    other.records.close()


def test_a_workspace_of_an_earlier_release_goes_on_with_its_own(workspace: Workspace) -> None:
    own = workspace.folder("cache/bases")
    assert workspace.shared_folder("bases") == own
    assert workspace.shared_folder("base-exports") != workspace.root / "cache" / "base-exports"


def test_where_there_is_no_place_for_it_the_workspace_keeps_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUNELOOP_CACHE", str(tmp_path / "file" / "below"))
    assert workspace.shared_folder("bases") == workspace.root / "cache" / "bases"


def test_the_usual_places_of_a_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNELOOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_cache() == Path("/somewhere/tuneloop")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", os.sep + "home-of-somebody")
    assert user_cache() == Path("/home-of-somebody/.cache/tuneloop")
