"""One run of tuneloop: all of `prepare`, or only the search for near-duplicates; see `answer`."""

from __future__ import annotations

import sys
from pathlib import Path

from task_file import Task, answer, first_of_each

import tuneloop
from tuneloop.datasets.likeness import compare
from tuneloop.sameness import strict


def prepare(task: Task) -> list[int]:
    """Lines of the rows that were left out as duplicates."""
    loop = tuneloop.open(task.folder, progress=None)
    version = loop.prepare()
    return [
        int(row["line"]) - 1
        for row in loop.quarantined(version)
        if row["reason"].endswith("_duplicate")
    ]


def likeness(task: Task) -> list[int]:
    """Rows that are alike to one before them that stays, whatever their answers."""
    found = compare([strict(text) for text in task.texts()], similarity=task.threshold)
    return first_of_each(
        (row, (other for other, _ in found.neighbours(row))) for row in range(len(found.text_of))
    )


if __name__ == "__main__":
    methods = {"tuneloop": prepare, "tuneloop_likeness": likeness}
    answer(methods[sys.argv[1]], Path(sys.argv[2]), threshold=float(sys.argv[3]))
