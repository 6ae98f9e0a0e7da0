"""Where a workspace keeps what follows from a base model alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneloop.errors import StoreError
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
    monkeypatch.delenv("TUNELOOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    assert workspace.shared_folder("bases") == workspace.root / "cache" / "bases"


def a_file(cache: Path, patch: pytest.MonkeyPatch) -> None:
    cache.write_text("")


def of_another_owner(cache: Path, patch: pytest.MonkeyPatch) -> None:
    (cache / "bases").mkdir(parents=True)
    uid = os.geteuid() + 1
    patch.setattr(os, "geteuid", lambda: uid)  # giving a folder away is for root alone


def open_to_all(cache: Path, patch: pytest.MonkeyPatch) -> None:
    (cache / "bases").mkdir(parents=True)
    (cache / "bases").chmod(0o777)


def below_one_that_is_open(cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Whoever can write a folder can put another one in the place of one that is in it."""
    (cache / "bases").mkdir(parents=True, mode=0o700)
    cache.chmod(0o770)


UNUSABLE = {
    a_file: "cannot be made or read",
    of_another_owner: r"/tuneloop belongs to another user \(uid \d+\)",
    open_to_all: r"others can write .*/bases \(mode 0777\)",
    below_one_that_is_open: r"others can write .*/tuneloop \(mode 0770\)",
}


@pytest.mark.parametrize(("spoil", "why"), UNUSABLE.items())
def test_what_others_can_write_is_not_believed(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    why: str,
) -> None:
    """A base that somebody else planted there would be trained on and served."""
    spoil(tmp_path / "tuneloop", monkeypatch)
    with monkeypatch.context() as chosen:
        chosen.setenv("TUNELOOP_CACHE", str(tmp_path / "tuneloop"))
        with pytest.raises(StoreError, match=why) as caught:
            workspace.shared_folder("bases")
        assert "TUNELOOP_CACHE" in caught.value.message and "unset it" in caught.value.remedy
    monkeypatch.delenv("TUNELOOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert workspace.shared_folder("bases") == workspace.root / "cache" / "bases"


def test_a_chosen_place_that_depends_on_where_one_stands_is_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNELOOP_CACHE", "~/shared")
    with pytest.raises(StoreError, match="not an absolute path"):
        workspace.shared_folder("bases")
    assert not (tmp_path / "~").exists()


def test_nobody_else_can_write_what_is_made(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNELOOP_CACHE", str(tmp_path / "new" / "shared"))
    before = os.umask(0)
    try:
        path = workspace.shared_folder("bases")
    finally:
        os.umask(before)
    assert {made.stat().st_mode & 0o777 for made in (path, *path.parents[:2])} == {0o700}


def test_the_usual_places_of_a_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNELOOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_cache() == Path("/somewhere/tuneloop")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", os.sep + "home-of-somebody")
    assert user_cache() == Path("/home-of-somebody/.cache/tuneloop")
