"""A quote at the start of a field that is not a quoted field merges no lines."""

from cases import case
from tuneloop.readers import RawRow, read_rows


def test_every_line_is_a_row() -> None:
    path = case("tsv-quotes") / "train.tsv"
    rows = list(read_rows(path, max_row_bytes=1_000_000))
    lines = path.read_text("utf-8").splitlines()[1:]
    assert [row.line for row in rows] == list(range(2, 36))
    assert ["\t".join(row.value.values()) for row in rows if isinstance(row, RawRow)] == lines
