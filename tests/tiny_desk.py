"""A model folder that runs the whole loop in seconds: the support desk on a tiny random model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from tuneloop.cli.main import app
from tuneloop.deployment.processes import free_port
from tuneloop.testing.tiny_model import make_tiny_model

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "support-desk"
DROPPED = {"condition": None, "reason": "a random model answers nothing right"}
GATES = {"accuracy": DROPPED, "format": DROPPED, "error_share": "<= 0.1"}
"""What a random model can pass: it answers at all."""


def make_desk(folder: Path) -> Path:
    """Write base, rows and model file into `folder`; returns the model file.

    A random model cannot pass a gate on quality, so the gate is that it answers at all. One slot
    and one question at a time, because a random model's near ties turn over with the batch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make_tiny_model(folder / "base")
    shutil.copy(EXAMPLE / "month-1.jsonl", folder / "month-1.jsonl")
    settings = yaml.safe_load((EXAMPLE / "tuneloop.yaml").read_text())
    for people_and_worker in ("rollout", "approvals", "automation", "schedule"):
        del settings[people_and_worker]
    settings["triggers"] = {"minimum_corrections": 20}
    settings["base"] = "base"
    settings["training"] = {"epochs": 1, "learning_rate": 0.01, "batch_size": 16, "threads": 1}
    settings["evaluation"] = {
        "gates": GATES,
        "minimum_cases": 20,
        "concurrency": 1,
        "margin": 0.3,
    }
    settings["export"] = {"quantisations": ["q8_0"], "serve": "q8_0"}
    settings["endpoint"] |= {
        "port": free_port(),
        "parallel_requests": 1,
        "max_tokens": 12,
        "threads": 1,
    }
    settings["monitors"]["minimum_samples"] = 10
    path = folder / "tuneloop.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def write(file: Path, section: str, **values: Any) -> None:
    """Change keys of one section in a model file, as somebody with an editor does."""
    settings = yaml.safe_load(file.read_text())
    settings.setdefault(section, {}).update(values)
    file.write_text(yaml.safe_dump(settings, sort_keys=False))


@contextlib.contextmanager
def written(file: Path, section: str, **values: Any) -> Iterator[None]:
    """The model file with other values in one section, for as long as that takes."""
    before = file.read_text()
    write(file, section, **values)
    try:
        yield
    finally:
        file.write_text(before)


def command(*arguments: str) -> list[str]:
    """The command line that runs `tuneloop`."""
    return [sys.executable, "-m", "tuneloop.cli", *arguments]


def tuneloop(
    folder: Path, *arguments: str, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` as a user would, expecting an exit code."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


LOOKS = {"status", "history", "list", "show", "diff", "verify", "quarantine"}
"""Commands, and verbs of nouns, that look at the stores: they change and start nothing."""


def as_json(folder: Path, *arguments: str, code: int = 0) -> Any:
    """What a reporting command says with --json.

    A command that only looks runs in this process, as its text and its other exit codes are tested
    in one of its own: to start an interpreter takes ten times as long as to look.
    """
    if code == 0 and LOOKS.intersection(arguments[:2]):
        with contextlib.chdir(folder):
            done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == 0, f"{arguments}: {done.output}\n{done.exception!r}"
        return json.loads(done.stdout)
    return json.loads(tuneloop(folder, *arguments, "--json", code=code).stdout)
