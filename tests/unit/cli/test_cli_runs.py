"""`tuneloop runs`: what a run came to, also one that an earlier version recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tuneloop.cli.main import app
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

CURVES = {"train": [], "eval": [{"step": 3, "epoch": 1.0, "loss": 0.5}]}
NEW = {
    "final_loss": 0.25,
    "best_eval_loss": 0.5,
    "best_eval_step": 3,
    "best_eval_epoch": 1.0,
    "final_eval_loss": 0.75,
    "loss_curves": CURVES,
    "resumed_from_step": 2,
    "precision": {
        "name": "bf16",
        "reason": "this CPU does 961 GFLOP/s in bf16, 212 in fp32 (bf16 from 1.3 x on)",
        "gflops": {"fp32": 212.0, "bf16": 961.0},
    },
}
OLD = {key: value for key, value in NEW.items() if not key.startswith("best_eval_")} | {
    "best_eval_loss": 0.5
}
del OLD["precision"]


@pytest.fixture
def desk(tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tuneloop.yaml").write_text("name: desk\nbase: b\ndata:\n  sources: [a.jsonl]\n")
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open(desk_workspace)
    with workspace.records.begin() as tx:
        for name, record in (("new", NEW), ("old", OLD), ("failed", {"error": "No row is left."})):
            row = {"id": name, "model": "desk", "dataset": "d" * 64, "base": "b", "config": name}
            status = "failed" if name == "failed" else "finished"
            moment = workspace.now()
            tx.execute(
                sa.insert(tables.training_runs).values(
                    **row, status=status, record=record, created_at=moment
                )
            )
    workspace.records.close()
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["runs", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("desk", "wide_terminal")
def test_runs_are_told_by_their_last_loss_and_their_best_evaluation_loss() -> None:
    shown = run("list").splitlines()
    assert "last loss" in shown[0] and "evaluation" in shown[0]
    new = next(line for line in shown if line.startswith("new")).split()
    assert new[3:5] == ["0.25", "0.5"]
    assert "last loss 0.2500, best evaluation loss 0.5000 after epoch 1" in run("show", "new")


@pytest.mark.usefixtures("desk", "wide_terminal")
def test_a_run_says_in_a_line_what_it_computed_in_and_why() -> None:
    line = next(line for line in run("show", "new").splitlines() if "precision" in line)
    assert "bf16: this CPU does 961 GFLOP/s in bf16, 212 in fp32 (bf16 from 1.3 x on)" in line
    assert "precision" not in run("show", "old")


@pytest.mark.usefixtures("desk", "wide_terminal")
def test_a_run_of_an_earlier_version_is_shown_with_what_its_figures_are() -> None:
    remark = "an earlier version measured it where the run was interrupted, too"
    assert remark in run("show", "old")
    listed: dict[str, Any] = {one["id"]: one for one in json.loads(run("list", "--json"))}
    assert listed["old"]["losses"]["remark"] == remark
    assert listed["old"]["record"] == OLD  # as it was stored
    assert listed["new"]["losses"] == {"last": 0.25, "held_out": 0.5, "epoch": 1.0, "remark": ""}
    assert listed["failed"]["losses"]["last"] is None
