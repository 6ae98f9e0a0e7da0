"""`tuneloop init`: from a data file to a commented model file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tuneloop import modelfile
from tuneloop.datasets.inspect import inspect
from tuneloop.errors import DataError, UsageError
from tuneloop.modelfile.starter import Start, render


def write_model_file(
    data: Path, *, base: str, name: str | None, path: Path, force: bool = False
) -> Path:
    """Look at `data` and write a model file for it at `path`.

    Raises:
        UsageError: there is a model file already.
        DataError: the data file cannot be used.
    """
    if path.is_dir():
        path = path / modelfile.FILE_NAME
    if path.exists() and not force:
        raise UsageError(f"{path} exists already.", remedy="Keep it, or replace it with --force.")
    if not data.is_file():
        raise DataError(
            f"There is no file {data}.",
            remedy="Name a JSONL, CSV or Parquet file with examples.",
        )
    seen = inspect(data)
    notes = [f"{data.name}: {seen.usable} of {seen.rows} rows usable, as {seen.forms[0]}."]
    if seen.usable < seen.rows:
        notes.append("`tuneloop prepare` lists every row that is left out, with the reason.")
    text = render(
        Start(
            name=name or _name(data),
            base=base,
            sources=(os.path.relpath(data, path.parent),),
            system=seen.system,
            output_schema=seen.output_schema,
            abstain=seen.abstain,
            abstain_rows=seen.abstain_rows,
            group_field=seen.group_field,
            notes=tuple(notes),
        )
    )
    path.write_text(text, encoding="utf-8")
    modelfile.load(path)
    return path


def _name(data: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", data.stem.lower()).strip("-")[:64] or "model"
