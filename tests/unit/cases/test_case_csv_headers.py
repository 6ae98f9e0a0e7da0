"""Excel's `sep=` line is no header, and the index of pandas no column."""

import pytest

from cases import case
from tuneloop.readers import RawRow, read_rows


@pytest.mark.parametrize("name", ["excel-sep.csv", "pandas-index.csv"])
def test_every_row_has_its_two_columns(name: str) -> None:
    rows = list(read_rows(case("csv-headers") / name, max_row_bytes=1_000_000))
    values = [row.value for row in rows if isinstance(row, RawRow)]
    assert len(values) == len(rows) == 30
    assert all(list(value) == ["prompt", "completion"] and all(value.values()) for value in values)
    assert values[0]["completion"] == "safety"
