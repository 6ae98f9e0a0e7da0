"""The makers of bad input make what they say, and the model file answers each bad one clearly."""

import json
import re
from pathlib import Path

import pytest

import bad_input
from tuneloop.errors import ModelFileError
from tuneloop.modelfile import load


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")


def test_the_good_row_is_good() -> None:
    row = json.loads(bad_input.good_row("Hej på dig"))
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert row["messages"][0]["content"] == "Hej på dig"


@pytest.mark.parametrize("maker", [bad_input.latin1_rows, bad_input.utf16_rows])
def test_wrong_encodings_are_not_utf8(maker: bad_input.Maker, tmp_path: Path) -> None:
    with pytest.raises(UnicodeDecodeError):
        maker(tmp_path).read_text(encoding="utf-8")


def test_only_line_two_of_the_huge_file_is_huge(tmp_path: Path) -> None:
    before, huge, after, rest = lines_of(bad_input.one_huge_row(tmp_path, megabytes=3))
    assert 3_000_000 < len(huge) < 3_000_200
    assert rest == b""
    for line in (before, huge, after):
        assert len(json.loads(line)["messages"]) == 2


def test_nul_bytes_are_raw_in_one_file_and_escaped_in_the_other(tmp_path: Path) -> None:
    raw = lines_of(bad_input.nul_bytes(tmp_path))
    assert [b"\0" in line for line in raw] == [False, True, False, True]
    escaped = bad_input.escaped_nul(tmp_path).read_bytes()
    assert b"\0" not in escaped
    assert "\0" in json.loads(escaped.split(b"\n")[1])["messages"][0]["content"]


def test_the_lone_surrogate_has_no_utf8(tmp_path: Path) -> None:
    row = json.loads(lines_of(bad_input.lone_surrogate(tmp_path))[1])
    with pytest.raises(UnicodeEncodeError):
        row["messages"][0]["content"].encode()


def test_the_model_file_that_the_bad_ones_spoil_is_valid(tmp_path: Path) -> None:
    assert load(bad_input.good_model_file(tmp_path), environment={}).settings.name == "bad-input"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("duplicate key", r":5: key 'base' stands twice, first in line 2"),
        ("duplicate nested key", r":7: key 'training\.epochs' stands twice, first in line 6"),
        ("unknown key", r":5: trainning: is not a known key\. Did you mean 'training'"),
        ("unknown nested key", r":6: training\.epoch: is not a known key.*'epochs'"),
        ("wrong type", r":6: training\.epochs: .*'many'"),
        ("invalid yaml", r":6: not valid YAML"),
        ("list", r"found a sequence"),
        ("empty", r"found nothing"),
        ("latin-1", r"not UTF-8"),
        ("nul", r"not valid YAML"),
    ],
)
def test_a_bad_model_file_is_one_clear_message(kind: str, expected: str, tmp_path: Path) -> None:
    path = bad_input.BAD_MODEL_FILES[kind](tmp_path)
    with pytest.raises(ModelFileError) as caught:
        load(path, environment={})
    message = str(caught.value)
    assert str(path) in message
    assert re.search(expected, message)


def test_every_bad_model_file_has_its_message_tested() -> None:
    marks = test_a_bad_model_file_is_one_clear_message.pytestmark
    tested = {kind for kind, _ in marks[0].args[1]}
    assert tested == set(bad_input.BAD_MODEL_FILES)
