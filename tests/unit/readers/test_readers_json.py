"""JSON in whatever arrangement: each row is read, or named, and a fault costs its own row."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop.errors import DataError
from tuneloop.readers import BadRow, RawRow, read_rows

LIMIT = 1_000_000
ROWS: list[dict[str, Any]] = [
    {"prompt": 'a "b" {[, \\', "completion": {"x": [1, {"y": None}], "z": "\n"}},
    {"messages": [{"role": "user", "content": "ü ]}"}, {"role": "assistant", "content": ""}]},
    {"prompt": "c", "completion": "d"},
]


def read(path: Path, limit: int = LIMIT) -> list[RawRow | BadRow]:
    return list(read_rows(path, max_row_bytes=limit))


def rows_of(text: str, folder: Path, limit: int = LIMIT) -> list[RawRow | BadRow]:
    (folder / "rows.json").write_text(text, "utf-8")
    return read(folder / "rows.json", limit)


def good(rows: list[RawRow | BadRow]) -> list[Any]:
    return [row.value for row in rows if isinstance(row, RawRow)]


def bad(rows: list[RawRow | BadRow]) -> dict[int, str]:
    return {row.line: row.reason for row in rows if isinstance(row, BadRow)}


def arrangements(rows: list[dict[str, Any]]) -> dict[str, str]:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return {
        "lines": "\n".join(lines),
        "lines with commas": ",\n".join(lines),
        "array": json.dumps(rows),
        "indented array": json.dumps(rows, indent=2),
        "array of lines": "[\n" + ",\n".join(lines) + "\n]\n",
        "commas first": "[\n  " + "\n, ".join(lines) + "\n]",
        "indented objects": "\n".join(json.dumps(row, indent=4) for row in rows),
        "objects with commas": ",\n".join(json.dumps(row, indent=1) for row in rows),
        "objects on one line": " ".join(lines),
        "in an object": json.dumps({"version": "1.1", "data": rows}),
        "in an indented object": json.dumps({"about": ["x"], "rows": rows, "n": 3}, indent=2),
        "in a split": json.dumps({"train": rows, "test": rows[:1]}, indent=2),
        "under its only key": json.dumps({"tickets": rows}),
    }


@pytest.mark.parametrize("arrangement", arrangements(ROWS))
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_every_arrangement_holds_the_same_rows(
    arrangement: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_text(arrangements(ROWS)[arrangement], "utf-8")
    rows = read(path)
    assert good(rows) == ROWS
    assert [row.line for row in rows] == sorted({row.line for row in rows})


def test_a_row_stands_where_it_begins_or_has_its_number(tmp_path: Path) -> None:
    starts = {
        "indented array": [2, 14, 26],
        "array of lines": [2, 3, 4],
        "array": [1, 2, 3],
        "in an object": [1, 2, 3],
    }
    for arrangement, lines in starts.items():
        text = arrangements(ROWS)[arrangement]
        assert [row.line for row in rows_of(text, tmp_path)] == lines
        if arrangement == "indented array":
            assert all(text.split("\n")[line - 1].strip() == "{" for line in lines)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": ROWS[1]["messages"]},
        {"prompt": "a", "completion": "b", "tools": [{"name": "t"}, {"name": "u"}]},
        {"data": "text", "label": "x"},
        {
            "chosen": [{"role": "user", "content": "x"}],
            "rejected": [{"role": "user", "content": "y"}],
        },
    ],
)
def test_one_row_is_a_row(row: dict[str, Any], tmp_path: Path) -> None:
    for indent in (None, 2):
        assert good(rows_of(json.dumps(row, indent=indent), tmp_path)) == [row]


@pytest.mark.parametrize(
    "damage",
    [
        ('"c"', '"c'),
        ('"c"', "c"),
        ('"c"', "NaN"),
        ('"c"', ""),
        ('"completion": "d"', '"completion" "d"'),
        ('"d"', '"d"}'),
        ('"d"', '"d"]'),
        ('"d"', '["d"'),
        ('"d"', '{"d": 1'),
    ],
)
@pytest.mark.parametrize(
    "arrangement",
    ["lines", "indented array", "array of lines", "indented objects", "in an indented object"],
)
def test_a_fault_costs_its_own_row(
    arrangement: str, damage: tuple[str, str], tmp_path: Path
) -> None:
    rows = [ROWS[0], ROWS[2], ROWS[1], ROWS[0], ROWS[1]]
    text = arrangements(rows)[arrangement]
    assert text.count(damage[0]) == 1
    begun = [row.line for row in rows_of(text, tmp_path)]
    found = rows_of(text.replace(*damage), tmp_path)
    assert [row for row in good(found) if row != ROWS[2]] == [*(ROWS[0], ROWS[1], ROWS[0], ROWS[1])]
    assert {row.line for row in found if isinstance(row, RawRow)} <= set(begun)
    assert begun[1] in bad(found) or ROWS[2] in good(found)
    assert bad(found) and set(bad(found).values()) == {"bad_json"}
    assert set(bad(found)) <= set(range(begun[1], begun[2]))


def test_a_fault_in_an_array_on_one_line_costs_its_own_row(tmp_path: Path) -> None:
    rows = [{"prompt": str(number), "completion": "b"} for number in range(5)]
    text = json.dumps(rows)
    for damaged in (
        text.replace('"2"', '"2'),
        text.replace('"2"', "NaN"),
        text.replace('"2"', "{"),
    ):
        found = rows_of(damaged, tmp_path)
        assert good(found) == [*rows[:2], *rows[3:]] and bad(found) == {3: "bad_json"}


def test_a_file_that_was_cut_off_says_so(tmp_path: Path) -> None:
    text = arrangements(ROWS)["indented array"]
    at = text.index('"c"')
    found = rows_of(text[: at + 1], tmp_path)
    assert good(found) == ROWS[:2] and bad(found)[26] == "bad_json"
    found = rows_of(text[: text.index("},\n  {") + 2], tmp_path)
    assert good(found) == ROWS[:1] and set(bad(found).values()) == {"bad_json"}
    found = rows_of("[\n", tmp_path)
    assert [row.detail for row in found if isinstance(row, BadRow)] == [
        "not valid JSON: the file ends before its array does; it may have been cut off"
    ]


def test_what_follows_an_array_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    found = rows_of(json.dumps(ROWS, indent=2) + "\n" + json.dumps(ROWS), tmp_path)
    assert good(found) == ROWS and len(bad(found)) == 1


def test_what_is_no_object_is_named(tmp_path: Path) -> None:
    found = rows_of('[1, "a,]", null,\n[2, [3]], {"prompt": "a"}, true]', tmp_path)
    assert good(found) == [{"prompt": "a"}]
    assert [row.reason for row in found if isinstance(row, BadRow)] == ["not_an_object"] * 5


@pytest.mark.parametrize(
    "value",
    [{"prompt": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}, {"a": ["b"], "c": ["d"]}],
)
def test_columns_are_refused_with_the_command_that_writes_rows(
    value: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="holds one object of columns") as caught:
        rows_of(json.dumps(value), tmp_path)
    assert 'orient="records"' in caught.value.remedy


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_large_array_is_never_in_memory(
    wrapped: bool, indent: int | None, tmp_path: Path
) -> None:
    rows = [{"prompt": "x" * 900, "completion": str(number)} for number in range(20_000)]
    rows[7]["prompt"] = "y" * 3_000_000
    value = {"about": "me", "unlike": [{"a": 1}], "data": rows} if wrapped else rows
    (tmp_path / "rows.json").write_text(json.dumps(value, indent=indent))
    count = 0
    tracemalloc.start()
    for row in read_rows(tmp_path / "rows.json", max_row_bytes=100_000):
        count += 1
        if count == 8:
            assert (
                isinstance(row, BadRow) and row.reason == "row_too_large" and "3,000" in row.detail
            )
        else:
            assert isinstance(row, RawRow) and row.value["completion"] == str(count - 1)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000 and peak_bytes < 4_000_000


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.sampled_from('a"\\{}[],\n: é'), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.sampled_from('ab"}'), max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.lists(
    st.fixed_dictionaries({"prompt": st.text(max_size=5), "x": VALUES}), min_size=2, max_size=4
)


@given(OBJECTS, st.sampled_from(list(arrangements(ROWS))))
@settings(max_examples=200, deadline=None)
def test_what_json_can_write_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], arrangement: str
) -> None:
    assert good(rows_of(arrangements(rows)[arrangement], tmp_path_factory.mktemp("json"))) == rows


@given(OBJECTS, st.sampled_from([None, 2]), st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_byte_changes_no_other_row(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    indent: int | None,
    data: st.DataObject,
) -> None:
    texts = [json.dumps(row, indent=indent) for row in rows]
    lines = [1 + sum(text.count("\n") + 1 for text in texts[:n]) for n in range(len(texts))]
    which = data.draw(st.integers(0, len(rows) - 1))
    at = data.draw(st.integers(1, len(texts[which]) - 1))
    texts[which] = texts[which][:at] + data.draw(st.sampled_from('"{}[],')) + texts[which][at:]
    found = rows_of("\n".join(texts), tmp_path_factory.mktemp("json"))
    read = {row.line: row.value for row in found if isinstance(row, RawRow)}
    for n, (line, row) in enumerate(zip(lines, rows, strict=True)):
        assert n == which or read[line] == row
