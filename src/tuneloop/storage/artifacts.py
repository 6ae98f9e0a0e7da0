"""The artifact store: immutable folders, named by the hash of their content.

    blobs/ab/abcdef…      one file's bytes, named by their SHA-256
    trees/<digest>.json   a folder: relative path → blob digest and size; written last

A tree's digest is the SHA-256 of its canonical JSON, so equal folders have one identity. Nothing
is overwritten; what is read is checked against its digest.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from tuneloop.errors import CorruptArtifactError, StoreError
from tuneloop.hashing import canonical_json, digest_file, digest_json, short


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of an artifact."""

    path: str
    """Relative, with forward slashes."""
    digest: str
    """SHA-256 of the bytes."""
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The manifest of a stored folder."""

    digest: str
    kind: str
    """What it is, e.g. `dataset`, `adapter`, `export`."""
    files: tuple[StoredFile, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


class Artifacts:
    """Folders by digest, in a local folder or behind any fsspec URL."""

    def __init__(self, url: str, *, cache: Path) -> None:
        """`cache` is a local folder where artifacts are laid out for reading."""
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._cache = cache
        self._local = "file" in (
            [self._fs.protocol] if isinstance(self._fs.protocol, str) else list(self._fs.protocol)
        )

    def put(self, folder: Path, *, kind: str) -> str:
        """Store a folder's files and return its digest; storing it again changes nothing.

        Raises:
            StoreError: the store is full or not writable; nothing incomplete becomes visible.
        """
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        if not paths:
            raise StoreError(f"Expected files to store in {folder}, found none.")
        with _storing(self._root):
            files = [self._put_file(path, folder) for path in paths]
            tree = {"kind": kind, "files": [vars(file) for file in files]}
            digest = digest_json(tree)
            self._write_once(self._tree_path(digest), canonical_json(tree).encode())
        return digest

    def describe(self, digest: str) -> Artifact:
        """The manifest of an artifact.

        Raises:
            StoreError: there is none.
            CorruptArtifactError: the manifest is not the one that the digest names.
        """
        try:
            raw = self._fs.cat_file(self._tree_path(digest))
        except FileNotFoundError:
            raise StoreError(
                f"Artifact {short(digest)} is not in {self._root}.",
                remedy="Check that this is the store it was made in; else make it again.",
            ) from None
        tree = self._parse(raw, digest)
        return Artifact(
            digest=digest,
            kind=tree["kind"],
            files=tuple(StoredFile(**file) for file in tree["files"]),
        )

    def exists(self, digest: str) -> bool:
        """Whether the artifact is complete here."""
        return bool(self._fs.exists(self._tree_path(digest)))

    def get(self, digest: str) -> Path:
        """A local, read-only folder with the artifact's files, each checked against its digest.

        Raises:
            StoreError: there is no such artifact, or no room to lay it out.
            CorruptArtifactError: bytes have changed; the message names the file.
        """
        artifact = self.describe(digest)
        folder = self._cache / digest
        was_there = folder.is_dir()
        if not was_there:
            self._lay_out(artifact, folder)
        damage = _first_damage(artifact, folder)
        if damage is not None and was_there:
            # The store itself may be sound, or mended since: only the copy has to go.
            shutil.rmtree(folder)
            self._lay_out(artifact, folder)
            damage = _first_damage(artifact, folder)
        if damage is not None:
            file, actual = damage
            raise CorruptArtifactError(
                f"Artifact {short(digest)} is corrupt: {file.path} should have the hash "
                f"{short(file.digest)}, found {short(actual)}.",
                remedy=f"Restore {self._blob_path(file.digest)} from a backup, or make the "
                "artifact again.",
            )
        return folder

    def verify(self, digest: str) -> Artifact:
        """Read every byte and compare; returns the manifest.

        Raises:
            CorruptArtifactError: naming the first file that differs.
        """
        self.get(digest)
        return self.describe(digest)

    def _put_file(self, path: Path, folder: Path) -> StoredFile:
        digest = digest_file(path)
        blob = self._blob_path(digest)
        if not self._fs.exists(blob) or not self._intact(blob, digest):
            self._place(path, blob)
        return StoredFile(
            path=path.relative_to(folder).as_posix(), digest=digest, size_bytes=path.stat().st_size
        )

    def _intact(self, blob: str, digest: str) -> bool:
        # Making an artifact again is how a corrupt one is mended. Remote stores check for us.
        return not self._local or digest_file(Path(blob)) == digest

    def _place(self, path: Path, blob: str) -> None:
        """Copy a file under a temporary name, then give it its own."""
        self._fs.makedirs(blob.rsplit("/", 1)[0], exist_ok=True)
        partial = f"{blob}.{uuid.uuid4().hex}.part"
        try:
            self._fs.put_file(str(path), partial)
            if self._local:
                Path(partial).chmod(0o444)
            self._fs.mv(partial, blob)
        except BaseException:
            with suppress(FileNotFoundError):
                self._fs.rm_file(partial)
            raise

    def _write_once(self, path: str, content: bytes) -> None:
        if self._fs.exists(path):
            return
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        partial = f"{path}.{uuid.uuid4().hex}.part"
        self._fs.pipe_file(partial, content)
        self._fs.mv(partial, path)

    def _lay_out(self, artifact: Artifact, folder: Path) -> None:
        """Build the folder beside its place and rename it: a kill leaves no half of one."""
        partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
        try:
            for file in artifact.files:
                target = partial / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                self._fetch(self._blob_path(file.digest), target)
            with _storing(str(folder)):
                try:
                    partial.rename(folder)
                except OSError as e:
                    if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
        except FileNotFoundError as e:
            raise CorruptArtifactError(
                f"Artifact {short(artifact.digest)} is incomplete: {e.filename or e} is missing.",
                remedy="Restore the store from a backup, or make the artifact again.",
            ) from e
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _fetch(self, blob: str, target: Path) -> None:
        if self._local:
            try:
                os.link(blob, target)
                return
            except FileNotFoundError:
                raise
            except OSError:
                pass  # Another file system, or one without hard links: copy.
        with _storing(str(target)):
            self._fs.get_file(blob, str(target))

    def _parse(self, raw: bytes, digest: str) -> dict[str, Any]:
        try:
            tree: dict[str, Any] = json.loads(raw)
            intact = digest_json(tree) == digest
        except ValueError:
            intact = False
        if not intact:
            raise CorruptArtifactError(
                f"The manifest of artifact {short(digest)} does not match its name.",
                remedy="Restore the store from a backup, or make the artifact again.",
            )
        return tree

    def _blob_path(self, digest: str) -> str:
        return f"{self._root}/blobs/{digest[:2]}/{digest}"

    def _tree_path(self, digest: str) -> str:
        return f"{self._root}/trees/{digest}.json"


def _first_damage(artifact: Artifact, folder: Path) -> tuple[StoredFile, str] | None:
    """The first file whose bytes are not those of the manifest, and the digest that they have."""
    for file in artifact.files:
        path = folder / file.path
        actual = digest_file(path) if path.is_file() else "nothing"
        if actual != file.digest:
            return file, actual
    return None


@contextmanager
def _storing(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreError(
                f"No room left to store into {where}.",
                remedy="Free some space and run the same command again: it continues.",
            ) from e
        raise StoreError(f"{where} cannot be written: {e.strerror or e}.") from e
