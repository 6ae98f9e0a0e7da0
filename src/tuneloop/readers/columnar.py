"""Parquet files, and datasets that the `datasets` library saved to a folder of Arrow files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuneloop.errors import DataError, require
from tuneloop.readers.class_labels import labelled_columns, named
from tuneloop.readers.plain import UnfitError, plain_column
from tuneloop.readers.rows import BadRow, RawRow, excerpt, too_large

_BATCH_ROWS = 256
_EXCERPT_CHARACTERS = 400
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
"""A column that pandas wrote for an index without a name."""
_UNREADABLE = (ValueError, KeyError, OverflowError)
"""Not UTF-8, a map with a key twice, a date that no calendar has."""


def read_parquet(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row of a Parquet file, a small batch at a time; `line` is the row number."""
    parquet = require("pyarrow.parquet", extra="data")
    with _reading(path, "Parquet"), parquet.ParquetFile(path) as file:
        yield from _rows(path, file.iter_batches(batch_size=_BATCH_ROWS), max_row_bytes)


def read_arrow(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row of an Arrow or Feather file; `line` is the row number."""
    pyarrow = require("pyarrow", extra="data")
    with _reading(path, "Arrow"), path.open("rb") as raw:
        try:
            file = pyarrow.ipc.open_file(raw)
        except pyarrow.ArrowInvalid:  # what `datasets` writes is a stream and no file
            raw.seek(0)
            yield from _rows(path, pyarrow.ipc.open_stream(raw), max_row_bytes)
        else:
            batches = (file.get_batch(n) for n in range(file.num_record_batches))
            yield from _rows(path, batches, max_row_bytes)


def read_saved_dataset(folder: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row of a dataset saved by `Dataset.save_to_disk`; of a `DatasetDict`, its `train`.

    Raises:
        DataError: the folder holds something else.
    """
    if (folder / "dataset_dict.json").is_file():
        folder = _train_split(folder)
    state = _state(folder)
    ipc = require("pyarrow", extra="data").ipc
    with _reading(folder, "Arrow"):
        yield from _rows(folder, _stream_batches(ipc, folder, state["_data_files"]), max_row_bytes)


def _stream_batches(ipc: Any, folder: Path, files: list[dict[str, str]]) -> Iterator[Any]:
    for file in files:
        with (folder / file["filename"]).open("rb") as raw, ipc.open_stream(raw) as stream:
            yield from stream


def _rows(path: Path, batches: Iterable[Any], max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    types = require("pyarrow", extra="data").types
    number = 0
    for batch in batches:
        labels = labelled_columns(batch.schema.metadata)
        names = [name for name in batch.schema.names if _PANDAS_INDEX.fullmatch(name) is None]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise DataError(
                f"{path}: the column {repeated!r} stands twice.", remedy="Rename one of them."
            )
        batch = batch.select(names)
        odd = [field.name for field in batch.schema if not _is_plain(field.type, types)]
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for value in _values(batch.slice(start, _BATCH_ROWS)):
                number += 1
                yield _row(number, value, odd, labels, max_row_bytes)


def _is_plain(kind: Any, types: Any) -> bool:
    """Whether Python has its values as JSON has them."""
    if types.is_struct(kind):
        return all(_is_plain(kind.field(n).type, types) for n in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_dictionary(kind):
        return _is_plain(kind.value_type, types)
    return any(
        is_kind(kind)
        for is_kind in (
            *(types.is_string, types.is_large_string, types.is_integer),
            *(types.is_boolean, types.is_null),
        )
    )


def _row(
    number: int,
    value: dict[str, Any] | BadRow,
    odd: Sequence[str],
    labels: Mapping[str, Any],
    max_row_bytes: int,
) -> RawRow | BadRow:
    if isinstance(value, BadRow):
        return replace(value, line=number)
    size_bytes = _text_bytes(value)
    if size_bytes > max_row_bytes:
        return too_large(number, size_bytes, max_row_bytes, _beginning(value))
    try:
        for name in odd:
            value[name] = plain_column(value[name], name)
        for name, feature in labels.items():
            if name in value:
                value[name] = named(value[name], feature, name)
    except UnfitError as e:
        return BadRow(line=number, reason=e.reason, detail=e.detail, excerpt=_beginning(value))
    return RawRow(line=number, value=value)


def _beginning(value: dict[str, Any]) -> str:
    return excerpt(str(value)[:_EXCERPT_CHARACTERS])


def _values(batch: Any) -> Iterator[dict[str, Any] | BadRow]:
    """Rows as dictionaries; what is wrong with one whose values Python cannot hold."""
    try:
        yield from batch.to_pylist(maps_as_pydicts="strict")
    except _UNREADABLE:
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist(maps_as_pydicts="strict")[0]
            except UnicodeDecodeError:
                yield BadRow(line=0, reason="not_utf8", detail="a text is not UTF-8")
            except _UNREADABLE as e:
                yield BadRow(line=0, reason="not_json", detail=f"a value cannot be read: {e}")


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
