"""The stage: a run is stored, recorded, recognised and continued."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training_rows import make_rows, write_rows
from tuneloop import modelfile
from tuneloop.errors import TrainingError
from tuneloop.hashing import digest_text
from tuneloop.progress import Silent
from tuneloop.registry.base_model import BaseModel
from tuneloop.training import stage
from tuneloop.workspace import Workspace

Train = Callable[..., stage.TrainingRun]


@pytest.fixture
def train(workspace: Workspace, tiny_folder: Path, tmp_path: Path) -> Train:
    """Train the tiny model on a stored dataset; keywords are settings of `training`."""
    rows = tmp_path / "rows"
    rows.mkdir()
    write_rows(rows / "train.jsonl", make_rows(16))
    write_rows(rows / "eval.jsonl", make_rows(4, seed=1))
    dataset = workspace.artifacts.put(rows, kind="dataset")
    file = tmp_path / "tuneloop.yaml"
    file.write_text(
        f"name: desk\nbase: {tiny_folder}\ntask:\n  system: Sort.\n"
        "data:\n  sources: [rows.jsonl]\ntraining:\n  batch_size: 8\n  threads: 1\n"
    )
    base = BaseModel(
        spec=str(tiny_folder), revision=None, digest=digest_text("tiny"), folder=tiny_folder
    )

    def run(*, force: bool = False, **settings: Any) -> stage.TrainingRun:
        overrides = [f"training.{key}={value}" for key, value in settings.items()]
        model = modelfile.load(file, overrides=overrides, environment={})
        return stage.train(
            workspace, model=model, dataset=dataset, base=base, progress=Silent(), force=force
        )

    return run


def test_a_run_is_stored_recorded_and_recognised(workspace: Workspace, train: Train) -> None:
    run = train(epochs=1)
    assert run.status == "finished"
    folder = workspace.artifacts.get(str(run.artifact))
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert json.loads((folder / "record.json").read_text()) == run.record
    origins = {name: value["origin"] for name, value in run.hyperparameters.items()}
    assert (origins["batch_size"], origins["epochs"], origins["rank"]) == (
        "file",
        "flag",
        "default",
    )
    # T8: settings that only change the speed do not make another run.
    assert train(epochs=1, threads=2).id == run.id
    assert len(stage.listing(workspace, "desk")) == 1
    again = train(epochs=1, force=True)
    assert again.id != run.id
    assert again.record["final_loss"] == run.record["final_loss"]
    assert list((workspace.root / "work" / "training").iterdir()) == []


def test_a_failed_run_says_why_and_the_next_one_is_new(workspace: Workspace, train: Train) -> None:
    with pytest.raises(TrainingError, match="No row is left"):
        train(max_length=20)
    (run,) = stage.listing(workspace, "desk")
    assert run.status == "failed"
    assert run.artifact is None
    assert "No row is left" in run.record["error"]
