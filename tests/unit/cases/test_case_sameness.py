"""What is the same to a person: for scorers, and for what is left out of a dataset."""

from __future__ import annotations

import json
from pathlib import Path

from cases import case
from tuneloop.datasets import versions
from tuneloop.evaluation.scorers.accuracy import accuracy
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings, TaskSettings
from tuneloop.workspace import Workspace


def test_answers_of_symbols_are_told_apart() -> None:
    lines = (case("symbol-only-answers") / "pairs.jsonl").read_text("utf-8").splitlines()
    metric = accuracy(TaskSettings())
    for pair in map(json.loads, lines):
        score = metric.score(Case(id="1", messages=(), expected=pair["expected"]), pair["output"])
        assert score is not None
        assert score.value == pair["right_is_1"], pair


def test_rows_that_are_only_much_alike_are_all_kept(workspace: Workspace, tmp_path: Path) -> None:
    source = case("too-much-alike") / "train.jsonl"
    rows = source.read_text("utf-8").splitlines()
    settings = ModelSettings(name="desk", base="tiny", data=DataSettings(sources=(str(source),)))
    model_file = ModelFile(path=tmp_path / "tuneloop.yaml", settings=settings, origins={})
    report = versions.prepare(workspace, model_file).report
    assert (report["rows_in"], report["left_out"]) == (len(rows), {})
    assert report["rows_train"] + report["rows_eval"] == len(rows)
