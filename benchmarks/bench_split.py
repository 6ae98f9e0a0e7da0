"""What a share of 0.1 holds out of each class, on public data: by class, and by number alone.

    python benchmarks/bench_split.py

By number alone is what was done before the split looked at classes. `distance` is how far the
classes of the held-out cases are from those of the rows (total variation, 0..1): no figure over all
cases is off by more than that times the difference between classes. Needs ../shared/data. The last
line is one JSON object.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuneloop.conversation import Message
from tuneloop.datasets.example import Example
from tuneloop.datasets.selection import Earlier, Rules, select
from tuneloop.datasets.split import hash_share

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARE = 0.1
SIZES = (20, 14, 10, 5, 3, 2)
"""Rows of each class, in samples of CLINC150."""
TAIL = (20, 100, 3)
"""Classes of Banking77 with many rows, rows of each, and rows of each of the others."""


def main() -> int:
    """Print a line a set and the JSON line."""
    if not DATA.is_dir():
        print(f"There is no public data at {DATA}: nothing to measure.", file=sys.stderr)
        return 1
    clinc, banking = _clinc150(), _banking77()
    large, many, few = TAIL
    frequent = sorted({row.completion for row in banking})[:large]
    tail = [
        *_sample([row for row in banking if row.completion in frequent], many),
        *_sample([row for row in banking if row.completion not in frequent], few),
    ]
    sets = {
        "clinc150": clinc,
        "banking77": banking,
        **{f"clinc150, {size} of each": _sample(clinc, size) for size in SIZES},
        f"banking77, {large} × {many} and 57 × {few}": tail,
    }
    results = {name: _measured(rows) for name, rows in sets.items()}
    for name, figures in results.items():
        print(name, figures)
    print(json.dumps({"split": results}, ensure_ascii=False))
    return 0


def _measured(rows: Sequence[Example]) -> dict[str, Any]:
    rules = Rules(similarity=0.9, holdout_share=SHARE, allow_contradictions=False)
    selection = select(rows, rules=rules, earlier=Earlier(), cases=[])
    kept = [*selection.train, *selection.eval]
    by_number = [row for row in kept if hash_share(row.group) < SHARE]
    return {
        "rows": len(kept),
        "classes": len({row.completion for row in kept}),
        "by_class": _figures(selection.eval, kept),
        "by_number": _figures(by_number, kept),
    }


def _figures(held_out: Sequence[Example], kept: Sequence[Example]) -> dict[str, float]:
    cases, rows = (Counter(row.completion for row in side) for side in (held_out, kept))
    return {
        "held_out_share": round(len(held_out) / len(kept), 4),
        "not_measured": sum(not cases[name] for name in rows),
        "not_trained": sum(cases[name] == rows[name] for name in rows),
        "distance": round(
            sum(abs(cases[n] / len(held_out) - rows[n] / len(kept)) for n in rows) / 2, 3
        ),
    }


def _sample(rows: Sequence[Example], size: int) -> list[Example]:
    classes: defaultdict[str, list[Example]] = defaultdict(list)
    for row in rows:
        classes[row.completion].append(row)
    chosen = random.Random(0)
    return [
        row for _, of in sorted(classes.items()) for row in chosen.sample(of, min(size, len(of)))
    ]


def _clinc150() -> list[Example]:
    data = json.loads((DATA / "clinc150" / "data_small.json").read_text("utf-8"))
    return [_row(text, label) for text, label in (*data["train"], *data["oos_train"])]


def _banking77() -> list[Example]:
    with (DATA / "banking77" / "train.csv").open(newline="", encoding="utf-8") as file:
        return [_row(row["text"], row["category"]) for row in csv.DictReader(file)]


def _row(text: str, label: str) -> Example:
    return Example(
        messages=(Message(role="user", content=text),),
        completion=json.dumps({"intent": label}),
        source="public",
        line=1,
    )


if __name__ == "__main__":
    sys.exit(main())
