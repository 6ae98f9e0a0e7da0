"""The columns of a table whose first row names them, as spreadsheets and pandas write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.errors import DataError
from tuneloop.readers.rows import BadRow, RawRow, excerpt

_PANDAS_INDEX = re.compile(r"(?:Unnamed: 0(?:\.\d+)*)?")
"""How pandas calls the nameless column that it wrote before itself, when it writes it again."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The columns of a table."""

    names: tuple[str, ...]
    """Empty where a column has no name."""
    index_columns: int
    """So many columns at the beginning number the rows, and say nothing of them."""
    spaced: bool
    """After each separator comes a blank."""

    @property
    def named(self) -> int:
        """Columns up to the last one that has a name; the rest is empty."""
        return max(number for number, name in enumerate(self.names, start=1) if name)

    def fits(self, values: Sequence[Any]) -> bool:
        """Whether a row has a field for every column, and what is more is empty."""
        return len(values) >= self.named and not any(
            value is not None and value != ""
            for number, value in enumerate(values)
            if number >= self.index_columns
            and (number >= len(self.names) or not self.names[number])
        )

    def looks_like_row(self, values: Sequence[str | None]) -> bool:
        """Whether a line fits, and its separators are not the commas of a sentence."""
        if not self.fits(values) or len(self.names) < 2:
            return False
        if any((value or "").strip() == '"' for value in values):
            return False
        if not self.spaced and any((value or "").startswith(" ") for value in values[1:]):
            return False
        return len(self.names) > 2 or values[-1] is not None

    def row(self, line: int, values: Sequence[Any]) -> RawRow | BadRow:
        """The row under the names; the index and columns without a name are left aside."""
        if not self.fits(values):
            return BadRow(
                line=line,
                reason="wrong_column_count",
                detail=self._misfit(values),
                excerpt=excerpt(", ".join(str(value or "") for value in values)),
            )
        value = {
            name: value
            for number, (name, value) in enumerate(zip(self.names, values, strict=False))
            if name and number >= self.index_columns
        }
        return RawRow(line=line, value=value)

    def _misfit(self, values: Sequence[Any]) -> str:
        if len(values) == len(self.names):
            return "a field is filled whose column has no name in the header"
        return f"expected {len(self.names)} fields as in the header, found {len(values)}"


def read_header(
    place: str, values: Sequence[str | None], first_rows: Sequence[Sequence[Any]]
) -> Header:
    """The header of a table; `place` is file and line for messages.

    A column without a name is an index where it is the first (pandas, R), and a separator too many
    where it is empty in the first rows.

    Raises:
        DataError: it names a column twice, or not, and that column holds something.
    """
    names = [(value or "").strip() for value in values]
    index_columns = 0
    while index_columns < len(names) and _PANDAS_INDEX.fullmatch(names[index_columns]):
        index_columns += 1
    if sum(map(bool, names[index_columns:])) < 2:
        index_columns = 0
    columns = [name for name in names[index_columns:] if name]
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    header = Header(
        names=tuple(names),
        index_columns=index_columns,
        spaced=len(values) > 1 and all((value or "").startswith(" ") for value in values[1:]),
    )
    unnamed = not columns or any(
        len(row) == len(names) and not header.fits(row) for row in first_rows
    )
    if repeated or unnamed:
        fault = f"the column {repeated[0]!r} stands twice" if repeated else "a column has no name"
        raise DataError(
            f"{place}: {fault} in the header.",
            remedy="The first line must give every column its own name.",
        )
    return header
