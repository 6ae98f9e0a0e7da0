"""What tuneloop 0.1 placed and erased holds under today's normal forms, in every script.

`texts.tar.xz` was made by `made_texts.py` with that version's code; both stay as they are.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tuneloop.datasets import versions
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.review import queue
from tuneloop.review.conflicts import collect_contradictions
from tuneloop.workspace import Workspace

HERE = Path(__file__).parent


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    with tarfile.open(HERE / "texts.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "texts"


def told(desk: Path, name: str) -> Any:
    return json.loads((desk / f"{name}.json").read_text())


def prepare(desk: Path, *rows: tuple[str, str]) -> tuple[Workspace, versions.DatasetVersion]:
    lines = [json.dumps({"prompt": text, "completion": answer}) + "\n" for text, answer in rows]
    (desk / "rows.jsonl").write_text("".join(lines))
    settings = ModelSettings(
        name="desk",
        base="tiny",
        data=DataSettings(sources=("rows.jsonl",), redact_personal_data="off", holdout_share=0.25),
    )
    model_file = ModelFile(path=desk / "tuneloop.yaml", settings=settings, origins={})
    workspace = Workspace.open(desk / ".tuneloop")
    return workspace, versions.prepare(workspace, model_file)


def test_every_text_finds_its_side_those_that_were_gone_for_two_versions_too(desk: Path) -> None:
    before: dict[str, str] = told(desk, "sides")
    rows = [(text, f"answer {number}") for number, text in enumerate(before)]
    workspace, version = prepare(desk, *rows)
    now = {
        example.question: side
        for side in ("train", "eval")
        for example in versions.read_examples(workspace, version, side)  # type: ignore[arg-type]
    }
    assert now == before


def test_what_was_erased_stays_erased_however_it_is_typed(desk: Path) -> None:
    erased: list[str] = told(desk, "erased")
    typed = [*erased, *(text.upper() for text in erased), *(f" {text}\n" for text in erased)]
    kept = [(text, "kept") for text, side in told(desk, "sides").items() if side == "train"]
    _, version = prepare(desk, *((text, "x") for text in typed), *kept)
    assert version.report["left_out"]["erased"] == len(typed)
    assert version.report["rows_in"] == len(typed) + len(kept)


def test_a_contradiction_that_was_asked_is_not_asked_again(desk: Path) -> None:
    asked = "where do I send the form"
    workspace, version = prepare(
        desk, *[(text, "x") for text in told(desk, "sides")], (asked, "To US."), (asked, "to them!")
    )
    assert version.report["contradictions"]["questions"] == 1
    assert collect_contradictions(workspace, version, system="", double_share=0.0) == 0
    assert [item.id for item in queue.listing(workspace, "desk")] == [told(desk, "decided")]
