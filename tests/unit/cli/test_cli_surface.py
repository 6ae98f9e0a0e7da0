"""The command line starts quickly, explains itself, and shows no traceback for a mistake."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from tuneloop import __version__
from tuneloop.cli import main as cli

if TYPE_CHECKING:
    from typer._click import Command

HEAVY = {"torch", "transformers", "polars", "deltalake", "scipy", "numpy", "granian", "xllamacpp"}


def imported_by(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.process
def test_help_imports_nothing_heavy() -> None:
    found = imported_by("import tuneloop.cli.main")
    assert not found & (HEAVY | {"sqlalchemy", "pydantic", "yaml"})


@pytest.mark.process
def test_a_gateway_needs_neither_torch_nor_polars_nor_delta() -> None:
    found = imported_by("import tuneloop.gateway.app, tuneloop.gateway.server")
    assert not found & (HEAVY - {"granian"} | {"sqlalchemy", "pydantic"})


def below(at: Command) -> dict[str, Command]:
    """The commands of a group by name; nothing for a command."""
    if not isinstance(at, TyperGroup):
        return {}
    context = typer.Context(at)
    found = {name: at.get_command(context, name) for name in at.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def commands(at: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(at, TyperGroup) or (at.invoke_without_command and path):
        yield path
    for name, command in below(at).items():
        yield from commands(command, (*path, name))


ALL = sorted(commands(get_command(cli.app)))


def test_all_commands_are_found() -> None:
    assert len(ALL) > 80
    assert {("run",), ("review",), ("review", "sample"), ("golden", "run")} <= set(ALL)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    """The example is one that this command understands."""
    shown = CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    (example,) = re.findall(r"Example: (tuneloop .*?)(?: *$| >)", shown.stdout, re.MULTILINE)
    program, *words = shlex.split(example)
    command, rest = get_command(cli.app), words
    for name in path:
        assert rest and rest[0] == name, example
        command, rest = below(command)[name], rest[1:]
    command.make_context(program, rest)


ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_in_running_text_exists_and_has_its_options(page: Path) -> None:
    """Blocks of commands are run elsewhere; what a sentence tells a reader to type is not."""
    for said in re.findall(r"`tuneloop ([^`]+)`", page.read_text("utf-8")):
        command, words = get_command(cli.app), said.split()
        while words and isinstance(command, TyperGroup) and words[0].isalpha():
            assert words[0] in below(command), said
            command = below(command)[words.pop(0)]
        known = {
            name for option in command.params for name in (*option.opts, *option.secondary_opts)
        }
        typed = {word.split("=")[0] for word in words if re.match("--?[a-z]", word)}
        assert typed <= known | {"-h", "--help"}, said


REPORTING_WITHOUT_JSON = {
    ("up",),  # serves
    ("worker",),  # works
    ("review",),  # asks
    ("config", "schema"),  # is JSON
}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_reporting_command_has_json(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "200"})
    assert ("--json" in shown.stdout) == (path not in REPORTING_WITHOUT_JSON)


def test_version() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).stdout.strip() == f"tuneloop {__version__}"


def test_an_unwritable_place_is_a_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise PermissionError(13, "Permission denied", "/some/where")

    app = typer.Typer()
    app.command()(broken)
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["tuneloop"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "/some/where: Permission denied" in capsys.readouterr().err
