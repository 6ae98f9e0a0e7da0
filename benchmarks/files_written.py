"""The kinds of files that people bring, as the programs that they use write them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
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


def _damaged_table(name: str, delimiter: str) -> Callable[[Path, int, random.Random], Written]:
    """Written with quotes where they are needed; every tenth line cannot be read."""

    def write(folder: Path, rows: int, rng: random.Random) -> Written:
        spoken = _spoken(rows, rng)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(["prompt", "completion", "system"])
        for row in _columns(spoken):
            asked = (
                f'{row["prompt"]} "So{delimiter} well."' if rng.random() < 0.3 else row["prompt"]
            )
            writer.writerow([asked, row["completion"], row["system"]])
        header, *lines = text.getvalue().splitlines()
        expected = dict(enumerate(spoken, start=2))
        for number in range(rows):
            damaged = number % 10 == 3
            if damaged:
                begun = lines[number].split(delimiter)[0]
                lines[number] = rng.choice([begun, f"{lines[number]}{delimiter}x", f'"{begun}'])
            asked = next(csv.reader([lines[number]], delimiter=delimiter))[0]
            turns = (replace(spoken[number].turns[0], text=asked), spoken[number].turns[1])
            expected[number + 2] = replace(spoken[number], turns=turns, usable=not damaged)
        path = folder / name
        path.write_text("\n".join([header, *lines]) + "\n", "utf-8")
        return path, expected

    return write


def _json(
    name: str, *, inside: str = "", **layout: Any
) -> Callable[[Path, int, random.Random], Written]:
    """An array, or an object with one; indented, its rows begin at lines of their own."""

    def write(folder: Path, rows: int, rng: random.Random) -> Written:
        spoken = _spoken(rows, rng)
        columns = _columns(spoken)
        text = json.dumps({"version": 1, inside: columns} if inside else columns, **layout)
        starts = [n for n, line in enumerate(text.split("\n"), start=1) if line.strip() == "{"]
        path = folder / name
        path.write_text(text, "utf-8")
        return path, dict(zip(starts[-rows:] or range(1, rows + 1), spoken, strict=True))

    return write


def _indented_objects(folder: Path, rows: int, rng: random.Random) -> Written:
    """Objects one after another over several lines; every tenth is no JSON."""
    spoken, expected, texts, line = _spoken(rows, rng), {}, [], 1
    for number, row in enumerate(_columns(spoken)):
        text = json.dumps(row, indent=2)
        if number % 10 == 3:
            text = text.replace(
                *rng.choice([('",', "',"), ('"system"', '"system'), (",", ""), ("}", "")])
            )
        expected[line] = replace(spoken[number], usable=number % 10 != 3)
        texts.append(text)
        line += text.count("\n") + 1
    path = folder / "rows.jsonl"
    path.write_text("\n".join(texts), "utf-8")
    return path, expected


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


def _labels(spoken: list[Spoken]) -> Any:
    """A dataset whose answers are class labels."""
    try:
        import datasets
    except ImportError as e:
        raise UnwrittenError(str(e)) from e
    datasets.disable_progress_bars()
    label = datasets.ClassLabel(names=sorted({it.turns[1].text for it in spoken}))
    columns = _columns(spoken)
    features = {"prompt": datasets.Value("string"), "completion": label}
    features["system"] = datasets.Value("string")
    rows = [{**row, "completion": label.str2int(row["completion"])} for row in columns]
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


def _labelled_parquet(folder: Path, rows: int, rng: random.Random) -> Written:
    spoken = _spoken(rows, rng)
    path = folder / "rows.parquet"
    _labels(spoken).to_parquet(str(path))
    return path, dict(enumerate(spoken, start=1))


def _dated_parquet(folder: Path, rows: int, rng: random.Random) -> Written:
    """Answers with dates and amounts; where pandas had no number, there is NaN."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise UnwrittenError(str(e)) from e
    spoken, table, expected = _spoken(rows, rng), [], {}
    for number, it in enumerate(spoken, start=1):
        day, amount = date(2026, 1, 1 + number % 28), number + 0.5
        usable = number % 10 != 3
        written = {
            "due": day,
            "paid": Decimal(f"{amount}0"),
            "rest": amount if usable else math.nan,
        }
        table.append({**_columns([it])[0], "completion": written})
        answer = json.dumps({"due": day.isoformat(), "paid": amount, "rest": amount})
        turns = (it.turns[0], replace(it.turns[1], text=answer))
        expected[number] = replace(it, turns=turns, usable=usable)
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(table), path)
    return path, expected


def _repository(folder: Path, rows: int, rng: random.Random) -> Written:
    """A dataset as it is downloaded; its test split must not be trained on."""
    spoken = _spoken(rows + 10, rng)
    data = folder / "downloaded" / "data"
    data.mkdir(parents=True)
    dataset = _labels(spoken)
    dataset.select(range(rows)).to_parquet(str(data / "train-00000-of-00001.parquet"))
    dataset.select(range(rows, rows + 10)).to_parquet(str(data / "test-00000-of-00001.parquet"))
    return data.parent, dict(enumerate(spoken[:rows], start=1))


def _sheet(folder: Path, rows: int, rng: random.Random) -> Written:
    try:
        import openpyxl
    except ImportError as e:
        raise UnwrittenError(str(e)) from e
    spoken = _spoken(rows, rng)
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Rows")
    sheet.append(["prompt", "completion", "system"])
    for row in _columns(spoken):
        sheet.append(list(row.values()))
    path = folder / "rows.xlsx"
    book.save(path)
    return path, dict(enumerate(spoken, start=2))


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
    "csv, damaged": _damaged_table("rows.csv", ","),
    "tsv, damaged": _damaged_table("rows.tsv", "\t"),
    "json array": _json("rows.json"),
    "json array, indented": _json("rows.json", indent=2),
    "json array in an object": _json("rows.json", inside="data", indent=1),
    "json objects, indented, damaged": _indented_objects,
    "jsonl, damaged": _damaged_lines,
    "jsonl.gz": _gzip,
    "jsonl.zst": _zstd,
    "parquet": _parquet,
    "parquet of three forms": _mixed_parquet,
    "parquet with class labels": _labelled_parquet,
    "parquet with dates and NaN": _dated_parquet,
    "saved dataset": _saved_dataset,
    "downloaded dataset": _repository,
    "xlsx": _sheet,
}
"""Name → writes a file of so many rows."""
