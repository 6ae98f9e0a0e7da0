"""Spreadsheets: a sheet is read as its CSV would be, by the rows and numbers that people see."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tuneloop.datasets.sources import find_sources
from tuneloop.errors import DataError
from tuneloop.readers import BadRow, RawRow, read_rows
from tuneloop.readers.sheets import sheet_read


def write(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def read(path: Path) -> list[RawRow | BadRow]:
    return list(read_rows(path, max_row_bytes=1_000))


def values(path: Path) -> list[dict[str, Any]]:
    rows = read(path)
    assert all(isinstance(row, RawRow) for row in rows), rows
    return [row.value for row in rows if isinstance(row, RawRow)]


def test_cells_are_texts_as_people_see_them(tmp_path: Path) -> None:
    cells = {
        "5": 5,
        "5.25": 5.25,
        "0.3": 0.1 + 0.2,
        "-7": -7.0,
        "TRUE": True,
        "2026-01-31": dt.date(2026, 1, 31),
        "2026-01-31T09:30:00": dt.datetime(2026, 1, 31, 9, 30),
        "09:30:00": dt.time(9, 30),
        "30:05:00": dt.timedelta(hours=30, minutes=5),
        " ü, 007 ": " ü, 007 ",
    }
    rows = [["prompt", "completion"], *([text, cell] for text, cell in cells.items())]
    path = write(tmp_path / "rows.xlsx", {"Rows": rows})
    assert [row["completion"] for row in values(path)] == list(cells)


def test_the_row_number_is_that_of_the_sheet_and_blank_rows_are_none(tmp_path: Path) -> None:
    rows = [[], [None, "prompt", "completion"], [1, "a", "b"], [], [2, "c", None], [3, "x" * 2_000]]
    found = read(write(tmp_path / "rows.xlsx", {"Rows": rows}))
    assert [row.line for row in found] == [3, 5, 6]
    assert [row.value for row in found if isinstance(row, RawRow)] == [
        {"prompt": "a", "completion": "b"},
        {"prompt": "c", "completion": None},
    ]
    assert isinstance(found[2], BadRow) and found[2].reason == "row_too_large"


def test_the_first_sheet_with_rows_is_read_or_the_one_that_is_named(tmp_path: Path) -> None:
    header = ["prompt", "completion"]
    path = write(
        tmp_path / "sales.xlsx",
        {
            "Empty": [],
            "Headed": [header],
            "May": [header, ["a", "b"]],
            "June 1": [header, ["c", "d"]],
        },
    )
    assert values(path) == [{"prompt": "a", "completion": "b"}]
    assert sheet_read(path) == "sheet 'May' of 4"
    (source,) = find_sources(tmp_path, ["sales.xlsx#june 1"])
    assert source.name == "sales.xlsx#june 1" and len(source.digest()) == 64
    assert values(source.path) == [{"prompt": "c", "completion": "d"}]
    assert sheet_read(source.path) == ""
    with pytest.raises(DataError, match="has no sheet 'Mai'") as caught:
        read(tmp_path / "sales.xlsx#Mai")
    assert "Did you mean 'May'?" in caught.value.remedy


def test_a_header_that_names_a_column_twice_says_where(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.xlsx", {"Rows": [[], ["a", "a"], ["b", "c"]]})
    with pytest.raises(DataError, match="sheet 'Rows', row 2: the column 'a' stands twice"):
        read(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut off", b"no sheet"])
@pytest.mark.parametrize("ending", ["xlsx", "xls", "ods"])
def test_a_damaged_file_says_so(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a readable spreadsheet"):
        read(path)
    with pytest.raises(DataError, match="There is no data file"):
        read(tmp_path / f"none.{ending}#Sheet")
