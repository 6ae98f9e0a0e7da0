"""Forty-eight growing rows of sixteen conversations: each conversation is on one side."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from cases import case
from tuneloop.datasets import versions
from tuneloop.datasets.leaks import find_leaks
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.workspace import Workspace


@pytest.mark.parametrize("turns", ["all", "last"])
def test_each_conversation_is_on_one_side(workspace: Workspace, tmp_path: Path, turns: str) -> None:
    data = DataSettings(sources=(str(case("conversation-prefixes") / "train.jsonl"),), turns=turns)
    model_file = ModelFile(
        path=tmp_path / "tuneloop.yaml",
        settings=ModelSettings(name="desk", base="tiny", data=data),
        origins={},
    )
    version = versions.prepare(workspace, model_file)
    train, held_out = (versions.read_examples(workspace, version, s) for s in ("train", "eval"))
    assert len(train) + len(held_out) == 48
    sides = defaultdict(list)
    for side, rows in (("train", train), ("eval", held_out)):
        for row in rows:
            opening = next(turn.content for turn in row.messages if turn.role == "user")
            sides[opening].append(side)
    assert len(sides) == 16
    assert all(len(of) == 3 and len(set(of)) == 1 for of in sides.values())
    assert held_out
    assert version.report["split"]["conversations"] == {"rows": 48, "conversations": 16}
    (told,) = [one for one in version.report["advice"] if one["code"] == "conversations"]
    assert "48 rows are of 16 conversations" in told["message"]

    # As if somebody else had split it: the last turns held out, the first trained on.
    last = [row for row in [*train, *held_out] if len(row.messages) > 4]
    first = [row for row in [*train, *held_out] if len(row.messages) == 1]
    assert len(find_leaks(first, last, similarity=0.9)) == 16
    assert len(find_leaks(last, first, similarity=0.9)) == 16
