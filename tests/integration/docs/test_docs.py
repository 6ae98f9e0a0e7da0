"""Every command in the tutorial works, in its order; every command named in the docs exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiny_desk import EXAMPLE, GATES, ROOT, command, tuneloop, write
from tuneloop.cli.main import app
from tuneloop.deployment.processes import free_port
from tuneloop.testing.tiny_model import make_tiny_model

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shell_lines(page: Path) -> list[list[str]]:
    """The `tuneloop` commands of a page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("tuneloop ")]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A newcomer's folder: rows and a base."""
    shutil.copy(EXAMPLE / "month-1.jsonl", tmp_path / "examples.jsonl")
    make_tiny_model(tmp_path / "base")
    yield tmp_path
    subprocess.run(command("down"), cwd=tmp_path, check=False, capture_output=True)


@pytest.mark.timeout(420)
def test_the_tutorial_runs_from_top_to_bottom(folder: Path) -> None:
    """On a random model: its gates are replaced by one that such a model can pass."""
    small = {
        "TUNELOOP_SET_EVALUATION__CONCURRENCY": "1",
        "TUNELOOP_SET_TRAINING__EPOCHS": "1",
        "TUNELOOP_SET_TRAINING__LEARNING_RATE": "0.01",
        "TUNELOOP_SET_EXPORT__QUANTISATIONS": "[q8_0]",
        "TUNELOOP_SET_ENDPOINT__PORT": str(free_port()),
        "TUNELOOP_SET_ENDPOINT__MAX_TOKENS": "12",
        "TUNELOOP_SET_ENDPOINT__CONTEXT_TOKENS": "512",
        "TUNELOOP_SET_ENDPOINT__PARALLEL_REQUESTS": "1",
    }
    lines = shell_lines(ROOT / "docs" / "tutorial.md")
    assert len(lines) > 15
    for line in lines:
        tuneloop(folder, *line, **small)
        if line[0] == "init":
            write(folder / "tuneloop.yaml", "evaluation", gates=GATES, allow_small_suite=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_command_in_the_docs_exists() -> None:
    named = {
        " ".join(words)
        for page in PAGES
        for words in re.findall(r"`tuneloop ([a-z]+)(?: ([a-z]+))?[ `]", page.read_text())
    }
    groups = {"config", "data", "runs", "evaluation", "bundle", "monitor", "alert", "traffic"}
    checked = {
        name if name.split()[0] in groups | {"review"} else name.split()[0] for name in named
    }
    assert len(checked) > 15
    for name in sorted(checked):
        help_text = CliRunner().invoke(app, [*name.split(), "--help"]).stdout
        assert "Usage" in help_text, name
