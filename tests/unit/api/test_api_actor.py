"""Who acts is handed in: a process that acts for many people has no environment to read it from."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tuneloop
from live_desk import make_loop
from tuneloop.errors import NotAllowedError
from tuneloop.loop import Loop
from tuneloop.workspace import Workspace

PACKAGE = Path(tuneloop.__file__).parent
FACES = ("acting.py", "cli", "loop", "web")
"""Whoever asks stands here, so here it may be read who that is."""
OF_THE_SYSTEM = {"TUNELOOP_ACTOR", "USER", "LOGNAME", "SUDO_USER", "getpass", "getlogin", "getuser"}


def said_in(source: str) -> Iterator[str]:
    """Every name and text of a source that stands for who the system says acts."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.Attribute(attr=name) | ast.Name(id=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.name for alias in names)
                yield getattr(node, "module", None) or ""


def test_nothing_below_the_faces_asks_the_system_who_acts() -> None:
    below = [
        path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in FACES
    ]
    assert len(below) > 200
    asking = {
        str(path.relative_to(PACKAGE)): words
        for path in below
        if (words := OF_THE_SYSTEM & set(said_in(path.read_text(encoding="utf-8"))))
    }
    assert asking == {}


def test_what_the_check_looks_for_is_found_where_it_may_stand() -> None:
    actor = (PACKAGE / "acting.py").read_text()
    assert set(said_in(actor)) >= {"TUNELOOP_ACTOR", "getpass", "getuser"}


def test_whoever_acts_is_asked_for_permission(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the hand that the loop was opened with, whatever the environment says."""
    monkeypatch.setenv("TUNELOOP_ACTOR", "ann")
    loop = make_loop(workspace, tmp_path / "desk")
    loop.people.add("ann", ["admin"])
    other = Loop(loop.project.as_("zoe"))
    with pytest.raises(NotAllowedError):
        other.people.add("zoe", ["admin"])
    with pytest.raises(NotAllowedError):
        other.erase("user", "customer-4711", dry_run=True)
    assert {event.actor for event in loop.audit.listing(every_model=True)} == {"ann", "zoe"}


def test_what_is_started_in_the_background_acts_in_the_same_name(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNELOOP_ACTOR", "ann")
    started: list[dict[str, str]] = []

    def popen(*_: object, env: dict[str, str], **__: object) -> object:
        started.append(env)
        raise OSError("not in this test")

    monkeypatch.setattr(subprocess, "Popen", popen)
    loop = make_loop(workspace, tmp_path / "desk")
    with pytest.raises(OSError, match="not in this test"):
        Loop(loop.project.as_("mara")).up_detached()
    assert [environment["TUNELOOP_ACTOR"] for environment in started] == ["mara"]
