"""Bad input gives one clear message and a code, loses nothing, and the next run continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import bad_input
import tuneloop as package
from tiny_desk import as_json, make_desk, tuneloop
from tuneloop.errors import BaseModelError

MODEL_FILE = """\
name: router
base: {base}
data:
  sources: [rows.jsonl]
"""


def good_rows(path: Path, count: int = 60) -> Path:
    with path.open("w") as file:
        for n in range(count):
            row = {"prompt": f"question number {n}?", "completion": f"answer {n}"}
            file.write(json.dumps(row) + "\n")
    return path


def model_file(folder: Path, base: str = "nowhere/at-all") -> Path:
    path = folder / "tuneloop.yaml"
    path.write_text(MODEL_FILE.format(base=base))
    return path


def refused(folder: Path, *arguments: str, code: int = 1) -> str:
    """The one message of a command that must fail."""
    return tuneloop(folder, *arguments, code=code).stderr


def test_a_missing_data_file(tmp_path: Path) -> None:
    model_file(tmp_path)
    assert "rows.jsonl" in refused(tmp_path, "prepare", code=2)
    good_rows(tmp_path / "rows.jsonl")
    assert as_json(tmp_path, "prepare")["report"]["rows_kept"] == 60


def test_an_empty_file_and_only_bad_rows(tmp_path: Path) -> None:
    model_file(tmp_path)
    (tmp_path / "rows.jsonl").write_text("")
    assert "rows.jsonl" in refused(tmp_path, "prepare")
    (tmp_path / "rows.jsonl").write_text("not json\n" * 20)
    message = refused(tmp_path, "prepare")
    assert "bad_json" in message or "not valid JSON" in message


def test_a_whole_file_in_another_encoding(tmp_path: Path) -> None:
    model_file(tmp_path)
    text = good_rows(tmp_path / "rows.jsonl").read_text()
    (tmp_path / "rows.jsonl").write_bytes(text.encode("utf-16"))
    report = as_json(tmp_path, "prepare")["report"]
    assert report["rows_in"] == report["rows_kept"] == 60
    (tmp_path / "rows.jsonl").write_bytes(text.encode("utf-32"))
    assert "UTF-32" in refused(tmp_path, "prepare")


def test_one_huge_row_and_nul_bytes_are_left_out_by_line(tmp_path: Path) -> None:
    model_file(tmp_path)
    rows = good_rows(tmp_path / "rows.jsonl")
    with rows.open("ab") as file:
        file.write(b'{"prompt": "' + b"x" * 50_000_000 + b'", "completion": "y"}\n')
        file.write(b'{"prompt": "a\x00b", "completion": "y"}\n')
    report = as_json(tmp_path, "prepare")["report"]
    assert report["rows_in"] == 62 and report["rows_kept"] == 60
    assert sum(report["left_out"].values()) == 2
    lines = {row["line"] for row in as_json(tmp_path, "data", "quarantine")}
    assert lines == {61, 62}


def test_a_base_that_does_not_exist(tmp_path: Path) -> None:
    model_file(tmp_path, base="./no-such-folder")
    good_rows(tmp_path / "rows.jsonl")
    for command_ in ("prepare", "train", "run"):
        assert "no-such-folder does not exist" in refused(tmp_path, command_, code=2)
    assert as_json(tmp_path, "data", "list") == []
    assert as_json(tmp_path, "runs", "list") == []


@pytest.mark.parametrize(
    "make",
    [
        bad_input.duplicate_key,
        bad_input.duplicate_nested_key,
        bad_input.unknown_key,
        bad_input.unknown_nested_key,
        bad_input.wrong_type,
        bad_input.invalid_yaml,
        bad_input.list_as_model_file,
        bad_input.empty_model_file,
        bad_input.latin1_model_file,
        bad_input.nul_in_model_file,
    ],
)
def test_a_wrong_model_file(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    done = tuneloop(tmp_path, "config", "check", "-f", str(path), code=2)
    assert str(path) in done.stderr and "error:" in done.stderr


def test_init_refuses_what_it_cannot_read_and_keeps_what_is_there(tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path, "init", "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    refused(tmp_path, "init", "empty.jsonl")
    assert not (tmp_path / "tuneloop.yaml").exists()
    rows = good_rows(tmp_path / "rows.jsonl")
    tuneloop(tmp_path, "init", rows.name)
    assert "exists already" in refused(tmp_path, "init", rows.name, code=2)


@pytest.mark.timeout(300)
def test_a_base_that_was_replaced_after_training_is_refused(tmp_path: Path) -> None:
    make_desk(tmp_path)
    tuneloop(tmp_path, "prepare")
    run = as_json(tmp_path, "train")
    weights = tmp_path / "base" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    loop = package.open(tmp_path)
    with pytest.raises(BaseModelError, match="base"):
        loop.candidate(loop.dataset(), loop.training_run(run["id"]))
    loop.close()
