"""`tuneloop check` says which measures of likeness mean something on these rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiny_base import write_base
from tuneloop.project import Project
from tuneloop.setup import check
from tuneloop.setup.checks.validity import bounds, measures
from tuneloop.setup.finding import Finding

PLACES = ("ankle", "shoulder", "stomach", "throat", "elbow", "forehead", "kidney", "finger")
SINCE = ("Monday", "Christmas", "breakfast", "her holidays", "the accident", "last summer")
NOTES = [
    (
        f"Doctor: What is it? Patient: It is my {place}, it has hurt since {since}.",
        f"She complains of pain in the {place} that began with {since}.",
    )
    for place in PLACES
    for since in SINCE
]
REPLIES = [(asked, f"Thank you. We will call you. {n % 3}") for n, (asked, _) in enumerate(NOTES)]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def found(
    folder: Path,
    rows: list[tuple[str, str]],
    gates: dict[str, str],
    look_at: check.Check = measures,
    **task: Any,
) -> list[Finding]:
    write_base(folder / "base")
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"prompt": a, "completion": b}) + "\n" for a, b in rows)
    )
    content = {
        "name": "desk",
        "base": "base",
        "task": {"kind": "prose", **task},
        "data": {"sources": ["rows.jsonl"]},
        "evaluation": {"gates": gates},
    }
    (folder / "tuneloop.yaml").write_text(yaml.safe_dump(content))
    project = Project.open(folder, actor="ada")
    try:
        return check.look_over(project, checks=(("measures", look_at),))
    finally:
        project.close()


def test_measures_that_tell_answers_apart_are_named_with_their_auc(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, NOTES, {"chrf": ">= 0.2"})
    assert finding.verdict == "ok"
    for name in ("chrf", "rouge_l", "bleu", "similarity"):
        assert f"{name} 0." in finding.found or f"{name} 1.00" in finding.found


def test_a_bound_of_likeness_is_warned_of_and_a_comparison_is_not(tmp_path: Path) -> None:
    gates = {"rouge_l": "better than base", "answered": ">= 0.9"}
    assert found(tmp_path / "a", NOTES, gates, bounds) == []
    (finding,) = found(tmp_path / "b", NOTES, {"chrf": ">= 0.9", **gates}, bounds)
    assert finding.verdict == "warning" and "The gate chrf asks for >= 0.9" in finding.found
    assert "{chrf: better than base}" in finding.remedy
    assert found(tmp_path / "c", NOTES, {"chrf": ">= 0.9"}, bounds, kind="short") == []


def test_a_gate_on_a_measure_that_tells_nothing_is_named(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, REPLIES, {"chrf": ">= 0.2", "answered": ">= 0.9"})
    assert finding.verdict == "error"
    assert "the gate chrf is refused" in finding.found
    assert "judge" in finding.remedy


def test_without_a_gate_on_it_nothing_is_wrong(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, REPLIES, {"answered": ">= 0.9"})
    assert finding.verdict == "ok" and "No gate stands on it." in finding.found


def test_other_tasks_are_not_asked(tmp_path: Path) -> None:
    assert found(tmp_path, REPLIES, {"accuracy": ">= 0.2"}, kind="short") == []
