"""What was told after the training, or by a check that could not help, is told before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases import case
from tiny_base import CHATML, SPECIALS, starting_with, write_base
from tiny_desk import GATES
from tuneloop.project import Project
from tuneloop.setup import check
from tuneloop.setup.finding import Finding

STRICT = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant have to take turns') }}{% endif %}"
    + CHATML.removeprefix("{% for m in messages %}")
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def found_in(folder: Path, rows: Path, **evaluation: Any) -> list[Finding]:
    shutil.copy(rows, folder / "train.jsonl")
    content = {
        "name": "desk",
        "base": "base",
        "data": {"sources": ["train.jsonl"]},
        "evaluation": {"gates": GATES, "minimum_cases": 2, **evaluation},
    }
    (folder / "tuneloop.yaml").write_text(yaml.safe_dump(content))
    project = Project.open(folder, actor="ada")
    try:
        return check.look_over(project)
    finally:
        project.close()


def test_a_gate_on_no_metric_is_told_at_once(tmp_path: Path) -> None:
    rows = case("errors-after-training") / "train.jsonl"
    write_base(tmp_path / "base")
    told = [f for f in found_in(tmp_path, rows, gates={"acuracy": ">= 0.9"}) if f.what == "names"]
    assert [f.verdict for f in told] == ["error"] and "accuracy" in told[0].remedy


def test_two_odd_rows_of_42_are_left_out_and_stop_nothing(tmp_path: Path) -> None:
    rows = case("roles-in-turn") / "train.jsonl"
    write_base(tmp_path / "base", template=STRICT)
    told = found_in(tmp_path, rows)
    assert not [f for f in told if f.verdict == "error"], told
    template = [f for f in told if f.what == "template"]
    assert {f.verdict for f in template} == {"warning"}
    assert sum(int(f.found.split(" of ")[0]) for f in template) == 2


def test_a_start_token_is_served_as_it_is_trained(tmp_path: Path) -> None:
    rows = case("start-token-not-in-template") / "train.jsonl"
    start = {"bos_token": SPECIALS[0], "add_bos_token": True}
    write_base(tmp_path / "base", tokenizer_config=start, rules=starting_with(SPECIALS[0]))
    told = found_in(tmp_path, rows)
    assert not [f for f in told if f.verdict == "error"], told
    (start_token,) = [f for f in told if f.what == "start token"]
    assert "trained and served with one" in start_token.found
