"""CSV and TSV with a header line; a field in quotes may span lines."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tuneloop.errors import DataError
from tuneloop.readers.encoding import UTF_8, text_encoding
from tuneloop.readers.header import Header, read_header
from tuneloop.readers.lines import Line, decoded, open_lines
from tuneloop.readers.packed import unpacked_name
from tuneloop.readers.records import Record, Records, Style
from tuneloop.readers.rows import BadRow, RawRow

_DELIMITERS = ",;\t|"
_HEAD_LINES = 64
_HEAD_BYTES = 1 << 20
_DECLARED = re.compile(r'"?sep=(.)"?\1*', re.IGNORECASE)
"""What Excel writes into the first line of a file for itself."""


def read_delimited(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every record after the header; values are texts, and None where a field is empty.

    The separator is the one by which the first records have as many fields as the header. A file
    that is no UTF-8 is read as Windows-1252 where it is plainly that, see `encoding`.

    Raises:
        DataError: the header cannot be read, names a column twice, or lacks the name of one that
            holds something.
    """
    with open_lines(path, max_row_bytes, western=True) as lines:
        head = _read_head(path, lines, max_row_bytes)
        if head is None:
            return
        records = Records(chain(head.lines, lines), head.delimiter, max_row_bytes)
        records.pass_over(head.header, style=_style(head, max_row_bytes))
        for record in records:
            if isinstance(record, BadRow):
                yield record
            else:
                yield head.header.row(record.line, record.fields)


def how_delimited(path: Path, max_row_bytes: int) -> str:
    """How a file is read, where that is not a matter of course; else nothing.

    Raises:
        DataError: as `read_delimited` does.
    """
    encoding = text_encoding(path, western=True)
    said = [] if encoding == UTF_8 else [f"{encoding} text"]
    with open_lines(path, max_row_bytes, western=True) as lines:
        head = _read_head(path, lines, max_row_bytes)
    if head is not None and head.header.index_columns:
        said.append("without its first column, which numbers the rows")
    return ", ".join(said)


@dataclass(frozen=True)
class _Head:
    """The header, and what has to be read again after it."""

    lines: Sequence[Line]
    delimiter: str
    header: Header


def _read_head(path: Path, lines: Iterator[Line], max_row_bytes: int) -> _Head | None:
    """None for a file without a line."""
    head = _head(lines)
    delimiter = _declared_delimiter(head)
    if delimiter is not None:
        head = head[1:]
    else:
        delimiter = _likeliest_delimiter(path, head, max_row_bytes)
    first = list(Records(iter(head), delimiter, max_row_bytes))
    return _Head(head, delimiter, _header(path, first[0], first[1:])) if first else None


def _style(head: _Head, max_row_bytes: int) -> Style:
    """How quotes are used in the first rows, so that no row is judged before any other."""
    records = Records(iter(head.lines), head.delimiter, max_row_bytes)
    records.pass_over(head.header)
    deque(records, maxlen=0)
    return records.style


def _head(lines: Iterator[Line]) -> list[Line]:
    head: list[Line] = []
    size_bytes = 0
    while len(head) < _HEAD_LINES and size_bytes < _HEAD_BYTES:
        line = next(lines, None)
        if line is None:
            break
        head.append(line)
        size_bytes += len(line.content)
    return head


def _declared_delimiter(head: Sequence[Line]) -> str | None:
    first = decoded(head[0]) if head else ""
    declared = _DECLARED.fullmatch(first) if isinstance(first, str) else None
    return declared.group(1) if declared else None


def _likeliest_delimiter(path: Path, head: Sequence[Line], max_row_bytes: int) -> str:
    """The separator by which most of the first records have as many fields as the header."""
    candidates = _DELIMITERS
    if unpacked_name(path).suffix.lower() == ".tsv":
        candidates = "\t" + candidates.replace("\t", "")

    def likelihood(delimiter: str) -> tuple[bool, float, int]:
        records = list(Records(iter(head), delimiter, max_row_bytes))
        header = records[0] if records else None
        if not isinstance(header, Record):
            return (False, 0.0, 0)
        width = len(header.fields)
        rows = records[1:]
        fits = sum(isinstance(row, Record) and len(row.fields) == width for row in rows)
        return (width > 1, fits / len(rows) if rows else 0.0, width)

    return max(candidates, key=likelihood)


def _header(path: Path, header: Record | BadRow, rows: Sequence[Record | BadRow]) -> Header:
    if isinstance(header, BadRow):
        raise DataError(
            f"{path}, line {header.line}: the header cannot be read: {header.detail}.",
            remedy="The first line must name the columns, in UTF-8.",
        )
    place = f"{path}, line {header.line}"
    return read_header(place, header.fields, [r.fields for r in rows if isinstance(r, Record)])
