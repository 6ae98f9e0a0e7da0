"""Folders of data: which of their files are the training rows, or why that is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop.datasets.sources import find_sources
from tuneloop.errors import DataError
from tuneloop.readers import data_files, read_rows

ROW = '{"prompt": "a", "completion": "b"}\n'


def make(folder: Path, *names: str, readme: str = "") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ROW)
    if readme:
        (folder / "README.md").write_text(readme)
    return folder


def chosen(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in data_files(folder)]


@pytest.mark.parametrize(
    ("names", "training"),
    [
        (("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"), slice(None)),
        (("train.jsonl", "test.jsonl", "validation.jsonl", "dataset_infos.json"), slice(1)),
        (("train/0.jsonl", "train/test-of-skill.jsonl", "test/0.jsonl"), slice(1)),
        (("a.jsonl.gz", "b.jsonl", ".cache/train.jsonl"), slice(2)),
        (("en/my_train.jsonl", "en/trainers_dev.jsonl"), slice(1)),
    ],
)
def test_the_names_tell_the_training_files(
    names: tuple[str, ...], training: slice, tmp_path: Path
) -> None:
    assert chosen(make(tmp_path, *names)) == list(names[training])


README = """---
license: mit
configs:
- config_name: plain
  data_files:
  - {split: train, path: [plain/*.jsonl, "more/**/x?.jsonl"]}
  - {split: test, path: test.jsonl}
- config_name: other
  data_files: other.jsonl
---
# Rows
"""


def test_the_readme_tells_them_first(tmp_path: Path) -> None:
    names = ("plain/a.jsonl", "plain/in/b.jsonl", "more/c/x1.jsonl", "test.jsonl", "other.jsonl")
    make(tmp_path, *names, readme=README.replace("name: plain", "name: default"))
    assert chosen(tmp_path) == ["more/c/x1.jsonl", "plain/a.jsonl"]
    make(tmp_path, readme=README)
    with pytest.raises(DataError, match="has the configurations plain, other, and none"):
        data_files(tmp_path)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("test.jsonl", "dev.jsonl"), "of the splits validation, test, and none called train: dev"),
        (("picture.png",), "holds no data file"),
    ],
)
def test_a_folder_that_leaves_it_open_is_refused_with_its_files(
    names: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        list(read_rows(make(tmp_path / "rows", *names), max_row_bytes=1_000))
    assert "rows/" in caught.value.remedy


def test_each_file_of_a_folder_is_a_source_with_its_own_lines(tmp_path: Path) -> None:
    make(tmp_path / "rows", "train-0.jsonl", "train-1.jsonl", "test.jsonl")
    names = [source.name for source in find_sources(tmp_path, ["rows"])]
    assert names == ["rows/train-0.jsonl", "rows/train-1.jsonl"]
    assert len(list(read_rows(tmp_path / "rows", max_row_bytes=1_000))) == 2
