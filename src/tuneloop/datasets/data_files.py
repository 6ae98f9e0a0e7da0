"""Which files of a folder are data: what a reader knows by its ending, and nothing hidden."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tuneloop.datasets.readers import READERS

_PACKED = (".gz", ".zst", ".bz2", ".xz")
_SAVED = ("state.json", "dataset_dict.json")
"""What `datasets` writes into a folder of Arrow files."""


def is_data_file(path: str) -> bool:
    """Whether a reader is known for the ending of a file's name."""
    endings = [ending.lower() for ending in PurePosixPath(path).suffixes]
    if endings[-1:] and endings[-1] in _PACKED:
        endings.pop()
    return bool(endings) and READERS.find(endings[-1].removeprefix(".")) is not None


def is_hidden(path: str) -> bool:
    """Whether a part of a relative path begins with a dot or an underscore, as `_SUCCESS` does."""
    return any(part[0] in "._" for part in PurePosixPath(path).parts if part.strip("/"))


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is one dataset that the library `datasets` saved."""
    return any((folder / name).is_file() for name in _SAVED)


def data_files(folder: Path) -> Iterator[Path]:
    """The data files of a folder, at any depth; a saved dataset is one of them, as a whole."""
    if is_saved_dataset(folder):
        yield folder
        return
    for root, folders, files in os.walk(folder):
        here = Path(root)
        saved = [name for name in folders if is_saved_dataset(here / name)]
        folders[:] = sorted(name for name in set(folders) - set(saved) if not is_hidden(name))
        yield from (here / name for name in sorted(saved) if not is_hidden(name))
        yield from (
            here / name for name in sorted(files) if is_data_file(name) and not is_hidden(name)
        )
