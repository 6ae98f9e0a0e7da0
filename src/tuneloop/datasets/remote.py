"""Data files behind an fsspec URL: which there are, whether they changed, and a copy of one here.

What tells cheaply that a file changed is its *stamp*: what its file system says of it without
reading it, such as ETag and size, or time and size. A copy whose stamp is the same is used again.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.callbacks import Callback
from fsspec.registry import known_implementations

from tuneloop.errors import DataError, StoreError, TuneloopError, require
from tuneloop.hashing import digest_file, digest_json, digest_text
from tuneloop.modelfile.source_url import SourceUrl
from tuneloop.progress import Progress
from tuneloop.readers import is_data_file, is_hidden

_VERSION_KEYS = (
    "ETag", "etag", "e_tag", "md5Hash", "content_md5", "Content-MD5", "Digest", "generation",
    "VersionId", "version_id", "sha", "blob_id", "oid",
)  # fmt: skip
_TIME_KEYS = (
    "LastModified", "last_modified", "Last-Modified", "mtime", "modified", "updated", "created",
)  # fmt: skip
_MEGABYTE = 1e6
_META = "fetched.json"
_KEY_DIGITS = 16
_NAME_CHARACTERS = 100
_TRIES = 2
_CONNECT_SECONDS = 30
_SILENT_SECONDS = 120
_ABANDONED_SECONDS = 3_600
_REFUSED = (
    "NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "RefreshError",
    "ClientAuthenticationError", "HttpError401", "GatedRepoError", "AuthenticationException",
)  # fmt: skip
"""What libraries of object stores call it when they have no credentials, or wrong ones."""
_CREDENTIALS = {
    "s3": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "Set HF_TOKEN",
    "http": "Write a token into the URL as ${NAME}, a variable of the environment",
}
_SAME_STORE = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az", "https": "http"}


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file that a URL names, as its file system tells of it."""

    url: SourceUrl
    """What it was found by."""
    fs: Any
    path: str
    """In its file system."""
    name: str
    """Its URL as it is shown and stored."""
    size_bytes: int | None
    stamp: str
    """Equal as long as nothing changed; empty: its server does not tell."""
    modified_at: datetime | None


def find(url: SourceUrl) -> list[RemoteFile]:
    """The files that a URL, a pattern or a folder names; none where nothing is there.

    Of a folder they are its data files, at any depth, without hidden ones.

    Raises:
        DataError: its file system cannot be used or does not answer; says what to do.
    """
    with _speaking(url):
        fs, path = _file_system(url)
        # A worker lives for weeks: what was listed before is not what is there now.
        fs.invalidate_cache()
        infos = _infos(fs, path, url)
        return [_file(url, fs, at, infos[at]) for at in sorted(infos)]


def fetch(file: RemoteFile, cache: Path, progress: Progress) -> Path:
    """A copy of a file below `cache`; it is fetched where there is none, or an older one.

    Raises:
        DataError: it cannot be read, or changes while it is.
        StoreError: there is no room for it.
    """
    folder = cache / digest_text(file.name)[:_KEY_DIGITS]
    name = _local_name(file.path)
    if file.stamp and _is_there(folder, name, file):
        return folder / name
    for _ in range(_TRIES):
        fetched = _fetch_once(file, folder, name, progress)
        if fetched is not None:
            return fetched
    raise DataError(
        f"{file.name} changes while it is fetched: somebody is writing it.",
        remedy="Run the same command again when it is complete.",
    )


def _file_system(url: SourceUrl) -> tuple[Any, str]:
    options: dict[str, Any] = {}
    if url.is_web and "::" not in url.url:
        options["client_kwargs"] = _web_client(url.scheme)
    fs, path = fsspec.core.url_to_fs(url.url, **options)
    return fs, str(path)


def _web_client(scheme: str) -> dict[str, Any]:
    """What the user has configured; aiohttp itself gives up after five minutes, however it goes."""
    aiohttp = require("aiohttp", extra="remote")
    configured = fsspec.config.conf.get(scheme, {}).get("client_kwargs", {})
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS
    )
    return {"timeout": timeout, **configured}


def _infos(fs: Any, path: str, url: SourceUrl) -> dict[str, dict[str, Any]]:
    """Path → what its file system says, of every file that is meant."""
    if url.is_web:
        return _web_infos(fs, path)
    if re.search(r"[*?\[]", path):
        infos: dict[str, dict[str, Any]] = {}
        for at, info in fs.glob(path, detail=True).items():
            infos |= _below(fs, at) if info["type"] == "directory" else {at: info}
        return infos
    try:
        info = fs.info(path)
    except FileNotFoundError:
        return {}
    return _below(fs, path) if info["type"] == "directory" else {path: info}


def _below(fs: Any, folder: str) -> dict[str, dict[str, Any]]:
    """The data files of a folder."""
    root = folder.rstrip("/")
    return {
        at: info
        for at, info in fs.find(folder, detail=True).items()
        if is_data_file(at) and not is_hidden(at.removeprefix(root))
    }


def _web_infos(fs: Any, url: str) -> dict[str, dict[str, Any]]:
    """A web server lists what its index pages link to, without saying when it changed."""
    place = url.partition("?")[0]
    if re.search(r"[*\[]", place):
        found = fs.glob(url)
    elif place.endswith("/"):
        found = [at for at in _or_nothing(fs, url) if not is_hidden(at.removeprefix(place))]
    else:
        found = [url]
    return {at: info for at in found if (info := _web_info(fs, at)) is not None}


def _or_nothing(fs: Any, folder: str) -> list[str]:
    try:
        return [at for at in fs.find(folder) if is_data_file(at.partition("?")[0])]
    except FileNotFoundError:
        return []


def _web_info(fs: Any, url: str) -> dict[str, Any] | None:
    """What the server says of a file; None: it is not there.

    fsspec calls every failure a missing file; the answer of the server is its cause.
    """
    try:
        info: dict[str, Any] = fs.info(url)
        return info
    except FileNotFoundError as e:
        cause = e.__cause__
        if cause is None or getattr(cause, "status", None) in (404, 410):
            return None
        raise cause from None


def _file(url: SourceUrl, fs: Any, path: str, info: Mapping[str, Any]) -> RemoteFile:
    _, chained, rest = url.url.partition("::")
    name = url.named(f"{fs.unstrip_protocol(path)}{chained}{rest}")
    size = info.get("size")
    return RemoteFile(
        url=url,
        fs=fs,
        path=path,
        name=name,
        size_bytes=None if size is None else int(size),
        stamp=_stamp(info),
        modified_at=_modified_at(info),
    )


def _stamp(info: Mapping[str, Any]) -> str:
    """One key, for a listing and a look at a single file do not tell the same ones."""
    version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key)), None)
    modified_at = _modified_at(info)
    told = version or (modified_at and modified_at.isoformat())
    return digest_json([told, str(info.get("size"))]) if told else ""


def _modified_at(info: Mapping[str, Any]) -> datetime | None:
    value = next((info[key] for key in _TIME_KEYS if info.get(key)), None)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        for read in (parsedate_to_datetime, datetime.fromisoformat):
            with suppress(ValueError, TypeError):
                moment = read(value)
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _local_name(path: str) -> str:
    """The last part, for its ending decides how it is read."""
    place = path.partition("?")[0] if path.startswith(("http://", "https://")) else path
    name = PurePosixPath(place).name[-_NAME_CHARACTERS:]
    return name if name.strip(".") else "data"


def _is_there(folder: Path, name: str, file: RemoteFile) -> bool:
    try:
        meta = json.loads((folder / _META).read_text("utf-8"))
        size = (folder / name).stat().st_size
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and (meta.get("stamp"), meta.get("size")) == (file.stamp, size)


def _fetch_once(file: RemoteFile, folder: Path, name: str, progress: Progress) -> Path | None:
    """The copy; None: the file has changed meanwhile. What tells of the copy is written last."""
    progress.step(f"Fetching {file.name}")
    partial = folder / f".{uuid.uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_up(folder)
        with _speaking(file.url, writes=folder):
            file.fs.get_file(file.path, str(partial), callback=_Told(progress, file.size_bytes))
            file.fs.invalidate_cache()
            after = _web_info(file.fs, file.path) if file.url.is_web else file.fs.info(file.path)
        size = partial.stat().st_size
        if after is not None and _stamp(after) != file.stamp:
            return None
        if file.size_bytes not in (None, size):
            raise DataError(
                f"{file.name} was cut off: {size:,} of {file.size_bytes:,} bytes came.",
                remedy="Run the same command again.",
            )
        (folder / _META).unlink(missing_ok=True)
        partial.replace(folder / name)
        meta = {"stamp": file.stamp, "size": size, "digest": digest_file(folder / name)}
        (folder / _META).write_text(json.dumps(meta), "utf-8")
        return folder / name
    except OSError as e:
        raise _no_room(folder, e) from e
    finally:
        partial.unlink(missing_ok=True)


def _clear_up(folder: Path) -> None:
    """Remove what processes left that were killed while they fetched; a living one writes on."""
    for partial in folder.glob(".*.part"):
        with suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                partial.unlink()


class _Told(Callback):  # type: ignore[misc]  # fsspec has no types
    """Tells a progress how much has come."""

    def __init__(self, progress: Progress, size_bytes: int | None) -> None:
        super().__init__(size=size_bytes)
        self._progress = progress

    def call(self, *arguments: Any, **options: Any) -> None:
        """After each piece."""
        total = self.size / _MEGABYTE if self.size else None
        self._progress.update(self.value / _MEGABYTE, total, "MB")


@contextmanager
def _speaking(url: SourceUrl, *, writes: Path | None = None) -> Iterator[None]:
    """Turn what the libraries of file systems raise into an error with a remedy, and no secret.

    Each raises what its own vendor's library does, so whatever comes is caught, here alone.
    `writes`: a local folder that is written meanwhile.
    """
    try:
        yield
    except TuneloopError:
        raise
    except ImportError as e:
        raise _package_missing(url, e) from None
    except OSError as e:
        if writes is not None and e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(writes, e) from e
        raise _failed(url, e) from None
    except Exception as e:  # noqa: BLE001
        raise _failed(url, e) from None


def _package_missing(url: SourceUrl, e: ImportError) -> DataError:
    known = known_implementations.get(url.scheme, {})
    package = known.get("class", "").partition(".")[0]
    if url.is_web:
        remedy = "Install it with: pip install 'tuneloop[remote]'"
    elif package and package != "fsspec":
        remedy = f"Install it with: pip install {package}"
    else:
        remedy = f"{known.get('err') or e}."
    return DataError(
        f"{url.public_name}: the Python package that reads {url.scheme}:// is not installed.",
        remedy=remedy,
    )


def _failed(url: SourceUrl, e: Exception) -> DataError:
    if isinstance(e, ValueError) and "rotocol not known" in str(e):
        return DataError(
            f"{url.public_name}: fsspec knows no {url.scheme}://.",
            remedy="Expected a path or a URL such as https://, s3://, gs:// or hf://.",
        )
    status = getattr(e, "status", None)
    names = {kind.__name__ for kind in type(e).__mro__}
    if isinstance(e, PermissionError) or status in (401, 403) or names & set(_REFUSED):
        store = _SAME_STORE.get(url.scheme, url.scheme)
        how = _CREDENTIALS.get(store, f"Configure {url.scheme} in ~/.config/fsspec")
        return DataError(
            f"{url.public_name}: access is refused ({_words(url, e)}).",
            remedy=f"{how}, and run the same command again.",
        )
    return DataError(
        f"{url.public_name} cannot be read: {_words(url, e)}.",
        remedy="Check the address and the network, and run the same command again.",
    )


def _words(url: SourceUrl, e: Exception) -> str:
    """What a library says, in one line that shows no secret."""
    text = " ".join(url.scrubbed(str(e)).split())[:200].rstrip(". ")
    return f"{type(e).__name__}: {text}" if text else type(e).__name__


def _no_room(folder: Path, e: OSError) -> StoreError:
    if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(folder).free / _MEGABYTE
        return StoreError(
            f"No room left in {folder}: {free:,.0f} MB are free.",
            remedy="Free some space and run the same command again.",
        )
    return StoreError(f"{folder} cannot be written: {e.strerror or e}.")
