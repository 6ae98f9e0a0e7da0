"""What a bundle's traffic is compared with is read from its dataset artifact."""

from __future__ import annotations

import json
from pathlib import Path

from tuneloop.monitoring.watched import own_answers, own_prompts
from tuneloop.workspace import Workspace


def test_prompts_come_with_the_groups_that_are_resampled_together(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = [("one", "g1"), ("two", "g1"), ("  ", "g2"), ("three", "")]
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "train.jsonl").write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": text}], "group": group}) + "\n"
            for text, group in rows
        )
    )
    dataset = workspace.artifacts.put(folder, kind="dataset")
    train, held_out = own_prompts(workspace, dataset)
    assert train.texts == ["one", "two", "three"]
    assert train.groups is not None
    assert train.groups[0] == train.groups[1] == "g1"
    assert train.groups[2] not in ("", "g1", "g2")
    assert held_out.texts == []


def test_what_was_drawn_from_traffic_is_not_what_traffic_is_held_against(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A sample is never trained on: what is new would be known from the first one on."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    tags = {"origin": "correction", "kind": "sample", "weight": "3"}
    rows = [
        {"messages": [{"role": "user", "content": text}], "completion": "x", "tags": of}
        for text, of in (("drawn", tags), ("corrected", tags | {"kind": "correction"}), ("own", {}))
    ]
    (folder / "train.jsonl").write_text("")
    (folder / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = workspace.artifacts.put(folder, kind="dataset")
    assert own_prompts(workspace, dataset)[1].texts == ["corrected", "own"]
    assert own_answers(workspace, dataset)[1].prompts.texts == ["corrected", "own"]
