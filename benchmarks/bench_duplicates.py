"""Which inputs are alike: recall and precision of near-duplicate search on public data.

    python benchmarks/bench_duplicates.py

MTS-Dialog has the truth (row i and row i + 1,201 are translations of each other); Banking77 and
CLINC150 have labels: a pair of alike messages with two labels is one that likeness alone gets
wrong. Needs ../shared/data. The last line is one JSON object.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

from tuneloop.datasets.likeness import Likeness, compare
from tuneloop.sameness import strict

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
THRESHOLDS = (0.8, 0.85, 0.9, 0.95)
TRANSLATED_ROWS = 1_201


def main() -> int:
    """Print a table and the JSON line."""
    if not DATA.is_dir():
        print(f"There is no public data at {DATA}: nothing to measure.", file=sys.stderr)
        return 1
    results = {
        "mts_dialog": [_translations(_mts_dialog(), one) for one in THRESHOLDS],
        "banking77": [_labelled(*_banking77(), one) for one in THRESHOLDS],
        "clinc150": [_labelled(*_clinc150(), one) for one in THRESHOLDS],
    }
    for name, figures in results.items():
        for one in figures:
            print(name, *(f"{key}={value}" for key, value in one.items()))
    print(json.dumps({"near_duplicates": results}))
    return 0


def _translations(texts: list[str], similarity: float) -> dict[str, float]:
    found, seconds = _timed(texts, similarity)
    pairs = _pairs(found)
    right = sum(other - row == TRANSLATED_ROWS for row, other in pairs)
    return {
        "similarity": similarity,
        "rows": len(texts),
        "pairs": len(pairs),
        "precision": round(right / len(pairs), 3),
        "recall": round(right / TRANSLATED_ROWS, 3),
        "cpu_seconds": seconds,
    }


def _labelled(texts: list[str], labels: list[str], similarity: float) -> dict[str, float]:
    found, seconds = _timed(texts, similarity)
    pairs = _pairs(found)
    same = sum(labels[row] == labels[other] for row, other in pairs)
    return {
        "similarity": similarity,
        "rows": len(texts),
        "pairs": len(pairs),
        "one_label_share": round(same / len(pairs), 3),
        "removed_share": round(_removed(found, labels) / len(texts), 3),
        "template_texts": sum(map(len, found.templates)),
        "cpu_seconds": seconds,
    }


def _timed(texts: list[str], similarity: float) -> tuple[Likeness, float]:
    began = time.process_time()
    found = compare(texts, similarity=similarity)
    return found, round(time.process_time() - began, 1)


def _pairs(found: Likeness) -> list[tuple[int, int]]:
    return [
        (row, other)
        for row in range(len(found.text_of))
        for other, _ in found.neighbours(row)
        if row < other
    ]


def _removed(found: Likeness, labels: list[str]) -> int:
    """Rows that would go because a kept one is alike and has the same label."""
    kept: set[int] = set()
    for row, label in enumerate(labels):
        if not any(other in kept and labels[other] == label for other, _ in found.neighbours(row)):
            kept.add(row)
    return len(labels) - len(kept)


def _mts_dialog() -> list[str]:
    (path,) = (DATA / "mts_dialog").glob("*Augmented*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [strict(row["dialogue"]) for row in csv.DictReader(file)]


def _banking77() -> tuple[list[str], list[str]]:
    texts, labels = [], []
    for name in ("train.csv", "test.csv"):
        with (DATA / "banking77" / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                texts.append(strict(row["text"]))
                labels.append(row["category"])
    return texts, labels


def _clinc150() -> tuple[list[str], list[str]]:
    data = json.loads((DATA / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    rows = [row for part in data.values() for row in part]
    return [strict(text) for text, _ in rows], [label for _, label in rows]


if __name__ == "__main__":
    sys.exit(main())
