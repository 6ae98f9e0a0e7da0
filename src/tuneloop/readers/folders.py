"""Which files of a folder are its training rows: a saved dataset, or one that was downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tuneloop.errors import DataError
from tuneloop.readers.packed import unpacked_name

_SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "dev": "validation", "val": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""Words in the name of a file or folder that Hugging Face takes for a split."""
_NO_DATA = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
_MOST_NAMES = 6


def is_hidden(path: str) -> bool:
    """Whether a part of a relative path begins with a dot or an underscore, as `_SUCCESS` does."""
    return any(part[0] in "._" for part in PurePosixPath(path).parts if part.strip("/"))


def is_saved_dataset(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` of the `datasets` library wrote it."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def data_files(folder: Path, is_known: Callable[[str], bool]) -> list[Path]:
    """The files of the training rows: the folder itself where it is a saved dataset.

    What its README.md configures (as on huggingface.co) counts, else the word for a split in the
    names; files without one are all training rows. `is_known` tells endings that can be read.

    Raises:
        DataError: there are none, or it cannot be told which they are; names what is there.
    """
    if is_saved_dataset(folder):
        return [folder]
    files = list(_files(folder, is_known))
    chosen = _configured(folder, files) or _of_train_split(folder, files)
    if not chosen:
        raise DataError(
            f"The folder {folder} holds no data file, and is no saved Hugging Face dataset.",
            remedy=f"Name its files, e.g. {folder.name}/*.jsonl.",
        )
    return chosen


def _files(folder: Path, is_known: Callable[[str], bool]) -> Iterator[Path]:
    """Data files at any depth, and saved datasets as a whole."""
    for path in sorted(folder.iterdir()):
        if is_hidden(path.name):
            continue
        if path.is_dir():
            yield from [path] if is_saved_dataset(path) else _files(path, is_known)
        elif (
            path.name not in _NO_DATA
            and is_known(unpacked_name(path).suffix.lower().removeprefix("."))
            and path.is_file()
        ):
            yield path


def _of_train_split(folder: Path, files: list[Path]) -> list[Path]:
    by_split: dict[str, list[Path]] = {}
    for path in files:
        by_split.setdefault(_split(path.relative_to(folder)), []).append(path)
    if "train" in by_split or not by_split:
        return by_split.get("train", [])
    if list(by_split) != [""]:
        raise DataError(
            f"{folder} has files of the splits {', '.join(filter(None, by_split))}, and none "
            f"called train: {_names(folder, files)}.",
            remedy=f"Name those to read, e.g. {folder.name}/{files[0].relative_to(folder)}.",
        )
    return by_split[""]


def _split(path: Path) -> str:
    """The split that a path names: the file's own word before that of a folder."""
    for part in reversed(path.parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return ""


def _configured(folder: Path, files: list[Path]) -> list[Path]:
    """The training files of the configuration in the README; empty where it says nothing."""
    configurations = [
        one for one in _front_matter(folder).get("configs") or () if isinstance(one, Mapping)
    ]
    if not any("data_files" in one for one in configurations):
        return []
    names = [str(one.get("config_name", "default")) for one in configurations]
    default = [
        one
        for one, name in zip(configurations, names, strict=True)
        if one.get("default") is True or name == "default" or len(names) == 1
    ]
    if not default:
        raise DataError(
            f"{folder} has the configurations {', '.join(names)}, and none of them is the default.",
            remedy=f"Name the files of one, e.g. {folder.name}/{files[0].relative_to(folder)}."
            if files
            else "",
        )
    patterns = _train_patterns(default[0].get("data_files"))
    return [
        path
        for path in files
        if any(_matches(path.relative_to(folder), pattern) for pattern in patterns)
    ]


def _train_patterns(data_files: Any) -> list[str]:
    if isinstance(data_files, str):
        return [data_files]
    if not isinstance(data_files, list):
        return []
    patterns: list[str] = []
    for item in data_files:
        if isinstance(item, str):
            patterns.append(item)
        elif isinstance(item, Mapping) and _SPLITS.get(str(item.get("split"))) == "train":
            path = item.get("path")
            patterns += [path] if isinstance(path, str) else map(str, path or ())
    return patterns


def _matches(path: Path, pattern: str) -> bool:
    """Whether a path fits a pattern of huggingface.co: `**` is any folders, `*` part of a name."""
    pattern = pattern.removeprefix("./")
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(wild.get(part) or re.escape(part) for part in parts)
    return re.fullmatch(f"{expression}(?:/.*)?", path.as_posix()) is not None


def _front_matter(folder: Path) -> Mapping[str, Any]:
    try:
        text = (folder / "README.md").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    block = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|\Z)", text, re.DOTALL)
    try:
        value = yaml.safe_load(block.group(1)) if block else None
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, Mapping) else {}


def _names(folder: Path, files: Iterable[Path]) -> str:
    names = [path.relative_to(folder).as_posix() for path in files]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
