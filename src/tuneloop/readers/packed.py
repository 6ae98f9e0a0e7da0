"""Opens a file, and unpacks it on the way where its name says that it is packed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tuneloop.errors import DataError, require

_BUFFER_BYTES = 1 << 16


def _zstandard(path: Path) -> Any:
    # Python has a module for it from 3.14 on; Arrow, which reads Parquet, has one at hand.
    return require("pyarrow", extra="data").input_stream(str(path), compression="zstd")


_PACKINGS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".zst": _zstandard,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
PACKED_ENDINGS = tuple(_PACKINGS)
_MARKS = {
    ".gz": rb"\x1f\x8b",
    ".zst": rb"\x28\xb5\x2f\xfd",
    ".bz2": rb"BZh[1-9]1AY&SY",
    ".xz": rb"\xfd7zXZ\x00",
}
"""How a packed file begins, whatever its name."""
_MARK_BYTES = 10


def unpacked_name(path: Path) -> Path:
    """The path without the ending that says how it is packed: `rows.csv.gz` → `rows.csv`."""
    return path.with_suffix("") if path.suffix.lower() in _PACKINGS else path


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked when its name ends in, or it begins as, one of the packings.

    Raises:
        DataError: it is missing, cannot be opened, or cannot be unpacked.
        MissingExtraError: it is packed with Zstandard, and Arrow is not installed.
    """
    open_packed = None
    try:
        open_packed = _PACKINGS.get(path.suffix.lower()) or _PACKINGS.get(_packing(path))
        with (open_packed or _plain)(path) as raw, io.BufferedReader(raw, _BUFFER_BYTES) as file:
            yield cast(io.BufferedReader, file)
    except FileNotFoundError:
        raise DataError(
            f"There is no data file at {path}.", remedy="Check `data.sources` in the model file."
        ) from None
    except (EOFError, zlib.error, lzma.LZMAError) as e:
        raise _cannot_be_unpacked(path, e) from e
    except OSError as e:
        if open_packed is not None and e.errno is None:
            raise _cannot_be_unpacked(path, e) from e
        raise DataError(f"{path} cannot be read: {e.strerror or e}.") from e


def _packing(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_MARK_BYTES)
    return next((ending for ending, mark in _MARKS.items() if re.match(mark, head)), "")


def _plain(path: Path) -> Any:
    return path.open("rb", buffering=0)


def _cannot_be_unpacked(path: Path, why: Exception) -> DataError:
    return DataError(f"{path} cannot be unpacked: {why}.", remedy="Pack it again.")
