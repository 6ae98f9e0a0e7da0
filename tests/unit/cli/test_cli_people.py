"""People, approvals, audit and erasure from the command line, and no traceback for a mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuneloop.cli import main as cli
from tuneloop.errors import NotAllowedError, TuneloopError, UsageError
from tuneloop.loop import Loop
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.retraining.cycle_end import CycleResult
from tuneloop.testing.manifest import manifest_of

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tuneloop.yaml").write_text(
        "name: router\nbase: b\ndata: {sources: [a.jsonl]}\n"
        "approvals: {deploy: {roles: [expert]}}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs a command as somebody; a refusal is raised, JSON is read."""

    def invoke(who: str, *words: str, code: int = 0) -> Any:
        done = CliRunner().invoke(cli.app, list(words), env={"TUNELOOP_ACTOR": who})
        if isinstance(done.exception, TuneloopError):
            raise done.exception
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if "--json" in words else done.stdout

    return invoke


@pytest.fixture
def candidate(folder: Path) -> str:
    """Made by erik."""
    loop = Loop.open(folder)
    weights = loop.workspace.folder("made")
    (weights / "weights").write_text("w")
    digest = loop.workspace.artifacts.put(weights, kind="export")
    content = manifest_of(
        model="router",
        base={},
        artifacts={"export": digest, "evaluation": digest},
        dataset={},
        training={},
        task={},
        serving={},
        evaluation={"id": "e1", "verdict": "passed", "gates": "g", "comparisons": {}},
        routing={},
    )
    bundle = bundles.register(loop.workspace, content)
    with loop.workspace.records.begin() as tx:
        aliases.move(
            tx,
            model="router",
            name="candidate",
            bundle=bundle.id,
            expected=None,
            actor="erik",
            reason="evaluated",
            now=loop.workspace.now(),
        )
    loop.close()
    return bundle.id


def test_people_come_and_go(run: Run) -> None:
    assert "everybody may do everything" in run("ada", "people", "list")
    with pytest.raises(UsageError, match="first person"):
        run("ada", "people", "add", "ines", "--role", "expert")
    with pytest.raises(UsageError, match="Expected one of the roles"):
        run("ada", "people", "add", "ada", "--role", "boss")
    run("ada", "people", "add", "ada", "--role", "admin")
    run("ada", "people", "add", "ines", "--role", "expert", "--role", "curator", "--this-model")
    found = run("ada", "people", "list", "--json")
    assert [(one["name"], one["role"], one["model"]) for one in found["people"]] == [
        ("ada", "admin", ""),
        ("ines", "curator", "router"),
        ("ines", "expert", "router"),
    ]
    assert "only ines can judge router" in found["bus_factor"]["warning"]
    assert "only ines can judge" in run("ada", "status", "--json")["people"]
    doctor = json.loads(CliRunner().invoke(cli.app, ["doctor", "--json"]).stdout)
    assert [one["state"] for one in doctor if one["name"] == "people"] == ["warning"]
    with pytest.raises(NotAllowedError, match="ines may not manage people"):
        run("ines", "people", "remove", "ada")
    run("ada", "people", "remove", "ines", "--role", "curator", "--this-model")
    assert "ines" in run("ada", "people", "list")


def test_a_candidate_is_approved_rejected_and_withdrawn(run: Run, candidate: str) -> None:
    run("ada", "people", "add", "ada", "--role", "admin")
    run("ada", "people", "add", "ines", "--role", "expert")
    run("ada", "people", "add", "erik", "--role", "engineer")
    with pytest.raises(NotAllowedError, match="erik may not approve"):
        run("erik", "approve")
    with pytest.raises(UsageError, match="--kind"):
        run("ines", "approve", "--kind", "everything")
    done = run("ines", "approve", candidate[:12], "-m", "tried it", "--json")
    assert done["standing"]["granted"] and done["saw"]["evaluation"] == "e1"
    with pytest.raises(UsageError, match="Why"):
        run("ines", "reject")
    assert "missing – ines rejected it" in run("ines", "reject", "-m", "it invents refunds")
    listed = run("ada", "approvals", "list", "--json")
    assert [one["event"] for one in listed["history"]] == ["approved", "rejected"]
    assert [one["granted"] for one in listed["standing"]] == [True, False]
    run("ines", "approvals", "withdraw", "-m", "it does not")
    assert "it needs 1 more approval" in run("ada", "approvals", "list")


@pytest.mark.parametrize(
    ("status", "steps", "refused", "code"),
    [
        ("finished", {}, False, 0),
        ("stopped", {}, True, 3),
        ("waiting", {}, False, 4),
        ("waiting", {"rollout": {"rollout": "r1"}}, False, 0),
    ],
)
def test_the_exit_code_of_a_cycle_says_how_it_ended(
    run: Run, monkeypatch: pytest.MonkeyPatch, status: Any, steps: Any, refused: bool, code: int
) -> None:
    ended = CycleResult(
        id="c1",
        status=status,
        outcome="so it ended",
        deployed=False,
        refused=refused,
        bundle=None,
        steps=steps,
    )
    monkeypatch.setattr(Loop, "run", lambda self, **how: ended)
    assert "so it ended" in run("ada", "run", code=code)


def test_the_audit_log_is_listed_exported_and_verified(run: Run, folder: Path) -> None:
    for name in ("ada", "ines"):
        run("ada", "people", "add", name, "--role", "admin")
    head = run("ada", "audit", "head").strip()
    assert run("ada", "audit", "verify", "--head", head[:16], "--json")["whole"]
    assert "2 events, all as they were written" in run("ada", "audit", "verify")
    listed = run("ada", "audit", "list", "--all", "--json")
    assert [one["detail"]["name"] for one in listed] == ["ines", "ada"]
    shown = run("ada", "audit", "list")
    assert "Nothing has been done yet." in shown
    assert "Not listed: 2 of the whole workspace" in shown and "audit list --all" in shown
    shown = run("ada", "audit", "list", "--all", "--limit", "1")
    assert "And 1 older: tuneloop audit list --all --limit 2" in shown
    assert "Not listed" not in shown
    run("ada", "audit", "export", "-o", "audit.jsonl")
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert lines[-1]["digest"] == head
    assert run("ada", "audit", "export", "--json") == lines
    assert "cut off" in run("ada", "audit", "verify", "--head", "f" * 64, code=1)


def test_erasure_asks_for_one_name(run: Run) -> None:
    for words in ([], ["--user", "a", "--interaction", "b"]):
        with pytest.raises(UsageError, match="Expected one of --user"):
            run("ada", "erase", *words)
    assert run("ada", "erase", "--user", "alice", "--dry-run", "--json")["interactions"] == 0
    assert "0 interactions" in run("ada", "erase", "--user", "alice")
