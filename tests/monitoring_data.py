"""Windows of traffic made by hand, and an embedder whose vectors a reader can check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from tuneloop.monitoring.window import Window

END = datetime(2026, 11, 23, tzinfo=UTC)
START = END - timedelta(days=7)

_SCHEMA = {
    "id": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "status": pl.Int64,
    "error": pl.String,
    "messages": pl.String,
    "response": pl.String,
    "tool_calls": pl.String,
    "latency_ms": pl.Float64,
    "tags": pl.String,
    "edited": pl.Boolean,
}


def interaction(prompt: str = "hello", **values: Any) -> dict[str, Any]:
    """One successful interaction; keywords change its columns."""
    row = {
        "time": END - timedelta(hours=1),
        "status": 200,
        "error": None,
        "messages": json.dumps([{"role": "user", "content": prompt}]),
        "response": "fine",
        "tool_calls": None,
        "latency_ms": 100.0,
        "tags": "{}",
        "edited": False,
    }
    return row | values


def window(rows: Sequence[dict[str, Any]]) -> Window:
    """A window of these interactions."""
    numbered = [{"id": f"{i:032x}"} | row for i, row in enumerate(rows)]
    return Window(start=START, end=END, interactions=pl.DataFrame(numbered, schema=_SCHEMA))


class LetterEmbedder:
    """One dimension a letter: texts are alike as far as they share letters."""

    name = "letters"

    def __init__(self) -> None:
        self.texts_embedded = 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors (n, 26), float32, of length 1, or 0 for a text without letters."""
        self.texts_embedded += len(texts)
        counts = np.array(
            [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts],
            dtype=np.float32,
        ).reshape(len(texts), 26)
        lengths = np.linalg.norm(counts, axis=1, keepdims=True)
        return counts / np.where(lengths > 0, lengths, 1)
