"""CSV and TSV with a header line; a field in quotes may span lines."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuneloop.errors import DataError
from tuneloop.readers.lines import Line, beginning, decoded, open_lines
from tuneloop.readers.rows import BadRow, RawRow, excerpt, too_large

_DELIMITERS = ",;\t|"


def read_delimited(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every record after the header; values are texts.

    Raises:
        DataError: the header is missing, or names a column twice or not at all.
    """
    # The module's limit is for the whole process; ours is by row and comes first.
    csv.field_size_limit(max(csv.field_size_limit(), max_row_bytes + 1))
    with open_lines(path, max_row_bytes) as lines:
        records = _Records(lines, max_row_bytes)
        header = next(records, None)
        if header is None:
            return
        columns = _columns(path, header)
        for record in records:
            yield record if isinstance(record, BadRow) else _row(columns, record)


@dataclass(frozen=True)
class _Record:
    """The fields of one record and the line on which it starts."""

    line: int
    fields: Sequence[str]


class _Records:
    """Records, each parsed on its own, so that one broken quote costs one line and not the file."""

    def __init__(self, lines: Iterator[Line], max_row_bytes: int) -> None:
        self._lines = lines
        self._max_row_bytes = max_row_bytes
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self._fault: BadRow | None = None
        self._delimiter: str | None = None

    def __iter__(self) -> _Records:
        return self

    def __next__(self) -> _Record | BadRow:
        first = self._next_line()
        while not first.too_large and not first.content.strip():
            first = self._next_line()
        if first.too_large:
            return too_large(first.number, first.size_bytes, self._max_row_bytes, beginning(first))
        if self._delimiter is None:
            header = first.content.decode("utf-8", "replace")
            self._delimiter = max(_DELIMITERS, key=header.count)
        return self._parse(first)

    def _parse(self, first: Line) -> _Record | BadRow:
        self._taken, self._fault = [], None
        reader = csv.reader(self._feed(first), delimiter=self._delimiter or ",", strict=True)
        try:
            fields = next(reader)
        except (csv.Error, _TooLargeError) as e:
            spans_lines = bool(self._taken)
            self._again.extendleft(reversed(self._taken))
            where = "a quote that opens here is not closed: " if spans_lines else ""
            return BadRow(
                line=first.number,
                reason="bad_csv",
                detail=f"not valid CSV: {where}{e}",
                excerpt=beginning(first),
            )
        if self._fault is not None:
            return replace(self._fault, line=first.number)
        return _Record(first.number, fields)

    def _feed(self, first: Line) -> Iterator[str]:
        size_bytes = first.size_bytes
        yield self._text(first)
        while (line := self._next_line_or_none()) is not None:
            self._taken.append(line)
            size_bytes += line.size_bytes + 1
            if size_bytes > self._max_row_bytes:
                raise _TooLargeError(f"the record passes {self._max_row_bytes:,} bytes")
            yield self._text(line)

    def _text(self, line: Line) -> str:
        """The line's text; a fault is kept for later, and the record still read to its end."""
        text = decoded(line)
        if isinstance(text, BadRow):
            self._fault = self._fault or text
            text = line.content.decode("utf-8", "replace").replace("\0", "")
        return text + "\n"

    def _next_line(self) -> Line:
        return self._again.popleft() if self._again else next(self._lines)

    def _next_line_or_none(self) -> Line | None:
        try:
            return self._next_line()
        except StopIteration:
            return None


class _TooLargeError(Exception):
    """A record over the limit."""


def _columns(path: Path, header: _Record | BadRow) -> list[str]:
    if isinstance(header, BadRow):
        raise DataError(
            f"{path}, line {header.line}: the header cannot be read: {header.detail}.",
            remedy="The first line must name the columns, in UTF-8.",
        )
    columns = [name.strip() for name in header.fields]
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated or not all(columns):
        fault = f"the column {repeated[0]!r} stands twice" if repeated else "a column has no name"
        raise DataError(
            f"{path}, line {header.line}: {fault} in the header.",
            remedy="The first line must give every column its own name.",
        )
    return columns


def _row(columns: list[str], record: _Record) -> RawRow | BadRow:
    if len(record.fields) != len(columns):
        return BadRow(
            line=record.line,
            reason="wrong_column_count",
            detail=f"expected {len(columns)} fields as in the header, found {len(record.fields)}",
            excerpt=excerpt(", ".join(record.fields)),
        )
    return RawRow(line=record.line, value=dict(zip(columns, record.fields, strict=True)))
