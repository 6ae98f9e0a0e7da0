"""From the patterns of the model file to files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tuneloop.errors import DataError
from tuneloop.hashing import digest_file, digest_json
from tuneloop.nearest import nearest_path
from tuneloop.readers import data_files, file_of

_GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data file."""

    path: Path
    name: str
    """Relative to the model file where it lies below it, else the bare name."""

    def digest(self) -> str:
        """SHA-256 of the file, or of a folder's files and their names.

        Raises:
            DataError: it cannot be read.
        """
        try:
            if not self.path.is_dir():
                return digest_file(file_of(self.path))
            files = sorted(path for path in self.path.rglob("*") if path.is_file())
            return digest_json(
                {path.relative_to(self.path).as_posix(): digest_file(path) for path in files}
            )
        except OSError as e:
            raise DataError(f"{self.path} cannot be read: {e.strerror or e}.") from e


def find_sources(folder: Path, patterns: Iterable[str]) -> list[Source]:
    """The files that the patterns name, each once, in order of their names.

    Of a folder these are the files of its training rows, see `readers.folders`.

    Raises:
        DataError: a pattern names nothing, similar names are suggested; or a folder with no rows.
    """
    by_path: dict[Path, Source] = {}
    for pattern in patterns:
        paths = [file for path in _matches(folder, pattern) for file in data_files(path)]
        if not paths:
            raise DataError(
                f"There is no data file at {folder / pattern}.", remedy=_suggestion(folder, pattern)
            )
        by_path.update((path, Source(path=path, name=_name(folder, path))) for path in paths)
    return sorted(by_path.values(), key=lambda source: (source.name, source.path))


def _matches(folder: Path, pattern: str) -> list[Path]:
    if not _GLOB_CHARACTERS & set(pattern):
        path = folder / pattern
        return [path] if file_of(path).exists() else []
    root = Path(pattern).anchor
    try:
        if root:
            return sorted(Path(root).glob(str(Path(pattern).relative_to(root))))
        return sorted(folder.glob(pattern))
    except (OSError, ValueError) as e:
        raise DataError(f"The pattern {pattern!r} in data.sources cannot be used: {e}.") from e


def _name(folder: Path, path: Path) -> str:
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return path.name


def _suggestion(folder: Path, pattern: str) -> str:
    near = None if _GLOB_CHARACTERS & set(pattern) else nearest_path(folder / pattern)
    if near is not None:
        return (
            f"Did you mean {os.path.relpath(near, folder)}? Check data.sources in the model file."
        )
    return "Check data.sources in the model file; paths are relative to it."
