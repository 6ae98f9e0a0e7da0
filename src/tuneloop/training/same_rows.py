"""Which rows take part in what a run trains: equal ones are the same training (T8).

A dataset version has another digest whenever its recipe, its sources or its report differ. Training
reads none of that, so a run on another version counts as the same training if the rows that took
part in it are equal, in their order, and with them everything that is read of a row.

The held-out rows take part too, though nothing is learnt from them: after each pass their loss is
measured, training stops early by it, and of all passes the one with the lowest loss is kept. Other
held-out rows may keep another one, so a run on them is another training. With one pass or less
there is one measurement and nothing to choose; then the held-out rows do not count, and neither
does what the loss on them was: the run keeps that of its own.
"""

from __future__ import annotations

import json
from pathlib import Path

from tuneloop.hashing import digest_json
from tuneloop.training.config import TrainingConfig

_NOT_READ = frozenset({"id", "group", "source", "line", "tags"})
"""Where a row comes from and what it belongs to; `id` is a hash of the rest."""


def files_of(folder: Path, config: TrainingConfig) -> tuple[Path, Path]:
    """Rows to train on and rows to measure, of the dataset version in `folder`."""
    names = ("train.jsonl", "eval.jsonl")
    if config.method == "dpo":
        names = ("preferences.jsonl", "preferences_eval.jsonl")
    return folder / names[0], folder / names[1]


def rows_digest(folder: Path, config: TrainingConfig) -> str:
    """Identity of the rows that take part in a training on the version in `folder`."""
    trained, measured = files_of(folder, config)
    parts = {"trained": _read(trained)}
    if config.passes > 1:
        parts["measured"] = _read(measured)
    return digest_json(parts)


def _read(path: Path) -> list[dict[str, object]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="\n") as file:
        rows = map(json.loads, file)
        return [{k: v for k, v in row.items() if k not in _NOT_READ} for row in rows]
