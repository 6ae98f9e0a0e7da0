"""Every shell block of the README and the guides, and the README's client, run as they are written.

They are run in the order in which a team would come to them, on a tiny model. Names that stand for
something (ID, OLD, NEW), the base and the port are replaced. The records are in PostgreSQL, as the
guide to stores has it; the tutorial runs on the defaults.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tiny_desk import EXAMPLE, GATES, ROOT, as_json, write
from tuneloop.deployment.processes import free_port
from tuneloop.testing.judge import judge_script, verdict
from tuneloop.testing.tiny_model import make_tiny_model
from tuneloop.testing.upstream import ScriptedUpstream

README = ROOT / "README.md"
GUIDES = ROOT / "docs" / "how-to"
NOT_HERE = ("pip install",)
OF_ANOTHER_TEST = ("serve-elsewhere.md",)
"""Run by tests/integration/deployment/test_served_elsewhere.py, which has a server to show."""


def blocks(page: Path) -> list[str]:
    """The shell blocks of a page."""
    found = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


class Team:
    """Works through the pages in one folder; knows what was not read yet."""

    def __init__(self, folder: Path, records_url: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.unread = [
            (page.name, number)
            for page in (README, *sorted(GUIDES.glob("*.md")))
            for number in range(len(blocks(page)))
            if page.name not in OF_ANOTHER_TEST
        ]
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "TUNELOOP_RECORDS_URL": records_url,
            "TUNELOOP_SET_EVALUATION__CONCURRENCY": "1",
            "TUNELOOP_SET_BENCH__RATES_PER_SECOND": "[5]",
            "TUNELOOP_SET_BENCH__SECONDS": "4",
            "TUNELOOP_SET_TRAINING__EPOCHS": "1",
            "TUNELOOP_SET_TRAINING__LEARNING_RATE": "0.01",
            "TUNELOOP_SET_EXPORT__QUANTISATIONS": "[q8_0]",
            "TUNELOOP_SET_ENDPOINT__PORT": str(self.port),
            "TUNELOOP_SET_ENDPOINT__MAX_TOKENS": "12",
            "TUNELOOP_SET_ENDPOINT__CONTEXT_TOKENS": "512",
            "TUNELOOP_SET_ENDPOINT__PARALLEL_REQUESTS": "1",
        }

    def read(self, page: Path, number: int, *, keys: str = "", **names: str) -> str:
        """Run a shell block; `keys` is what is typed, `names` are replaced."""
        text = blocks(page)[number]
        for name, value in names.items():
            assert name in text
            text = re.sub(rf"\b{name}\b", value, text)
        if (page.name, number) in self.unread:
            self.unread.remove((page.name, number))
        here = self._here(text)
        begun = re.search(r"^tuneloop init .*\n", here, re.MULTILINE)
        if begun is None:
            return self.run("sh", "-euc", here, keys=keys)
        said = self.run("sh", "-euc", here[: begun.end()])
        # A random model cannot pass a gate on quality, so the gate is that it answers at all; what
        # a candidate is held against stands in the file alone.
        file = self.folder / "tuneloop.yaml"
        write(file, "evaluation", gates=GATES, allow_small_suite=True, margin=0.3)
        write(file, "bench", gates={"error_share": "<= 0.1"})
        return said + self.run("sh", "-euc", here[begun.end() :], keys=keys)

    def client(self, message: str) -> None:
        """Run the README's client with another message."""
        code = README.read_text().split("<!-- client -->")[1].split("```python")[1].split("```")[0]
        assert self.run(sys.executable, "-c", self._here(code).replace(CLIENT_SAYS, message))

    def run(self, *command: str, keys: str = "") -> str:
        """What a command prints; it must end well."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=keys,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def listed(self, *command: str, at_least: int) -> list[Any]:
        """What a command lists as JSON, once it is so many; captures take two seconds."""
        deadline = time.monotonic() + 60
        while True:
            with patch.dict(os.environ, self.environment):
                found = as_json(self.folder, *command, "list")
            if len(found) >= at_least:
                return list(found)
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    def _here(self, text: str) -> str:
        lines = [line for line in text.splitlines() if not line.startswith(NOT_HERE)]
        return (
            "\n".join(lines)
            .replace("HuggingFaceTB/SmolLM2-135M-Instruct", "base")
            .replace("127.0.0.1:8400", f"127.0.0.1:{self.port}")
        )


CLIENT_SAYS = "My Tarn is beeping!"


@pytest.fixture
def team(tmp_path: Path, empty_postgres: str) -> Iterator[Team]:
    shutil.copy(EXAMPLE / "month-1.jsonl", tmp_path / "examples.jsonl")
    shutil.copy(EXAMPLE / "golden.jsonl", tmp_path / "golden.jsonl")
    make_tiny_model(tmp_path / "base")
    made = Team(tmp_path, empty_postgres)
    yield made
    made.run("tuneloop", "down")


@pytest.mark.timeout(600)
def test_the_readme_and_the_guides_are_true(team: Team) -> None:
    team.read(README, 1)
    for message in (CLIENT_SAYS, "My Perch is dripping!"):
        team.client(message)
    for interaction in team.listed("traffic", at_least=2):
        team.read(GUIDES / "serve.md", 1, ID=interaction["id"])
        assert '"feedback"' in team.read(GUIDES / "serve.md", 2, ID=interaction["id"])
    queued = team.listed("review", at_least=2)
    first, _ = (item for item in queued if item["kind"] == "correction")
    assert first["proposal"] == '{"intent": "fault", "product": "tarn", "urgency": "normal"}'
    team.read(GUIDES / "retrain.md", 0, ID=first["id"])
    # The other one is approved by key, after the contradictions of the file, which came first.
    skips = "s\n" * (len(queued) - 2)
    assert "1 approved" in team.read(README, 2, keys=f"{skips}a\n")
    new, old = team.listed("data", at_least=2)
    compared = team.read(GUIDES / "retrain.md", 1, OLD=old["label"], NEW=new["label"])
    assert "added: 2 rows" in compared and "dataset.corrections" in compared
    assert "make a cycle worth its time" in team.read(GUIDES / "retrain.md", 2)
    team.read(GUIDES / "model-file.md", 0)
    assert "reason" in team.read(GUIDES / "data.md", 0)
    team.read(GUIDES / "gates.md", 0)
    assert (team.folder / "report.html").is_file()
    assert "Gates passed" in team.read(GUIDES / "gates.md", 1, candidate="previous")
    assert "was asked 2 of 2 chats" in team.read(GUIDES / "rollout.md", 1, candidate="previous")
    # The README went back from it, and to abort a rollout takes it back once more.
    team.read(GUIDES / "rollout.md", 4, candidate="previous")
    assert "shadow" in team.read(GUIDES / "rollout.md", 0, candidate="previous")
    team.run("tuneloop", "readmit", "previous", "-m", "it was right")
    assert "0 of" in team.read(GUIDES / "rollout.md", 2)
    with patch.dict(os.environ, team.environment):
        live = as_json(team.folder, "status")["live"]["bundle"]
    assert "Undo with" in team.read(GUIDES / "rollout.md", 3, ID=live)
    key = re.search(r"tl_\S+", team.read(GUIDES / "protect.md", 0))
    assert key is not None
    team.environment["TUNELOOP_API_KEY"] = key[0]
    assert "0 interactions" in team.read(GUIDES / "protect.md", 1)
    team.read(GUIDES / "protect.md", 2)
    team.run("tuneloop", "down")
    team.read(GUIDES / "automate.md", 0)
    watch_and_be_told(team)
    assert "do not" in team.read(GUIDES / "automate.md", 1).replace("_", " ")
    share_the_work(team)
    team.run("tuneloop", "down")
    kept = team.read(GUIDES / "gates.md", 2, ID=first["interaction"])
    assert "approved by" in kept and "nothing changed, 1 the same" in kept
    team.read(GUIDES / "serve.md", 0)
    assert "Serving at" in team.read(GUIDES / "serve.md", 3)
    # The guide to checks is run in tests/unit/setup/test_check.py, prose in test_starting_prose.py,
    # that to safety in tests/unit/cli/test_cli_suites.py, and what takes a window of traffic in
    # tests/integration/monitoring/test_monitoring_cli.py.
    elsewhere = [("check.md", 0), ("prose.md", 0), ("safety.md", 0), ("watch.md", 1)]
    assert team.unread == [("README.md", 0), *elsewhere]


def watch_and_be_told(team: Team) -> None:
    """The guides to monitors, alerts, judge, golden set and samples."""
    assert "novelty" in team.read(GUIDES / "watch.md", 0)
    hook, judged = ScriptedUpstream(), ScriptedUpstream(judge_script(lambda _: verdict(5)))
    suites = [{"name": "golden", "file": "golden.jsonl"}]
    write(team.folder / "tuneloop.yaml", "evaluation", suites=suites)
    with hook, judged as judge:
        team.environment |= {
            "TUNELOOP_SET_ALERTS__NOTIFY": f"['json://127.0.0.1:{hook.port}/hook']",
            "TUNELOOP_SET_JUDGE": f"{{base_url: '{judge.base_url}', model: m, share: 1.0}}",
            "TUNELOOP_SET_GOLDEN__PASS_RATE_BELOW": "0",  # a random model knows nothing
        }
        team.read(GUIDES / "watch.md", 2)
        assert [one.path for one in hook.requests] == ["/hook"]
        assert "not calibrated" in team.read(GUIDES / "judge.md", 0)
        team.read(GUIDES / "judge.md", 1)
    assert "Agreement" in team.read(GUIDES / "judge.md", 2)


def share_the_work(team: Team) -> None:
    """The guide to roles, approvals, audit log and erasure, as Ada."""
    team.environment["TUNELOOP_ACTOR"] = "ada"
    assert "ines" in team.read(GUIDES / "people.md", 0)
    assert "ada" in team.read(GUIDES / "people.md", 1, candidate="production")
    team.read(GUIDES / "people.md", 2)
    assert (team.folder / "audit.jsonl").is_file()
    team.read(GUIDES / "people.md", 3)


def test_what_the_readme_makes_can_be_made() -> None:
    targets = re.findall(r"^make (\w+)", blocks(README)[0], re.MULTILINE)
    assert targets == ["demo", "test"]
    done = subprocess.run(
        ["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "demo.py" in done.stdout and "pytest" in done.stdout
