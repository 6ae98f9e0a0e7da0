"""The same training is found among earlier runs, and no more is read for it than it takes."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tuneloop import modelfile
from tuneloop.progress import Silent
from tuneloop.registry.base_model import BaseModel
from tuneloop.storage import tables
from tuneloop.training import stage
from tuneloop.training.config import TrainingConfig
from tuneloop.training.same_rows import rows_digest
from tuneloop.workspace import Workspace


def stored(workspace: Workspace, folder: Path, kind: str, *, word: str, report: str = "") -> str:
    folder.mkdir()
    (folder / "train.jsonl").write_text(json.dumps({"completion": word}) + "\n")
    (folder / "report.json").write_text(report)
    return workspace.artifacts.put(folder, kind=kind)


def test_only_runs_whose_weights_are_there_are_looked_at_and_each_version_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tuneloop.yaml"
    file.write_text("name: desk\nbase: b\ndata: {sources: [rows.jsonl]}\n")
    model = modelfile.load(file, environment={})
    config = TrainingConfig.from_settings(model.settings.training.model_dump(mode="json"))
    weights = stored(workspace, tmp_path / "weights", "training-run", word="weights")
    equal, other, pruned = (
        stored(workspace, tmp_path / word, "dataset", word=word) for word in ("equal", "no", "gone")
    )
    wanted = stored(workspace, tmp_path / "new", "dataset", word="equal", report="another")
    # The newest first, as they are looked at.
    runs = [
        ("pruned", pruned, "0" * 64),
        ("other", other, weights),
        ("again", other, weights),
        ("same", equal, weights),
    ]
    now = {"config_digest": config.digest(), "validation": "of the rows to train on"}
    # The checkpoint of the newest was picked by its held-out rows, as earlier releases did it.
    records = {"earlier": {"config_digest": config.digest()}}
    runs.insert(0, ("earlier", equal, weights))
    with workspace.records.begin() as tx:
        for age, (name, dataset, artifact) in enumerate(runs):
            row = {"id": name, "model": "desk", "dataset": dataset, "base": "b", "config": name}
            tx.execute(
                sa.insert(tables.training_runs).values(
                    **row,
                    status="finished",
                    artifact=artifact,
                    record=records.get(name, now),
                    created_at=workspace.now() - timedelta(hours=age),
                )
            )
    read: list[Path] = []

    def counted(folder: Path, config: TrainingConfig) -> str:
        read.append(folder)
        return rows_digest(folder, config)

    monkeypatch.setattr(stage, "rows_digest", counted)
    base = BaseModel(spec="b", revision=None, digest="b", folder=tmp_path)
    found = stage.train(workspace, model=model, dataset=wanted, base=base, progress=Silent())
    assert found.id == "same"
    assert sorted(read) == sorted(map(workspace.artifacts.get, (wanted, other, equal)))
