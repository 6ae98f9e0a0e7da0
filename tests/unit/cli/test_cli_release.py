"""What a rollback says at the terminal is true at that moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from live_desk import make_loop
from tuneloop.cli import main as cli
from tuneloop.deployment import endpoints, rollouts
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan
from tuneloop.loop import Loop
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace


@pytest.fixture
def desk(tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Two bundles, deployed one after the other; nothing is being served."""
    loop = make_loop(Workspace.open(desk_workspace), tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        live = endpoints.find(loop.workspace, "desk")
        endpoints.point(
            loop.workspace,
            model=loop.model,
            bundle=made(loop, name).id,
            expected=live.bundle if live else None,
            actor="ann",
            reason="test",
        )
    return loop


def made(loop: Loop, name: str) -> Bundle:
    content: dict[str, Any] = {
        part: {} for part in ("base", "artifacts", "dataset", "task", "serving", "routing")
    }
    content |= {"model": "desk", "training": {"run": name}, "evaluation": {"verdict": "passed"}}
    return bundles.register(loop.workspace, manifest_of(**content))


def rollback(*words: str) -> str:
    done = CliRunner().invoke(cli.app, ["rollback", *words])
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_where_nothing_is_served_it_says_when_it_will_take_effect(desk: Loop) -> None:
    old, new = made(desk, "old").short, made(desk, "new").short
    said = rollback()
    assert f"desk: {old} is in production now, {new} was before." in said
    assert "takes effect with the next `tuneloop up`" in said and "serves" not in said
    assert f"Undo with: tuneloop rollback --from {old}" in said
    found = json.loads(rollback("--json"))
    assert (found["took_effect_seconds"], found["in_effect"]) == (None, False)


def test_during_a_rollout_it_ends_that_and_names_no_wrong_way_back(desk: Loop) -> None:
    live = endpoints.find(desk.workspace, "desk")
    assert live is not None and live.bundle is not None
    begun = rollouts.start(
        desk.workspace,
        model="desk",
        endpoint="desk",
        candidate=made(desk, "candidate").id,
        production=live.bundle,
        plan=RolloutPlan(guards=(Guard(name="errors"),), shadow=None, steps=(0.5,)),
        actor="ann",
    )
    said = rollback()
    assert f"Rollout {begun.id} is ended" in said
    assert "Undo" not in said, "it would go on to the bundle before"
    assert endpoints.find(desk.workspace, "desk") == live
