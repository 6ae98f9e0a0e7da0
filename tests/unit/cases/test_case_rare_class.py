"""Three rows of a class among sixty others: some are trained on, some are asked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from cases import case
from tuneloop.datasets import versions
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.workspace import Workspace


def test_the_rare_class_is_on_both_sides(workspace: Workspace, tmp_path: Path) -> None:
    data = DataSettings(sources=(str(case("rare-class") / "train.jsonl"),))
    model_file = ModelFile(
        path=tmp_path / "tuneloop.yaml",
        settings=ModelSettings(name="desk", base="tiny", data=data),
        origins={},
    )
    version = versions.prepare(workspace, model_file)
    train, held_out = (
        Counter(
            json.loads(row.completion)["intent"]
            for row in versions.read_examples(workspace, version, side)
        )
        for side in ("train", "eval")
    )
    assert (train["legal"], held_out["legal"]) == (2, 1)
    assert set(train) == set(held_out) and len(train) == 7
    assert version.report["split"]["classes"] == {
        "field": "intent",
        "classes": 7,
        "not_trained": [],
        "not_measured": [],
    }
