"""Everything that a model file names and that is not there is told at once, with what was meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tuneloop.cli.main import app
from tuneloop.errors import BaseModelError, ModelFileError
from tuneloop.loop import Loop
from tuneloop.modelfile import ModelFile, Problem, load
from tuneloop.setup import names

SCHEMA = {
    "type": "object",
    "properties": {"people": {"type": "string"}, "intent": {"enum": ["book", "out_of_scope"]}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's folder in which all names are right; also where one stands."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "llama"}')
    (base / "tokenizer.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"")
    answer = json.dumps({"people": "2", "intent": "book"})
    for name, asked in (("rows.jsonl", "table for {} please"), ("golden.jsonl", "{} chairs, now")):
        rows = [
            {"prompt": asked.format(n * 7919), "completion": answer, "customer": f"c{n}"}
            for n in range(30)
        ]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "named_checks.py").write_text("def polite(case, output):\n    return True\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def write(folder: Path, **sections: Any) -> Path:
    content: dict[str, Any] = {
        "name": "desk",
        "base": "base",
        "task": {
            "output_schema": SCHEMA,
            "abstain": {"field": "intent", "value": "out_of_scope"},
        },
        "data": {"sources": ["rows.jsonl"], "group_field": "customer"},
        "evaluation": {
            "suites": [{"name": "golden", "file": "golden.jsonl"}],
            "gates": {
                "accuracy": ">= 0.9",
                "json_field.people": ">= 0.9",
                "golden.accuracy": ">= 0.9",
                "golden.token_f1": "> 0.5",
                "error_share": "<= 0.1",
                "over_abstention": "<= 0.1",
                "named_checks:polite": "<= 0.5",
            },
        },
        "bench": {"gates": {"first_token_p95_ms": "<= 800", "tokens_per_second_p50": ">= 5"}},
    }
    for section, values in sections.items():
        if isinstance(values, dict) and section in content:
            content[section] = {**content[section], **values}
        else:
            content[section] = values
    path = folder / "tuneloop.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def told(folder: Path, **sections: Any) -> list[str]:
    model_file = load(write(folder, **sections), environment={})
    return [names.line(model_file, one) for one in names.problems(model_file)]


def the_one(folder: Path, **sections: Any) -> str:
    (found,) = told(folder, **sections)
    return found


def test_nothing_is_said_of_what_is_there(folder: Path) -> None:
    assert told(folder) == []


@pytest.mark.parametrize(
    ("gate", "meant"),
    [
        ({"acuracy": ">= 0.9"}, "Did you mean 'accuracy'?"),
        ({"json_field.persons": ">= 0.9"}, "Did you mean 'json_field.people'?"),
        ({"gold.accuracy": ">= 0.9"}, "Did you mean 'golden.accuracy'?"),
        ({"named_checks:polit": ">= 0.9"}, "Did you mean named_checks:polite?"),
        ({"named_check:polite": ">= 0.9"}, "Did you mean 'named_checks'?"),
        ({"accuracy": "<= 0.9"}, 'higher is better. Did you mean ">= 0.9"?'),
        ({"golden.format": "< 0.9"}, 'higher is better. Did you mean "> 0.9"?'),
        ({"error_share": ">= 0.1"}, 'lower is better. Did you mean "<= 0.1"?'),
        ({"over_abstention": "> 0.1"}, 'lower is better. Did you mean "< 0.1"?'),
        ({"judge": ">= 0.8"}, "Add a `judge` section"),
    ],
)
def test_a_gate_on_nothing_or_the_wrong_way_round(
    folder: Path, gate: dict[str, str], meant: str
) -> None:
    found = the_one(folder, evaluation={"gates": gate})
    (key,) = gate
    line = write(folder, evaluation={"gates": gate}).read_text().splitlines()
    number = next(n for n, text in enumerate(line, 1) if text.strip().startswith(f"{key}:"))
    assert found.startswith(f"tuneloop.yaml:{number}: evaluation.gates.{key}: ")
    assert meant in found


def test_a_gate_on_abstention_needs_one_declared(folder: Path) -> None:
    gates = {"gates": {"abstention_recall": ">= 0.9"}}
    found = the_one(folder, task={"abstain": None}, evaluation=gates)
    assert "abstention_recall needs `task.abstain`" in found


def test_a_rubric_is_a_file_that_is_there(folder: Path) -> None:
    judge: dict[str, Any] = {"base_url": "http://127.0.0.1:1/v1", "model": "j"}
    judge["rubrics"] = {"tone": "tone.md"}
    said = told(folder, judge=judge)
    assert any("The rubric tone.md cannot be read" in line for line in said)
    (folder / "tone.md").write_text(" \n")
    assert any("The rubric tone.md says nothing" in line for line in told(folder, judge=judge))
    (folder / "tone.md").write_text("Kind, and never in a hurry.")
    gates = {"gates": {"judge.tone": ">= 0.9"}}
    assert told(folder, judge=judge, evaluation=gates) == []
    (wrong,) = told(folder, judge=judge, evaluation={"gates": {"judge.tune": ">= 0.9"}})
    assert "the judge has no rubric 'tune'" in wrong and "judge.tone" in wrong


def test_accuracy_of_prose_is_what_a_judge_says_and_never_a_match(folder: Path) -> None:
    prose = {"output_schema": None, "abstain": None, "kind": "prose"}
    said = the_one(folder, task=prose, evaluation={"gates": {"accuracy": ">= 0.9"}})
    assert "Gate 'accuracy' needs a judge" in said
    assert "chrf: better than base" in said
    judge = {"base_url": "http://127.0.0.1:1/v1", "model": "j"}
    gates = {"gates": {"accuracy": ">= 0.9", "chrf": "better than base"}}
    assert told(folder, task=prose, judge=judge, evaluation=gates) == []


def test_a_figure_of_the_whole_run_compares_no_cases(folder: Path) -> None:
    gates = {"gates": {"latency_p95_ms": "not worse than production"}}
    assert "it gives no case a score" in the_one(folder, evaluation=gates)


@pytest.mark.parametrize(
    "gate", ["json_field.people", "held-out.json_field.people", "golden.json_field.correct"]
)
def test_a_gate_on_a_field_needs_a_schema(folder: Path, gate: str) -> None:
    gates = {"gates": {gate: ">= 0.9"}}
    found = the_one(folder, task={"output_schema": None, "abstain": None}, evaluation=gates)
    assert "Fields are measured where `task.output_schema` declares them." in found


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        ({"file": "goldn.jsonl"}, "Did you mean {folder}/golden.jsonl?"),
        ({"file": "golden.csv"}, "golden.csv, line 2: expected 2 fields as in the header"),
        ({"file": "plain.jsonl"}, "is not a JSON object"),
        ({"file": "golden.jsonl", "name": "held-out"}, "taken by the dataset's own held-out rows"),
    ],
)
def test_a_suite_that_cannot_be_asked(folder: Path, suite: dict[str, str], says: str) -> None:
    (folder / "golden.csv").write_text("prompt,completion\nhow,so,much\n")
    (folder / "plain.jsonl").write_text('{"prompt": "how", "completion": "so"}\n')
    suites = [{"name": "golden", "file": "golden.jsonl"}, {"name": "more", **suite}]
    found = the_one(folder, evaluation={"suites": suites})
    assert "evaluation.suites.1." in found and says.format(folder=folder) in found


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"base": "./bas"}, "base: The base model ./bas does not exist"),
        ({"base": "package:no_such_thing"}, "no Python module 'no_such_thing' is installed"),
        ({"data": {"sources": ["row.jsonl"]}}, "Did you mean rows.jsonl?"),
        ({"data": {"group_field": "Customer"}}, "Did you mean 'customer'?"),
        (
            {"data": {"columns": {"prompt": "prompt", "answer": "completions"}}},
            "data.columns.answer: No row has a column 'completions'. Did you mean 'completion'?",
        ),
        (
            {"task": {"abstain": {"field": "intents", "value": "out_of_scope"}}},
            "no field 'intents'. Did you mean 'intent'?",
        ),
        (
            {"task": {"abstain": {"field": "intent", "value": "out-of-scope"}}},
            "allows no 'out-of-scope' in intent. Did you mean 'out_of_scope'?",
        ),
        ({"monitors": {"embedder": "./none"}}, "found no config.json"),
        ({"bench": {"gates": {"first_token_p95": "<= 8"}}}, "Did you mean 'first_token_p95_ms'?"),
        ({"bench": {"gates": {"latency_p95_ms": ">= 8"}}}, 'Did you mean "<= 8"?'),
    ],
)
def test_a_name_of_nothing(folder: Path, sections: dict[str, Any], says: str) -> None:
    assert says in the_one(folder, **sections)


@pytest.mark.parametrize(
    "task",
    [
        {"output_schema": {"properties": 5}, "same_values": {"people": {"ignore_case": True}}},
        {"output_schema": {"properties": {"intent": {"enum": 5}}}},
        {"output_schema": {"properties": 5}, "abstain": None},
        {"output_schema": {"properties": {"people": True, "intent": 5}}, "abstain": None},
    ],
)
def test_a_schema_that_is_none_is_told_by_its_own_check(folder: Path, task: dict[str, Any]) -> None:
    says = "The task's output schema is not a valid JSON Schema: 5 is"
    found = the_one(folder, task=task, evaluation={"suites": []})
    assert f"task.output_schema: {says}" in found
    assert all(says in one for one in told(folder, task=task)), "with a suite file as well"


def test_without_a_schema_the_abstention_is_looked_for_in_the_answers(folder: Path) -> None:
    plain = {"gates": {"accuracy": ">= 0.9"}}
    task = {"output_schema": None}
    assert told(folder, task=task, evaluation=plain) == []
    wrong = {**task, "abstain": {"field": "intnt", "value": "x"}}
    found = the_one(folder, task=wrong, evaluation=plain)
    assert "No answer is a JSON object with the field 'intnt'. Did you mean 'intent'?" in found


def test_a_column_that_only_the_last_row_has_is_a_column(folder: Path) -> None:
    with (folder / "rows.jsonl").open("a") as file:
        file.write('{"prompt": "last", "completion": "{}", "shop": "north"}\n')
    assert told(folder, data={"group_field": "shop"}) == []


def test_a_hub_that_cannot_be_asked_is_no_mistake_until_the_base_is_needed(folder: Path) -> None:
    path = write(folder, base="nobody-at-all/no-such-model")
    model_file = load(path, environment={})
    (found,) = names.problems(model_file)
    assert not found.certain and "the Hugging Face hub did not answer" in found.message
    with Loops(path) as loop:
        assert loop.prepare().rows_train
        with pytest.raises(BaseModelError, match="no-such-model is neither a file or folder here"):
            loop.train()


class Loops:
    """A loop that is closed again."""

    def __init__(self, path: Path) -> None:
        self._loop = Loop.open(path)

    def __enter__(self) -> Loop:
        return self._loop

    def __exit__(self, *_: object) -> None:
        self._loop.close()


def test_a_cycle_looks_names_up_once_and_another_file_is_looked_at_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[ModelFile] = []

    def looked(model_file: ModelFile) -> list[Problem]:
        looks.append(model_file)
        return []

    monkeypatch.setattr(names, "problems", looked)
    with Loops(write(folder)) as loop:
        names.check(loop.project, base=True)  # as a cycle, its dataset and its training ask
        names.check(loop.project)
        names.check(loop.project, base=True, rows=False)
        assert len(looks) == 1
        changed = loop.project.with_model_file(load(folder, environment={}))
        names.check(changed)
        names.check(changed, base=True)
        assert len(looks) == 3, "a look that asks for more is not covered by one that asked less"


def test_a_dataset_version_can_be_trained_on_when_its_files_are_gone(folder: Path) -> None:
    with Loops(write(folder)) as loop:
        made = loop.prepare()
    (folder / "rows.jsonl").unlink()
    with Loops(write(folder)) as loop:
        loop.check(base=True, rows=False)
        assert loop.dataset().digest == made.digest
        with pytest.raises(ModelFileError, match=r"no data file at .*rows\.jsonl"):
            loop.prepare()


WRONG = {
    "base": "./bas",
    "data": {"sources": ["row.jsonl"]},
    "evaluation": {"gates": {"acuracy": ">= 0.9", "error_share": ">= 0.1"}},
}
ALL_WRONG = ("base: ", "data.sources.0: ", "evaluation.gates.acuracy: ", "gates.error_share: ")


@pytest.mark.parametrize("do", ["prepare", "train", "run"])
def test_no_stage_begins_before_all_names_are_right(folder: Path, do: str) -> None:
    with Loops(write(folder, **WRONG)) as loop:
        with pytest.raises(ModelFileError) as caught:
            getattr(loop, do)()
        assert all(one in caught.value.message for one in ALL_WRONG)
        assert loop.dataset_versions() == []
        from tuneloop.retraining import cycles

        assert cycles.listing(loop.workspace, "desk") == [], "a cycle that never began"


@pytest.mark.parametrize("do", [["config", "check"], ["prepare"], ["train"], ["run"]])
def test_every_command_says_the_same_at_once(folder: Path, do: list[str]) -> None:
    write(folder, **WRONG)
    done = CliRunner().invoke(app, do)
    assert isinstance(done.exception, ModelFileError) and done.exception.exit_code == 2
    assert all(one in done.exception.message for one in ALL_WRONG)


def test_the_check_tells_of_wrong_values_and_names_together(folder: Path) -> None:
    path = write(folder, **WRONG, rollout={"guards": ["erors"]}, alerts={"urgent": ["golden"]})
    done = CliRunner().invoke(app, ["config", "check"])
    message = str(done.exception)
    assert message.startswith(f"{path} has mistakes:\n")
    assert all(one in message for one in ALL_WRONG)
    assert "found 'erors'. Did you mean 'errors'?" in message
    assert "found 'golden'. Did you mean 'golden_set'?" in message
    done = CliRunner().invoke(app, ["config", "check", "--json"])
    assert done.exit_code == 2
    found = json.loads(done.stdout)
    assert found["valid"] is False and len(found["mistakes"]) == 2
    assert {one["key"] for one in found["problems"]} == {
        "base",
        "data.sources.0",
        "evaluation.gates.acuracy",
        "evaluation.gates.error_share",
    }
    lines = path.read_text().splitlines()
    for one in found["problems"]:
        assert one["key"].split(".")[-1] in lines[one["line"] - 1] or one["key"] == "data.sources.0"


def test_a_file_that_is_right_is_valid(folder: Path) -> None:
    write(folder)
    assert "is valid: the model is desk." in CliRunner().invoke(app, ["config", "check"]).stdout
    found = json.loads(CliRunner().invoke(app, ["config", "check", "--json"]).stdout)
    assert found["valid"] is True and found["problems"] == []


@pytest.mark.process
def test_the_check_loads_no_model_library(folder: Path) -> None:
    path = write(folder)
    script = (
        "import sys; from pathlib import Path\n"
        "from tuneloop.modelfile import load; from tuneloop.setup import names\n"
        "assert names.problems(load(Path(sys.argv[1]))) == []\n"
        "print(sorted({'torch', 'transformers', 'trl'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
