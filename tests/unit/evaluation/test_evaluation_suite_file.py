"""A row more or less in a suite's file, and every other byte as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop.errors import UsageError
from tuneloop.evaluation.suite_file import add_row, remove_line, rows_in

ROW = {"prompt": "Größe?", "completion": "XL"}
LINE = '{"prompt": "Größe?", "completion": "XL"}\n'.encode()


@pytest.mark.parametrize(
    ("before", "kept", "line"),
    [
        (b"", b"", 1),
        (b'{"prompt": "a"}', b'{"prompt": "a"}\n', 2),
        (b'{"prompt": "a"}\r\n\r\n', b'{"prompt": "a"}\r\n\r\n', 3),
        (b'\xef\xbb\xbf{"prompt": "a"}\n', b'\xef\xbb\xbf{"prompt": "a"}\n', 2),
    ],
)
def test_a_row_is_added_and_taken_out_again(
    tmp_path: Path, before: bytes, kept: bytes, line: int
) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_bytes(before)
    assert add_row(path, ROW) == line
    assert path.read_bytes() == kept + LINE
    assert rows_in(path)[-1].line == line
    remove_line(path, line)
    assert path.read_bytes() == kept


def test_a_file_in_another_encoding_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_bytes('{"prompt": "a"}\n'.encode("utf-16"))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="UTF-8"):
        add_row(path, ROW)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_row_over_several_lines_is_not_torn(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text('{"prompt": "a",\n "completion": "b"}\n{"prompt": "c"}\n')
    before = path.read_bytes()
    with pytest.raises(UsageError):
        remove_line(path, 1)
    assert path.read_bytes() == before


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "shared.jsonl").write_bytes(b"")
    link = tmp_path / "golden.jsonl"
    link.symlink_to("shared.jsonl")
    add_row(link, ROW)
    assert link.is_symlink() and (tmp_path / "shared.jsonl").read_bytes() == LINE


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"golden\.csv"):
        add_row(tmp_path / "golden.csv", ROW)
