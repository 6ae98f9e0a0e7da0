"""Gates of the file add to the default ones, and only the file says what a candidate must show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tuneloop.errors import ModelFileError
from tuneloop.modelfile import ModelFile, load
from tuneloop.modelfile.sections.evaluation import EvaluationSettings
from tuneloop.retraining.cycles import settings_digest


def model_file(folder: Path, *flags: str, environment: Any = None, **sections: Any) -> ModelFile:
    path = folder / "tuneloop.yaml"
    content = {"name": "desk", "base": "b", "data": {"sources": ["rows.jsonl"]}, **sections}
    path.write_text(yaml.safe_dump(content))
    return load(path, overrides=flags, environment=environment or {})


def gates(folder: Path, **sections: Any) -> dict[str, Any]:
    found = model_file(folder, **sections).settings.evaluation
    return {key: gate.condition for key, gate in found.gates_in_force.items()}


def test_the_default_gates_hold_beside_those_of_the_file(tmp_path: Path) -> None:
    usual = {"accuracy": ">= 0.90", "format": ">= 0.95"}
    assert gates(tmp_path) == usual
    assert gates(tmp_path, evaluation={"gates": {}}) == usual
    own = {"format": ">= 0.99", "json_field.intent": ">= 0.6"}
    assert gates(tmp_path, evaluation={"gates": own}) == {**own, "accuracy": ">= 0.90"}
    same = {"held-out.accuracy": ">= 0.8", "golden.accuracy": ">= 0.7"}
    assert gates(tmp_path, evaluation={"gates": same}) == {**same, "format": ">= 0.95"}
    prose = gates(tmp_path, task={"kind": "prose"}, evaluation={"gates": {"chrf": ">= 0.5"}})
    assert prose["chrf"] == ">= 0.5" and prose["ungrounded"] == "<= 0.05" and len(prose) == 7


def test_dropping_a_gate_takes_a_reason(tmp_path: Path) -> None:
    dropped = {"condition": None, "reason": "the answers are free text"}
    written = {"gates": {"accuracy": dropped, "format": ">= 0.5"}}
    assert gates(tmp_path, evaluation=written) == {"format": ">= 0.5"}
    kept = model_file(tmp_path, evaluation=written).settings.model_dump(mode="json")["evaluation"]
    assert kept["gates"]["accuracy"] == dropped
    for wrong in (None, {"condition": None}):
        with pytest.raises(ModelFileError, match="dropping a gate takes a reason"):
            model_file(tmp_path, evaluation={"gates": {"accuracy": wrong}})
    for wrong in ({"condition": None, "reason": " "}, {"condition": ">= 0.5", "reason": ""}):
        with pytest.raises(ModelFileError, match=r"accuracy\.reason: expected a reason in words"):
            model_file(tmp_path, evaluation={"gates": {"accuracy": wrong}})
    with pytest.raises(ModelFileError, match="expected a reason in words for margin"):
        model_file(tmp_path, evaluation={"margin": 0.5, "reasons": {"margin": ""}})


@pytest.mark.parametrize(
    "flag",
    [
        "evaluation.gates.accuracy='>= 0.1'",
        "evaluation.gates={}",
        "evaluation.margin=0.5",
        "evaluation.decision=lenient",
        "evaluation.minimum_cases=1",
        "evaluation.allow_small_suite=true",
        "evaluation.suites=[]",
        "evaluation.reasons.margin=x",
        "evaluation={concurrency: 2}",
        "approvals.deploy=null",
        "approvals.deploy.count=1",
        "approvals={}",
        "bench.gates={}",
        "task.kind=prose",
        "task={}",
    ],
)
def test_no_flag_and_no_variable_changes_what_a_candidate_is_held_to(
    tmp_path: Path, flag: str
) -> None:
    with pytest.raises(ModelFileError) as refused:
        model_file(tmp_path, flag)
    assert refused.value.message.startswith(f"--set {flag.split('=')[0]}: ")
    assert "under version control" in refused.value.message
    assert "file" in refused.value.remedy or str(tmp_path) in refused.value.remedy
    key, _, value = flag.partition("=")
    variable = "TUNELOOP_SET_" + key.upper().replace(".", "__")
    with pytest.raises(ModelFileError, match=f"^environment variable for {key}: "):
        model_file(tmp_path, environment={variable: value})


def test_flags_change_what_decides_nothing(tmp_path: Path) -> None:
    found = model_file(
        tmp_path, "evaluation.concurrency=2", "bench.seconds=5", "task.system=Sort it."
    )
    assert found.settings.evaluation.concurrency == 2 and found.settings.task.system == "Sort it."


def test_what_says_no_reason_is_written_as_before() -> None:
    """Manifests hold this section, and the digest of a manifest is the name of its bundle."""
    few = {"condition": ">= 0.6", "minimum_cases": 10}
    written = {"gates": {"accuracy": ">= 0.9", "abstention_recall": few}, "margin": 0.02}
    kept = EvaluationSettings.model_validate(written).model_dump(mode="json")
    assert kept["gates"] == written["gates"] and "reasons" not in kept


def test_a_cycle_that_waits_outlives_the_gates_that_are_added(tmp_path: Path) -> None:
    """It began where a file that lists `format` alone was asked for nothing else."""
    found = model_file(tmp_path, evaluation={"gates": {"format": ">= 0.95"}}).settings
    assert found.evaluation.added_gates == ("accuracy",)
    alone = found.evaluation.without_added(["accuracy"])
    before = found.model_copy(update={"evaluation": alone})
    assert "accuracy" not in before.evaluation.gates
    assert settings_digest(found) == settings_digest(before)
