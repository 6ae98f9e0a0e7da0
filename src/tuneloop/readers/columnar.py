"""Parquet files, and datasets that the `datasets` library saved to a folder of Arrow files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuneloop.errors import DataError, require
from tuneloop.readers.rows import BadRow, RawRow, excerpt, too_large

_BATCH_ROWS = 256


def read_parquet(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row of a Parquet file, a small batch at a time; `line` is the row number."""
    parquet = require("pyarrow.parquet", extra="data")
    with _reading(path, "Parquet"), parquet.ParquetFile(path) as file:
        yield from _rows(file.iter_batches(batch_size=_BATCH_ROWS), max_row_bytes)


def read_arrow_folder(folder: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row of a dataset saved by `Dataset.save_to_disk`; of a `DatasetDict`, its `train`.

    Raises:
        DataError: the folder holds something else.
    """
    if (folder / "dataset_dict.json").is_file():
        folder = _train_split(folder)
    state = _state(folder)
    ipc = require("pyarrow", extra="data").ipc
    with _reading(folder, "Arrow"):
        yield from _rows(_stream_batches(ipc, folder, state["_data_files"]), max_row_bytes)


def _stream_batches(ipc: Any, folder: Path, files: list[dict[str, str]]) -> Iterator[Any]:
    for file in files:
        with (folder / file["filename"]).open("rb") as raw, ipc.open_stream(raw) as stream:
            yield from stream


def _rows(batches: Iterable[Any], max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for value in _values(batch.slice(start, _BATCH_ROWS)):
                number += 1
                size_bytes = _text_bytes(value)
                if value is None:
                    yield BadRow(line=number, reason="not_utf8", detail="a text is not UTF-8")
                elif size_bytes > max_row_bytes:
                    yield too_large(number, size_bytes, max_row_bytes, excerpt(str(value)[:400]))
                else:
                    yield RawRow(line=number, value=value)


def _values(batch: Any) -> Iterator[dict[str, Any] | None]:
    """Rows as dictionaries; None for one whose text cannot be decoded."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _text_bytes(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(_text_bytes(item) for item in value.values())
    if isinstance(value, list):
        return sum(_text_bytes(item) for item in value)
    return 8


def _train_split(folder: Path) -> Path:
    try:
        splits = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DataError(f"{folder / 'dataset_dict.json'} cannot be read: {e}.") from e
    if "train" not in splits:
        raise DataError(
            f"{folder} has the splits {', '.join(splits)}, and none called train.",
            remedy=f"Name one as a source, e.g. {folder.name}/{splits[0] if splits else 'train'}.",
        )
    return folder / "train"


def _state(folder: Path) -> dict[str, Any]:
    path = folder / "state.json"
    if not path.is_file():
        raise DataError(
            f"{folder} is a folder, not a data file, and no saved Hugging Face dataset either.",
            remedy=f"Name its files, e.g. {folder.name}/*.jsonl.",
        )
    try:
        state: dict[str, Any] = json.loads(path.read_text("utf-8"))
        names = [file["filename"] for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DataError(f"{path} is not the state of a saved dataset: {e}.") from e
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise DataError(f"{path} names a file outside its folder: {outside[0]!r}.")
    if state.get("_indices_data_files"):
        raise DataError(
            f"{folder} holds a selection that was not written out.",
            remedy="Save it again with: dataset.flatten_indices().save_to_disk(...)",
        )
    return state


@contextmanager
def _reading(path: Path, form: str) -> Iterator[None]:
    pyarrow = require("pyarrow", extra="data")
    try:
        yield
    except FileNotFoundError:
        raise DataError(
            f"There is no data file at {path}.", remedy="Check `data.sources` in the model file."
        ) from None
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror or e}.") from e
    except pyarrow.ArrowException as e:
        raise DataError(
            f"{path} is not a readable {form} file: {str(e).splitlines()[0]}",
            remedy="Write it again; it may have been cut off while being written.",
        ) from e
