"""From the sources of the model file to files: paths, patterns, folders and URLs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tuneloop.datasets import remote
from tuneloop.datasets.remote import RemoteFile
from tuneloop.errors import DataError
from tuneloop.hashing import digest_file, digest_json
from tuneloop.modelfile.source_url import SourceUrl, is_url
from tuneloop.nearest import nearest_path
from tuneloop.progress import Progress, Silent
from tuneloop.readers import data_files, file_of

CACHE = "cache/sources"
"""Folder of a workspace with copies of what was fetched; it can be removed at any time."""
_GLOB_CHARACTERS = frozenset("*?[")
_LOCAL = ("file://", "local://")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data file that is here, or a folder that is one dataset."""

    path: Path
    name: str
    """Relative to the model file where it lies below it, else the bare name; of a URL the URL,
    without what is secret in it."""
    known_digest: str = ""
    """Its digest, where somebody has read it just before; empty: it is read for it."""

    def digest(self) -> str:
        """SHA-256 of the file, or of a folder's files and their names.

        Raises:
            DataError: it cannot be read.
        """
        if self.known_digest:
            return self.known_digest
        try:
            if not self.path.is_dir():
                return digest_file(file_of(self.path))
            return digest_json(
                {
                    path.relative_to(self.path).as_posix(): digest_file(path)
                    for path in _files_in(self.path)
                }
            )
        except OSError as e:
            raise DataError(f"{self.path} cannot be read: {e.strerror or e}.") from e


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A data file that was listed, wherever it lies; nobody has read it."""

    name: str
    stamp: str
    """Equal as long as the file is not changed; empty: its server does not tell."""
    modified_at: datetime | None
    path: Path | None = None
    remote: RemoteFile | None = None

    def fetched(self, cache: Path | None, progress: Progress = Silent()) -> Source:
        """The file, here; below `cache` where it had to be fetched.

        Raises:
            DataError: it cannot be fetched.
            StoreError: there is no room for it.
        """
        if self.path is not None:
            return Source(path=self.path, name=self.name)
        assert self.remote is not None
        if cache is None:
            raise DataError(
                f"{self.name} is a URL, and only data.sources may hold URLs.",
                remedy="Copy the file beside the model file and name it there.",
            )
        return Source(path=remote.fetch(self.remote, cache, progress), name=self.name)


def is_remote(pattern: str) -> bool:
    """Whether a source is a URL of another file system than this machine's."""
    return is_url(pattern) and not pattern.startswith(_LOCAL)


def shown(pattern: str) -> str:
    """A source of the model file as it is shown, without what is secret in it."""
    return SourceUrl(url=pattern, hidden={}).public_name if is_remote(pattern) else pattern


def find_sources(
    folder: Path,
    patterns: Iterable[str],
    *,
    cache: Path | None = None,
    progress: Progress = Silent(),
) -> list[Source]:
    """The files that the patterns name, each once, in order of their names.

    Of a folder these are the files of its training rows, see `readers.folders`. Remote ones are
    fetched to `cache` unless the copy that is there is of the same file.

    Raises:
        DataError: a pattern names nothing (similar names are suggested), or cannot be fetched.
        ModelFileError: a URL needs a variable of the environment that is not set.
        StoreError: there is no room for a copy.
    """
    return [listed.fetched(cache, progress) for listed in list_sources(folder, patterns)]


def list_sources(
    folder: Path, patterns: Iterable[str], *, environment: Mapping[str, str] = os.environ
) -> list[Listed]:
    """The same without fetching or reading any of them.

    Raises:
        DataError, ModelFileError: as `find_sources`.
    """
    listed: list[Listed] = []
    for pattern in patterns:
        named = list_pattern(folder, pattern, environment=environment)
        if not named:
            raise _nothing_at(folder, pattern, environment)
        listed += named
    return in_order(listed)


def in_order(listed: Iterable[Listed]) -> list[Listed]:
    """Each file once, in order of names; remote ones that share a name are numbered."""
    once = {_place(entry): entry for entry in listed}
    counted: Counter[str] = Counter()
    numbered = []
    for entry in once.values():
        if entry.remote is not None:
            counted[entry.name] += 1
            if (number := counted[entry.name]) > 1:
                entry = _renamed(entry, f"{entry.name} ({number})")
        numbered.append(entry)
    return sorted(numbered, key=lambda entry: (entry.name, entry.path or Path()))


def list_pattern(
    folder: Path, pattern: str, *, environment: Mapping[str, str] = os.environ
) -> list[Listed]:
    """What one source of the model file names; nothing where nothing is there.

    Raises:
        DataError: the pattern makes no sense, or its file system does not answer.
        ModelFileError: a URL needs a variable of the environment that is not set.
    """
    if is_remote(pattern):
        return [
            Listed(name=file.name, stamp=file.stamp, modified_at=file.modified_at, remote=file)
            for file in remote.find(SourceUrl.of(pattern, environment))
        ]
    paths = dict.fromkeys(path for match in _matches(folder, pattern) for path in _data_in(match))
    return [_local(folder, path) for path in paths]


def _place(entry: Listed) -> tuple[str, str]:
    if entry.remote is not None:
        return entry.remote.url.scheme, entry.remote.path
    return "", str(entry.path)


def _renamed(entry: Listed, name: str) -> Listed:
    assert entry.remote is not None
    return replace(entry, name=name, remote=replace(entry.remote, name=name))


def _local(folder: Path, path: Path) -> Listed:
    try:
        files = _files_in(path) if path.is_dir() else [path]
        stats = [file_of(file).stat() for file in files]
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror or e}.") from e
    told = [
        (str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        for file, stat in zip(files, stats, strict=True)
    ]
    newest = max((stat.st_mtime for stat in stats), default=0.0)
    return Listed(
        name=_name(folder, path),
        stamp=digest_json(told),
        modified_at=datetime.fromtimestamp(newest, UTC),
        path=path,
    )


def _files_in(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _data_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        return list(data_files(path))
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror or e}.") from e


def _matches(folder: Path, pattern: str) -> list[Path]:
    if pattern.startswith(_LOCAL):
        address = urlsplit(pattern)
        pattern = unquote(f"{address.netloc}{address.path}")
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


def _nothing_at(folder: Path, pattern: str, environment: Mapping[str, str]) -> DataError:
    if is_remote(pattern):
        name = SourceUrl.of(pattern, environment).public_name
        return DataError(
            f"There is no data file at {name}.",
            remedy="Check data.sources in the model file"
            + ("; a folder of a web server ends in '/'." if name.startswith("http") else "."),
        )
    place = folder / pattern
    if place.is_dir():
        return DataError(
            f"The folder {place} holds no data file.",
            remedy="Expected files such as .jsonl, .csv or .parquet, at any depth; hidden ones do "
            "not count.",
        )
    return DataError(f"There is no data file at {place}.", remedy=_suggestion(folder, pattern))


def _suggestion(folder: Path, pattern: str) -> str:
    near = None if _GLOB_CHARACTERS & set(pattern) else nearest_path(folder / pattern)
    if near is not None:
        return (
            f"Did you mean {os.path.relpath(near, folder)}? Check data.sources in the model file."
        )
    return "Check data.sources in the model file; paths are relative to it."
