"""One run of datasketch's MinHash LSH over 4-character shingles, the first of each family kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from datasketch import MinHash, MinHashLSH
from task_file import Task, answer

SHINGLE_CHARACTERS = 4


def datasketch(task: Task) -> list[int]:
    """Rows that are candidates with a kept one before them."""
    texts = (text.casefold() for text in task.texts())
    index = MinHashLSH(threshold=task.threshold)
    removed = []
    for row, signature in enumerate(MinHash.generator(map(list, map(_shingles, texts)))):
        if index.query(signature):
            removed.append(row)
        else:
            index.insert(row, signature)
    return removed


def _shingles(text: str) -> Iterator[bytes]:
    count = max(1, len(text) - SHINGLE_CHARACTERS + 1)
    return (text[at : at + SHINGLE_CHARACTERS].encode() for at in range(count))


if __name__ == "__main__":
    answer(datasketch, Path(sys.argv[1]), threshold=float(sys.argv[2]))
