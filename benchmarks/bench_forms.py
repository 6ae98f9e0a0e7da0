"""Rows of every format in use, with and without faults: understood, left out, silently wrong.

    python benchmarks/bench_forms.py [--rows 200]

Conversations are written in each format and each kind of file, a third of the rows with a fault
(`forms_written.FAULTS`), and read by `prepare` itself. A row is *understood* where every answer
that is to be learnt is stored behind exactly the turns before it, and nothing else is; *left out*
where it is in the quarantine with a reason, and nothing of it is stored; *silently wrong* in any
other case: learnt though it was marked as bad, learnt without its system text or context, or lost
without a word. `refused_wrongly` counts rows that were left out and need not have been.

The last line is one JSON object; it is also written to benchmarks/results/forms.json.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from files_written import FILES, UnwrittenError
from forms_written import FAULTS, FORMATS, Format, Row, Spoken, make

from tuneloop.datasets import versions
from tuneloop.datasets.example import Example
from tuneloop.errors import DataError
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.workspace import Workspace

RESULTS = Path(__file__).parent / "results" / "forms.json"
FAULT_SHARE = 1 / 3
Figures = dict[str, int]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each format, and the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200, help="rows of each format")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(argv)
    results: dict[str, Figures] = {}
    for name, form in FORMATS.items():
        rng = random.Random(f"{chosen.seed} {name}")
        written = [_written(form, rng) for _ in range(chosen.rows)]
        results[name] = _measured([row for row, _ in written], [it for _, it in written])
        _tell(name, results[name])
    for name, write in FILES.items():
        rng = random.Random(f"{chosen.seed} {name}")
        results[f"file: {name}"] = _of_file(write, chosen.rows, rng)
        _tell(f"file: {name}", results[f"file: {name}"])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(json.dumps(results))
    return int(any(figures["silently_wrong"] for figures in results.values()))


def _tell(name: str, figures: Figures) -> None:
    print(f"{name:30}", *(f"{key} {value}" for key, value in figures.items()), flush=True)


def _written(form: Format, rng: random.Random) -> tuple[Row, Spoken]:
    spoken = make(form, rng)
    row = form.write(spoken)
    if rng.random() < FAULT_SHARE:
        for fault in rng.sample(list(FAULTS.values()), len(FAULTS)):
            if (made := fault(row, spoken, form, rng)) is not None:
                return made
    return row, spoken


def _measured(rows: Sequence[Row], spoken: Sequence[Spoken]) -> Figures:
    """What `prepare` makes of rows of one format, as JSON Lines."""

    def write(folder: Path) -> Path:
        path = folder / "rows.jsonl"
        lines = (json.dumps(row, ensure_ascii=True) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return path

    return _counted(write, dict(enumerate(spoken, start=1)))


def _of_file(
    write: Callable[[Path, int, random.Random], tuple[Path, dict[int, Spoken]]],
    rows: int,
    rng: random.Random,
) -> Figures:
    """The same of one kind of file, some of which have damaged lines."""
    with tempfile.TemporaryDirectory(prefix="tuneloop-forms-") as folder:
        try:
            path, spoken = write(Path(folder), rows, rng)
        except UnwrittenError as e:
            print(f"  {e}", file=sys.stderr)
            return {"rows": 0, "understood": 0, "left_out": 0, "silently_wrong": 0}
        return _counted(lambda _: path, spoken)


def _counted(write: Callable[[Path], Path], spoken: Mapping[int, Spoken]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tuneloop-forms-") as scratch:
        folder = Path(scratch)
        try:
            kept, left_out = _prepared(folder, write(folder))
        except DataError as e:  # Refused as a whole, with the reason.
            print(f"  {e.message}", file=sys.stderr)
            kept, left_out = {}, dict.fromkeys(spoken, 1)
    figures = {"rows": 0, "understood": 0, "left_out": 0, "silently_wrong": 0, "refused_wrongly": 0}
    for line, expected in spoken.items():
        figures["rows"] += 1
        verdict = _verdict(expected, kept.get(line, []), left_out.get(line, 0))
        figures[verdict] += 1
        if verdict == "left_out" and expected.usable and expected.answers():
            figures["refused_wrongly"] += 1
    figures["silently_wrong"] += len(set(kept) - set(spoken))
    return figures


def _verdict(expected: Spoken, kept: Sequence[Example], left_out: int) -> str:
    if not kept:
        return "left_out" if left_out else "silently_wrong"
    if not expected.usable:
        return "silently_wrong"
    stored = sorted((_turns(example), example.completion) for example in kept)
    right = stored == sorted(expected.answers())
    tools = all([dict(tool) for tool in e.tools] == list(expected.tools) for e in kept)
    rejected = all(example.rejected in (None, expected.rejected) for example in kept)
    return "understood" if right and tools and rejected else "silently_wrong"


def _turns(example: Example) -> tuple[tuple[str, str], ...]:
    return tuple((message.role, message.text) for message in example.messages)


def _prepared(folder: Path, source: Path) -> tuple[dict[int, list[Example]], dict[int, int]]:
    """Line → what is stored of it, and how often it stands in the quarantine."""
    settings = ModelSettings(
        name="forms",
        base="none",
        data=DataSettings(sources=(str(source),), near_duplicate_similarity=1.0),
    )
    model_file = ModelFile(path=folder / "tuneloop.yaml", settings=settings, origins={})
    workspace = Workspace.open(folder / "workspace")
    kept: dict[int, list[Example]] = defaultdict(list)
    left_out: dict[int, int] = defaultdict(int)
    try:
        version = versions.prepare(workspace, model_file)
    finally:
        workspace.records.close()
    for side in ("train", "eval"):
        for example in versions.read_examples(workspace, version, side):
            kept[example.line].append(example)
    rows: list[dict[str, Any]] = versions.read_left_out(workspace, version)
    for row in rows:
        left_out[row["line"]] += 1
    return kept, left_out


if __name__ == "__main__":
    sys.exit(main())
