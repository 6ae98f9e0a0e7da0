"""One run of SemHash with wordllama's static embeddings; its own model is on a hub."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wordllama
from semhash import SemHash
from task_file import Task, answer


class Embedder:
    """Embeddings of texts, as SemHash asks for them."""

    def __init__(self) -> None:
        self._model = wordllama.WordLlama.load(
            cache_dir=Path(wordllama.__file__).parent, disable_download=True
        )

    def encode(self, inputs: Sequence[str], **_: Any) -> np.ndarray:
        """texts × dimensions"""
        return self._model.embed(list(inputs))


def semhash(task: Task) -> list[int]:
    """Rows that it filters out."""
    records = [{"text": text, "row": str(row)} for row, text in enumerate(task.texts())]
    index = SemHash.from_records(records, columns=["text"], model=Embedder())
    found = index.self_deduplicate(threshold=task.threshold)
    return sorted(int(duplicate.record["row"]) for duplicate in found.filtered)


if __name__ == "__main__":
    answer(semhash, Path(sys.argv[1]), threshold=float(sys.argv[2]))
