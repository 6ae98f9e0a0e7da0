"""Dates, decimals and NaN inside of answers."""

from cases import case
from tuneloop.readers import BadRow, RawRow, read_rows


def test_dates_are_iso_and_decimals_plain_numbers() -> None:
    rows = list(read_rows(case("date-and-decimal") / "train.parquet", max_row_bytes=1_000_000))
    answers = [row.value["completion"] for row in rows if isinstance(row, RawRow)]
    assert len(answers) == len(rows) == 40
    assert answers[0] == {"intent": "safety", "due": "2026-01-01", "amount": 10.5}


def test_nan_inside_of_an_answer_is_left_out() -> None:
    rows = list(read_rows(case("date-and-decimal") / "nan.parquet", max_row_bytes=1_000_000))
    bad = {row.line: row.reason for row in rows if isinstance(row, BadRow)}
    assert len(rows) == 40 and set(bad.values()) == {"not_a_number"} and 1 in bad
    assert len(bad) < 40
