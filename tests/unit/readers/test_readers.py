"""Readers: whatever a file holds, each row is read or named with its line and reason."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bad_input import BAD_DATA_FILES, good_row, one_huge_row
from tuneloop.errors import DataError
from tuneloop.readers import BadRow, RawRow, read_rows

LIMIT = 1_000_000


def read(path: Path, limit: int = LIMIT) -> list[RawRow | BadRow]:
    return list(read_rows(path, max_row_bytes=limit))


def bad(path: Path, limit: int = LIMIT) -> dict[int, str]:
    return {row.line: row.reason for row in read(path, limit) if isinstance(row, BadRow)}


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "There is no data file at"),
        ("folder", "holds no data file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_message(
    kind: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read(BAD_DATA_FILES[kind](tmp_path))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "expected", "good"),
    [
        ("empty", {}, 0),
        ("blank lines", {}, 0),
        ("latin-1", {2: "not_utf8"}, 2),
        ("nul bytes", {2: "nul_byte", 4: "nul_byte"}, 2),
        ("huge row", {2: "row_too_large"}, 2),
        # JSON of any shape is the reader's; what it means is for the forms to say.
        (
            "only bad rows",
            dict.fromkeys((1, 2), "bad_json") | dict.fromkeys((3, 4), "not_an_object"),
            4,
        ),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(
    kind: str, expected: dict[int, str], good: int, tmp_path: Path
) -> None:
    rows = read(BAD_DATA_FILES[kind](tmp_path))
    assert {row.line: row.reason for row in rows if isinstance(row, BadRow)} == expected
    assert sum(isinstance(row, RawRow) for row in rows) == good


def test_a_row_of_50_mb_is_never_in_memory(tmp_path: Path) -> None:
    path = one_huge_row(tmp_path, megabytes=50)
    tracemalloc.start()
    rows = read(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 6 * LIMIT
    assert isinstance(rows[1], BadRow)
    assert "50," in rows[1].detail, "the message says how large it is"
    assert rows[1].excerpt.startswith('{"messages"'), "and how it begins"


def test_latin1_shows_what_was_meant(tmp_path: Path) -> None:
    found = [row for row in read(BAD_DATA_FILES["latin-1"](tmp_path)) if isinstance(row, BadRow)]
    assert "Gerät" in found[0].excerpt
    assert "0xe4" in found[0].detail


def test_byte_order_mark_and_windows_line_ends_are_not_content(tmp_path: Path) -> None:
    lines = f"{good_row('one')}\r\n\r\n{good_row('two')}\r\n"
    rows = read(written(tmp_path / "windows.jsonl", b"\xef\xbb\xbf" + lines.encode()))
    assert [row.line for row in rows] == [1, 3]
    assert all(isinstance(row, RawRow) for row in rows)


def test_utf16_with_its_mark_is_read(tmp_path: Path) -> None:
    rows = read(BAD_DATA_FILES["utf-16"](tmp_path))
    assert [row.line for row in rows if isinstance(row, RawRow)] == [1, 2, 3]


def test_utf16_without_a_mark_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="UTF-16"):
        read(written(tmp_path / "rows.jsonl", good_row().encode("utf-16-le")))


def test_numbers_that_are_not_json_and_endless_nesting_are_bad_rows(tmp_path: Path) -> None:
    text = f'{{"a": NaN}}\n{"[" * 200_000}\n{{"a": {"9" * 5_000}}}\n{good_row()}\n'
    found = bad(written(tmp_path / "rows.jsonl", text))
    assert found == {1: "bad_json", 2: "bad_json", 3: "bad_json"}


def test_packed_files_are_read_and_broken_ones_told(tmp_path: Path) -> None:
    packed = gzip.compress(f"{good_row()}\n".encode() * 50)
    assert len(read(written(tmp_path / "rows.jsonl.gz", packed))) == 50
    for damaged in (packed[:-9], b"no gzip"):
        with pytest.raises(DataError, match="cannot be unpacked"):
            read(written(tmp_path / "broken.jsonl.gz", damaged))


def test_what_a_file_is_counts_before_its_name(tmp_path: Path) -> None:
    text = f"{good_row()}\n".encode() * 50
    zstd = pa.compress(text, "zstd", asbytes=True)
    for packed in (gzip.compress(text), bz2.compress(text), lzma.compress(text), zstd):
        assert len(read(written(tmp_path / "rows.jsonl", packed))) == 50
    for content, says in ((b"PK\x03\x04\0", "a spreadsheet"), (b"PAR1\0", "a Parquet file")):
        with pytest.raises(DataError, match=f"is {says}.*, whatever its name says"):
            read(written(tmp_path / "rows.csv", content))


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'\.docx' are not known") as caught:
        read(written(tmp_path / "rows.docx", b"PK"))
    assert ".csv" in caught.value.remedy


def test_csv_lines_are_counted_through_quoted_line_breaks(tmp_path: Path) -> None:
    text = 'text,label\r\n"one\r\nmore",a\r\n\r\nplain,b\r\n"said ""so"", twice",c\r\n'
    rows = read(written(tmp_path / "rows.csv", text))
    assert [(row.line, row.value["label"]) for row in rows if isinstance(row, RawRow)] == [
        (2, "a"),
        (5, "b"),
        (6, "c"),
    ]


def test_one_open_quote_costs_one_row(tmp_path: Path) -> None:
    text = 'text,label\nfirst,a\n"never closed,b\nthird,c\nfourth,d\n'
    path = written(tmp_path / "rows.csv", text)
    assert bad(path) == {3: "bad_csv"}
    assert [row.line for row in read(path) if isinstance(row, RawRow)] == [2, 4, 5]


def test_an_inch_sign_is_no_quote(tmp_path: Path) -> None:
    rows = read(written(tmp_path / "rows.csv", 'text,label\nthe 5" pipe,a\nthe 6" pipe,b\n'))
    assert [row.value["text"] for row in rows if isinstance(row, RawRow)] == [
        'the 5" pipe',
        'the 6" pipe',
    ]


def test_csv_faults_have_their_reasons(tmp_path: Path) -> None:
    text = (
        "text;label\nöк;a\n".encode()
        + b"too;many;fields\nonly\nnul\0;a\nb\xe4d;a\n"
        + b"x" * 2_000
        + b";a\nok;b\n"
    )
    assert bad(written(tmp_path / "rows.csv", text), limit=1_000) == {
        3: "wrong_column_count",
        4: "wrong_column_count",
        5: "nul_byte",
        6: "not_utf8",
        7: "row_too_large",
    }


@pytest.mark.parametrize("header", ["text,text", "text,", "\udce4,label"])
def test_a_csv_header_must_name_columns(header: str, tmp_path: Path) -> None:
    raw = header.encode("utf-8", "surrogateescape") + "\nä,b\n".encode()
    with pytest.raises(DataError, match="header"):
        read(written(tmp_path / "rows.csv", raw))


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r")),
            min_size=2,
            max_size=2,
        ).filter(lambda fields: any(field.strip() for field in fields)),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_csv_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[str]]
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["text", "label"])
    lines = []
    for record in records:
        lines.append(buffer.getvalue().count("\n") + 1)
        writer.writerow(record)
    path = written(tmp_path_factory.mktemp("csv") / "rows.csv", buffer.getvalue())
    rows = read(path)
    assert [row.line for row in rows] == lines
    assert [list(row.value.values()) for row in rows if isinstance(row, RawRow)] == records


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_no_bytes_bring_a_reader_down(
    tmp_path_factory: pytest.TempPathFactory, ending: str, content: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("any") / f"rows.{ending}", content)
    try:
        rows = read(path, limit=100)
    except DataError:
        return
    assert [row.line for row in rows] == sorted({row.line for row in rows})


def test_parquet_rows_over_the_limit_and_broken_files(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"prompt": ["a", "b" * 500, "c"], "completion": ["x", "y", "z"]}), path)
    assert bad(path, limit=400) == {2: "row_too_large"}
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read(path)


def test_a_saved_dataset_is_read_as_its_library_wrote_it(tmp_path: Path) -> None:
    datasets: Any = pytest.importorskip("datasets")
    rows = [{"prompt": f"question {n}", "completion": "yes"} for n in range(5)]
    split = datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)})
    split.save_to_disk(tmp_path / "saved")
    found = read(tmp_path / "saved")
    assert [row.value for row in found if isinstance(row, RawRow)] == rows
    datasets.DatasetDict({"test": split["train"]}).save_to_disk(tmp_path / "untrained")
    with pytest.raises(DataError, match="none called train"):
        read(tmp_path / "untrained")


def test_the_state_of_a_saved_dataset_cannot_lead_outside(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "../secret.arrow"}]})
    )
    with pytest.raises(DataError, match="outside its folder"):
        read(tmp_path)
