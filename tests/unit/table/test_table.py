"""What installed packages add is found by name, imported late, and complained of by package."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from installed_package import install
from tuneloop.errors import ExtensionError
from tuneloop.table import GROUPS, Table, extensions

GROUP = "tuneloop.things"


@dataclass(frozen=True, kw_only=True)
class Thing:
    """What this table holds."""

    name: str


OWN = {"hammer": Thing(name="hammer")}
MODULE = """
from test_table import Thing
SAW = Thing(name="saw")
"""


@pytest.fixture
def things() -> Table[Thing]:
    return Table(GROUP, OWN, kind=Thing)


@pytest.fixture(autouse=True)
def as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed module imports `Thing` from here."""
    monkeypatch.setitem(sys.modules, "test_table", sys.modules[__name__])


def add(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    entries: dict[str, str],
    *,
    module: str = MODULE,
    package: str = "acme",
) -> None:
    install(folder, monkeypatch, package=package, module=module, adds={GROUP: entries})


def test_an_entry_of_a_package_stands_behind_our_own(
    things: Table[Thing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, monkeypatch, {"saw": "acme:SAW"})
    assert things.names() == ("hammer", "saw") and "saw" in things
    found = things.find("saw")
    assert found is not None and found.name == "saw"
    assert [thing.name for thing in things] == ["hammer", "saw"]
    assert things.find("axe") is None and "axe" not in things


def test_names_are_known_before_anything_is_imported(
    things: Table[Thing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, monkeypatch, {"saw": "acme:SAW"}, module="raise SystemError('imported')")
    assert "saw" in things and things.names() == ("hammer", "saw")
    assert things.find("hammer") == OWN["hammer"]
    assert "acme" not in sys.modules


@pytest.mark.parametrize(
    ("module", "value", "problem"),
    [
        (MODULE, "acme:AXE", "acme:AXE cannot be loaded: AttributeError"),
        (MODULE, "acme_gone:SAW", "acme_gone:SAW cannot be loaded: ModuleNotFoundError"),
        ("1 / 0", "acme:SAW", "acme:SAW cannot be loaded: ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)", "acme:SAW", "acme:SAW cannot be loaded: SystemExit: 0"),
        ("SAW = 7", "acme:SAW", "acme:SAW is of the type int; expected Thing"),
        (MODULE.replace('"saw"', '"axe"'), "acme:SAW", "acme:SAW calls itself 'axe'"),
    ],
)
def test_a_broken_entry_is_told_by_its_package(
    things: Table[Thing],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    value: str,
    problem: str,
) -> None:
    add(tmp_path, monkeypatch, {"saw": value}, module=module)
    with pytest.raises(ExtensionError) as caught:
        things.find("saw")
    assert f"acme 1.2 adds 'saw' to {GROUP}, but {problem}" in caught.value.message
    assert "acme" in caught.value.remedy


def test_a_name_of_our_own_cannot_be_taken(
    things: Table[Thing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, monkeypatch, {"hammer": "acme:SAW"})
    assert things.find("hammer") == OWN["hammer"]
    assert list(things) == [OWN["hammer"]] and things.names() == ("hammer",)


def test_two_packages_cannot_add_the_same_name(
    things: Table[Thing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("acme", "other-tools"):
        folder = tmp_path / package
        folder.mkdir()
        add(folder, monkeypatch, {"saw": "acme:SAW"}, package=package)
    with pytest.raises(ExtensionError, match=r"acme 1\.2.*other-tools 1\.2|other-tools.*acme"):
        things.find("saw")


def test_nothing_is_installed_here_that_would_change_what_we_test() -> None:
    assert {group: extensions(group) for group in GROUPS} == {group: {} for group in GROUPS}
