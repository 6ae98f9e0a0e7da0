"""Files in, raw rows out: one row at a time, in bounded memory, each with the line it stands on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from tuneloop.errors import DataError
from tuneloop.readers import folders
from tuneloop.readers.columnar import read_arrow, read_parquet, read_saved_dataset
from tuneloop.readers.delimited import how_delimited, read_delimited
from tuneloop.readers.folders import is_hidden
from tuneloop.readers.json_file import how_arranged, read_json
from tuneloop.readers.packed import PACKED_ENDINGS, unpacked_name
from tuneloop.readers.rows import BadRow, RawRow
from tuneloop.readers.sheets import SHEET_ENDINGS, parted, read_sheet, sheet_read
from tuneloop.table import READER_GROUP, Table

__all__ = [
    "READERS",
    "BadRow",
    "RawRow",
    "Reader",
    "data_files",
    "file_of",
    "is_data_file",
    "is_hidden",
    "read_as",
    "read_rows",
]

Reader = Callable[[Path, int], Iterator[RawRow | BadRow]]
"""A file and the most bytes of a row in, every row with its line out."""

READERS: Table[Reader] = Table(
    READER_GROUP,
    {
        "jsonl": read_json,
        "ndjson": read_json,
        "json": read_json,
        "csv": read_delimited,
        "tsv": read_delimited,
        "parquet": read_parquet,
        "arrow": read_arrow,
        "feather": read_arrow,
        **dict.fromkeys(SHEET_ENDINGS, read_sheet),
    },
    kind=Callable,  # type: ignore[arg-type]  # as good as a class to isinstance
)
"""By the ending of a file's name."""
_NEVER_PACKED = (read_parquet, read_arrow, read_sheet)


def read_rows(path: Path, *, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row of a file, or of the training files of a folder; a bad one says why.

    `.jsonl`, `.csv` and their kin may be packed: `.gz`, `.zst`, `.bz2` or `.xz`. A sheet of a
    spreadsheet may be named: `sales.xlsx#May`.

    Raises:
        DataError: the file as a whole cannot be read: missing, another encoding or form.
        ExtensionError: a package adds a reader of this ending, and it cannot be used.
    """
    if path.is_dir():
        if folders.is_saved_dataset(path):
            yield from read_saved_dataset(path, max_row_bytes)
            return
        for file in data_files(path):
            yield from read_rows(file, max_row_bytes=max_row_bytes)
        return
    ending = _ending(path)
    reader = READERS.find(ending)
    if reader is None:
        known = ", ".join(f".{name}" for name in READERS.names())
        found = f"in {f'.{ending}'!r}" if ending else "in nothing"
        raise DataError(
            f"{path}: files that end {found} are not known as data.",
            remedy=f"Expected one of: {known}, or a folder with such files.",
        )
    if reader in _NEVER_PACKED and path.suffix.lower() in PACKED_ENDINGS:
        raise DataError(
            f"{path}: a .{ending} file is packed inside, and cannot be read in {path.suffix}.",
            remedy="Unpack it.",
        )
    yield from reader(path, max_row_bytes)


def data_files(path: Path) -> list[Path]:
    """The file itself; of a folder the files of its training rows, see `folders`.

    Raises:
        DataError: the folder holds none, or it cannot be told which they are.
    """
    return folders.data_files(path, READERS.__contains__) if path.is_dir() else [path]


def is_data_file(path: str) -> bool:
    """Whether a reader is known for the ending of a file's name, wherever the file lies."""
    return READERS.find(_ending(Path(PurePosixPath(path).name))) is not None


def file_of(path: Path) -> Path:
    """The file that a path names, without the sheet: `sales.xlsx#May` → `sales.xlsx`."""
    return parted(path)[0]


def read_as(path: Path, *, max_row_bytes: int) -> str:
    """How a file is read where that is not a matter of course, e.g. `Windows-1252 text`.

    Raises:
        DataError: as `read_rows` does.
    """
    if path.is_dir():
        files = data_files(path)
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        return "" if files == [path] else f"{files[0].relative_to(path)}{more}"
    reader = READERS.own.get(_ending(path))
    if reader is read_delimited:
        return how_delimited(path, max_row_bytes)
    if reader is read_json:
        return how_arranged(path, max_row_bytes)
    return sheet_read(path) if reader is read_sheet else ""


def _ending(path: Path) -> str:
    """What tells the reader of a file: `rows.CSV.gz` → `csv`."""
    return unpacked_name(file_of(path)).suffix.lower().removeprefix(".")
