"""The kinds of files that people bring, as the programs that they use write them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forms_written import FORMATS, Spoken, make

Written = tuple[Path, dict[int, Spoken]]
"""The file, and the conversation of each line; one that is damaged is not usable."""
_FORM = FORMATS["trl-prompt-completion"]


class UnwrittenError(Exception):
    """What writes such a file is not installed."""


def _spoken(rows: int, rng: random.Random) -> list[Spoken]:
    return [make(_FORM, rng) for _ in range(rows)]


def _columns(spoken: list[Spoken]) -> list[dict[str, Any]]:
    return [
        {"prompt": it.turns[0].text, "completion": it.turns[1].text, "system": it.system}
        for it in spoken
    ]


def _delimited(
    name: str,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
    before: str = "",
    index: bool = False,
) -> Callable[[Path, int, random.Random], Written]:
    def write(folder: Path, rows: int, rng: random.Random) -> Written:
        spoken = _spoken(rows, rng)
        text = io.StringIO()
        text.write(before)
        writer = csv.writer(text, delimiter=delimiter)
        writer.writerow([*([""] if index else []), "prompt", "completion", "system"])
        for number, row in enumerate(_columns(spoken)):
            writer.writerow([*([number] if index else []), *row.values()])
        path = folder / name
        path.write_bytes(text.getvalue().encode(encoding))
        first = 2 + before.count("\n")
        return path, dict(enumerate(spoken, start=first))

    return write


def _tsv_with_quotes(folder: Path, rows: int, rng: random.Random) -> Written:
    """Written without a thought of quoting: a quote in a text is a quote."""
    lines, expected = ["prompt\tcompletion"], {}
    for number, spoken in enumerate(_spoken(rows, rng), start=2):
        asked, answer = spoken.turns[0].text, spoken.turns[1].text
        if rng.random() < 0.2:
            word, _, rest = asked.partition(" ")
            asked = rng.choice([f'"{word}" {rest}', f'"{asked}', f'{asked}"'])
        lines.append(f"{asked}\t{answer}")
        turns = (type(spoken.turns[0])(role="user", text=asked), spoken.turns[1])
        expected[number] = Spoken(turns=turns)
    path = folder / "rows.tsv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path, expected


def _json(name: str, **layout: Any) -> Callable[[Path, int, random.Random], Written]:
    def write(folder: Path, rows: int, rng: random.Random) -> Written:
        spoken = _spoken(rows, rng)
        path = folder / name
        path.write_text(json.dumps(_columns(spoken), **layout), "utf-8")
        return path, dict(enumerate(spoken, start=1))

    return write


def _lines(spoken: list[Spoken]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in _columns(spoken)).encode()


def _damaged_lines(folder: Path, rows: int, rng: random.Random) -> Written:
    """Every tenth line is cut off, or holds what JSON has not."""
    spoken = _spoken(rows, rng)
    lines = _lines(spoken).decode().splitlines()
    expected = dict(enumerate(spoken, start=1))
    for number in range(0, rows, 10):
        half = lines[number][: len(lines[number]) // 2]
        lines[number] = rng.choice([half, f"{lines[number]},", '{"prompt": NaN}', "\x00", "[1]"])
        expected[number + 1] = Spoken(turns=spoken[number].turns, usable=False)
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path, expected


def _gzip(folder: Path, rows: int, rng: random.Random) -> Written:
    spoken = _spoken(rows, rng)
    path = folder / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(_lines(spoken)))
    return path, dict(enumerate(spoken, start=1))


def _zstd(folder: Path, rows: int, rng: random.Random) -> Written:
    try:
        import pyarrow as pa
    except ImportError as e:
        raise UnwrittenError(str(e)) from e
    spoken = _spoken(rows, rng)
    path = folder / "rows.jsonl.zst"
    with pa.output_stream(path, compression="zstd") as stream:
        stream.write(_lines(spoken))
    return path, dict(enumerate(spoken, start=1))


def _parquet(folder: Path, rows: int, rng: random.Random) -> Written:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise UnwrittenError(str(e)) from e
    spoken = _spoken(rows, rng)
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(_columns(spoken)), path)
    return path, dict(enumerate(spoken, start=1))


def _mixed_parquet(folder: Path, rows: int, rng: random.Random) -> Written:
    """Rows of three formats in one table: what a row has not is null."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise UnwrittenError(str(e)) from e
    forms = [FORMATS[name] for name in ("openai-chat", "trl-prompt-completion", "trl-preference")]
    made = [(form, make(form, rng)) for form in (rng.choice(forms) for _ in range(rows))]
    path = folder / "rows.parquet"
    written = [form.write(it) for form, it in made]
    columns = sorted({name for row in written for name in row})
    table = pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in written])
    pq.write_table(table, path)
    return path, {number: it for number, (_, it) in enumerate(made, start=1)}


def _saved_dataset(folder: Path, rows: int, rng: random.Random) -> Written:
    try:
        import datasets
    except ImportError as e:
        raise UnwrittenError(str(e)) from e
    spoken = _spoken(rows, rng)
    path = folder / "saved"
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(_columns(spoken)).save_to_disk(str(path))
    return path, dict(enumerate(spoken, start=1))


FILES: dict[str, Callable[[Path, int, random.Random], Written]] = {
    "csv": _delimited("rows.csv"),
    "csv of pandas": _delimited("rows.csv", index=True),
    "csv of Excel": _delimited("rows.csv", delimiter=";", encoding="utf-8-sig", before="sep=;\n"),
    "csv in cp1252": _delimited("rows.csv", delimiter=";", encoding="cp1252"),
    "tsv": _delimited("rows.tsv", delimiter="\t"),
    "tsv with quotes": _tsv_with_quotes,
    "json array": _json("rows.json"),
    "json array, indented": _json("rows.json", indent=2),
    "jsonl, damaged": _damaged_lines,
    "jsonl.gz": _gzip,
    "jsonl.zst": _zstd,
    "parquet": _parquet,
    "parquet of three forms": _mixed_parquet,
    "saved dataset": _saved_dataset,
}
"""Name → writes a file of so many rows."""
