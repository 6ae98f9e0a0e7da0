"""The file of a suite, changed a row at a time; every other byte of it stays as it is."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneloop.errors import DataError, UsageError
from tuneloop.evaluation.suites import MAX_ROW_BYTES
from tuneloop.readers import BadRow, RawRow, read_rows

LINES = (".jsonl", ".ndjson")
"""Files that hold a row a line, to which one can be added."""


def rows_in(path: Path) -> list[RawRow]:
    """The rows of a file with their lines; none where it is empty or not there.

    Raises:
        DataError: it cannot be read.
        UsageError: a line of it is no row.
    """
    if not path.exists() or not path.stat().st_size:
        return []
    rows = []
    for row in read_rows(path, max_row_bytes=MAX_ROW_BYTES):
        if isinstance(row, BadRow):
            raise UsageError(f"{path.name}, line {row.line}: {row.detail}.")
        rows.append(row)
    return rows


def begin(path: Path) -> None:
    """Make an empty file for rows to come.

    Raises:
        UsageError: no row could be added to a file of this name.
        OSError: it cannot be written.
    """
    _check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def add_row(path: Path, row: Mapping[str, Any]) -> int:
    """Write a row to the end of a file, which is made if need be; returns its line.

    Raises:
        UsageError: the file does not hold a row a line, in UTF-8.
        OSError: it cannot be written.
    """
    _check_ending(path)
    before = path.read_bytes() if path.exists() else b""
    if before.strip() and not before.endswith(b"\n"):
        before += b"\n"
    line = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    _replace(path, before + line, rows=len(rows_in(path)) + 1)
    return before.count(b"\n") + 1


def remove_line(path: Path, line: int) -> None:
    """Take out the row that stands on a line, from 1.

    Raises:
        UsageError: the file does not hold a row a line, in UTF-8.
        OSError: it cannot be written.
    """
    _check_ending(path)
    lines = path.read_bytes().splitlines(keepends=True)
    left = b"".join(lines[: line - 1] + lines[line:])
    _replace(path, left, rows=len(rows_in(path)) - 1)


def _check_ending(path: Path) -> None:
    if path.suffix.lower() not in LINES:
        raise _not_lines(path)


def _replace(path: Path, content: bytes, *, rows: int) -> None:
    """Put a new content in the file's place, once it is seen to hold so many rows."""
    target = path.resolve()  # A link stays one.
    partial = target.with_name(f".{target.stem}.{uuid.uuid4().hex}{target.suffix}")
    try:
        partial.write_bytes(content)
        try:
            whole = len(rows_in(partial)) == rows
        except (DataError, UsageError):
            whole = False
        if not whole:
            raise _not_lines(path)
        if target.exists():
            shutil.copymode(target, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _not_lines(path: Path) -> UsageError:
    return UsageError(
        f"{path.name} does not hold a row a line, as JSON Lines in UTF-8, so that none can be "
        "added or removed here.",
        remedy="Edit the file yourself; or name a .jsonl file under `evaluation.suites`.",
    )
