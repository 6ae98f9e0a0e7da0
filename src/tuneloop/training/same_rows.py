"""Which rows take part in what a run trains: equal ones are the same training (T8).

A dataset version has another digest whenever its recipe, its sources or its report differ. Training
reads none of that, so a run on another version counts as the same training if the rows that took
part in it are equal, in their order, and with them everything that is read of a row.

The held-out rows take no part: rows that are set aside from those to train on pick the checkpoint
(see `validation`). Which ones follows from the groups, so these count where there is something to
pick. With one pass or less there is not: the loss on the held-out rows is looked at, and a run
keeps what it was of its own.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from tuneloop.hashing import digest_json
from tuneloop.training.config import TrainingConfig
from tuneloop.training.validation import is_drawn

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
    passed_over = _NOT_READ - {"group"} if is_drawn(config) else _NOT_READ
    return digest_json({"trained": _read(files_of(folder, config)[0], passed_over)})


def _read(path: Path, passed_over: Collection[str]) -> list[dict[str, object]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="\n") as file:
        rows = map(json.loads, file)
        return [{k: v for k, v in row.items() if k not in passed_over} for row in rows]
