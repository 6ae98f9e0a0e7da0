"""Spreadsheets: Excel (`.xlsx`, `.xlsm`, `.xlsb`, `.xls`) and OpenDocument (`.ods`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tuneloop.errors import DataError, require
from tuneloop.nearest import did_you_mean
from tuneloop.readers.header import read_header
from tuneloop.readers.rows import BadRow, RawRow, excerpt, too_large

SHEET_ENDINGS = ("xlsx", "xlsm", "xlsb", "xls", "ods")
_WITH_SHEET = re.compile(rf"(.+\.(?:{'|'.join(SHEET_ENDINGS)}))#(.+)", re.IGNORECASE)
_HEAD_ROWS = 64
_WHOLE = 1e15
"""Whole numbers below are written without an exponent."""


def parted(path: Path) -> tuple[Path, str | None]:
    """The file and the sheet that a path names: `sales.xlsx#May` → `sales.xlsx`, `May`."""
    named = _WITH_SHEET.fullmatch(path.name)
    if named is None or path.exists():
        return path, None
    return path.with_name(named.group(1)), named.group(2)


def read_sheet(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row below the header of a sheet: the one named after `#`, else the first with rows.

    Values are texts as the sheet shows them, dates and times as ISO 8601; an empty cell is None, a
    formula its last value. `line` is the row's number in the sheet.

    Raises:
        DataError: the file is none of these, or damaged; there is no such sheet; the header names a
            column twice, or not.
    """
    file, name = parted(path)
    workbook = _workbook(file)
    sheet = _named(file, workbook, name) if name is not None else _first_with_rows(workbook)
    if sheet is None:
        return
    rows = (
        (number, cells)
        for number, row in enumerate(sheet.iter_rows(), start=1)
        if any(cells := [_text(value) for value in row])
    )
    number, names = next(rows, (0, []))
    if not names:
        return
    head = list(islice(rows, _HEAD_ROWS))
    header = read_header(f"{file}, sheet {sheet.name!r}, row {number}", names, [r for _, r in head])
    for number, cells in chain(head, rows):
        size_bytes = sum(len(cell.encode("utf-8", "replace")) for cell in cells if cell)
        if size_bytes > max_row_bytes:
            shown = excerpt(", ".join(filter(None, cells)))
            yield too_large(number, size_bytes, max_row_bytes, shown)
        else:
            yield header.row(number, cells)


def sheet_read(path: Path) -> str:
    """What is said of the sheet that was taken, where there are several; else nothing."""
    file, name = parted(path)
    workbook = _workbook(file)
    others = len(_visible(workbook)) - 1
    sheet = None if name is not None or not others else _first_with_rows(workbook)
    return f"sheet {sheet.name!r} of {others + 1}" if sheet is not None else ""


def _workbook(file: Path) -> Any:
    calamine = require("python_calamine", extra="data")
    if not file.exists():
        raise DataError(
            f"There is no data file at {file}.", remedy="Check `data.sources` in the model file."
        )
    try:
        return calamine.CalamineWorkbook.from_path(str(file))
    except OSError as e:
        raise DataError(f"{file} cannot be read: {e.strerror or e}.") from e
    except calamine.PasswordError as e:
        raise DataError(f"{file} is protected by a password.", remedy="Save it without one.") from e
    except calamine.CalamineError as e:
        raise DataError(
            f"{file} is not a readable spreadsheet: {e}.",
            remedy="Save it again as .xlsx, or as CSV UTF-8.",
        ) from e


def _visible(workbook: Any) -> list[str]:
    kinds = require("python_calamine", extra="data")
    return [
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.typ == kinds.SheetTypeEnum.WorkSheet
        and sheet.visible == kinds.SheetVisibleEnum.Visible
    ]


def _first_with_rows(workbook: Any) -> Any:
    """The first sheet with more than a header; None where there is none."""
    for name in _visible(workbook):
        sheet = workbook.get_sheet_by_name(name)
        filled = (row for row in sheet.iter_rows() if any(value != "" for value in row))
        if len(list(islice(filled, 2))) == 2:
            return sheet
    return None


def _named(file: Path, workbook: Any, name: str) -> Any:
    same = [known for known in workbook.sheet_names if known.casefold() == name.casefold()]
    if not same:
        raise DataError(
            f"{file} has no sheet {name!r}.", remedy=did_you_mean(name, workbook.sheet_names)
        )
    return workbook.get_sheet_by_name(same[0])


def _text(value: Any) -> str | None:
    """A cell as people see it, but for its number format."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else repr(value)
    if isinstance(value, timedelta):
        minutes, seconds = divmod(int(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return None if value is None else str(value)
