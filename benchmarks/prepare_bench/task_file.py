"""What a method is given and what it answers; needs nothing but the standard library.

It is asked in a process of its own. The folder holds `rows.jsonl`, and gets `removed.json` with the
seconds and the positions of the rows that the method would remove.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Task:
    """The rows to look for near-duplicates in."""

    folder: Path
    threshold: float
    """From which on two rows are alike, in the method's own measure."""

    def texts(self) -> list[str]:
        """The messages, in order."""
        with (self.folder / "rows.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line)["messages"][0]["content"] for line in file]


def answer(method: Callable[[Task], list[int]], folder: Path, *, threshold: float) -> None:
    """Ask a method, with the clock running from its first look at the rows."""
    began = time.perf_counter()
    removed = method(Task(folder=folder, threshold=threshold))
    seconds = time.perf_counter() - began
    (folder / "removed.json").write_text(
        json.dumps({"seconds": round(seconds, 2), "removed": removed}), encoding="utf-8"
    )


def first_of_each(alike: Iterable[tuple[int, Iterable[int]]]) -> list[int]:
    """Rows that are alike to a kept one before them; `alike` goes through the rows in order."""
    kept: set[int] = set()
    removed = []
    for row, others in alike:
        if any(other in kept for other in others):
            removed.append(row)
        else:
            kept.add(row)
    return removed
