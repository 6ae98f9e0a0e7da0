"""A week of synthetic traffic in the traffic tables, embeddings included, written by the batch.

What is random is what costs: half of the answers are different from all others, prompts differ,
8 % of the answers are edited, some are rated, judged, labelled or escalated, 1 % of the requests
fail. Embeddings are unit vectors around 200 centres.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tuneloop.monitoring.novelty import NoveltyReference, words
from tuneloop.monitoring.window import Window
from tuneloop.storage.traffic import Traffic

DIMENSIONS = 384
EMBEDDER = "synthetic-384"
END = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = Window(endpoint="desk", bundle="b" * 64, start=END - timedelta(days=7), end=END)
TASK = {
    "output_schema": {
        "type": "object",
        "properties": {
            "intent": {"enum": [f"intent_{i}" for i in range(20)]},
            "ticket": {"type": "integer"},
        },
        "required": ["intent"],
        "additionalProperties": False,
    },
    "abstain": {"field": "intent", "value": "intent_0"},
}
FEEDBACK = (
    ("edit", 0.08, '"{\\"intent\\": \\"intent_3\\"}"'),
    ("escalation", 0.02, '"asked for a person"'),
    ("judgement", 0.02, '{"score": 0.9, "judge": "j"}'),
    ("rating", 0.01, "0.8"),
    ("label", 0.005, '{"intent": "intent_5"}'),
)
_WEEK_MS = 7 * 86_400_000
_CENTRES = 200
_TRAINING_ROWS = 2_000
_FILE_ROWS = 50_000
_WORDS = ("battery", "hub", "valve", "invoice", "parcel", "password", "screen", "router", "lamp")


def write(folder: Path, rows: int, *, progress: Callable[[int], None] = lambda done: None) -> None:
    """Write `rows` interactions with their embeddings and feedback, oldest first."""
    rng = np.random.default_rng(20_261_124)
    traffic = Traffic(str(folder))
    for start in range(0, rows, _FILE_ROWS):
        n = min(_FILE_ROWS, rows - start)
        frame = _interactions(rng, start, n, rows)
        traffic.append("interactions", _complete(frame, traffic.scan("interactions")))
        traffic.append("feedback", _complete(_feedback(rng, frame), traffic.scan("feedback")))
        traffic.append("embeddings", _embeddings(rng, frame))
        progress(start + n)


def write_reference(folder: Path) -> None:
    """Write as many interactions with embeddings as there are training rows, for Evidently."""
    write(folder, _TRAINING_ROWS)


def training_texts() -> list[str]:
    """The texts of the training prompts."""
    return [
        f"my {_WORDS[i % len(_WORDS)]} number {i} and the {_WORDS[i % 7]} do not work"
        for i in range(_TRAINING_ROWS)
    ]


def training_vectors() -> np.ndarray:
    """The vectors of the training prompts (2000, 384): around the same centres as the traffic's."""
    return around_centres(np.random.default_rng(1), _TRAINING_ROWS)


def reference() -> NoveltyReference:
    """Training prompts around the same centres."""
    vectors = training_vectors()
    return NoveltyReference(
        embedder=EMBEDDER,
        threshold=0.3,
        calibration_rows=_TRAINING_ROWS,
        vectors=vectors,
        words=frozenset(word for text in training_texts() for word in words(text)),
    )


def around_centres(rng: np.random.Generator, n: int) -> np.ndarray:
    """Unit vectors (n, 384), float32, each near one of 200 centres that are always the same."""
    centres = np.random.default_rng(0).standard_normal((_CENTRES, DIMENSIONS), dtype=np.float32)
    vectors = centres[rng.integers(0, _CENTRES, n)]
    vectors += rng.standard_normal((n, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _interactions(rng: np.random.Generator, start: int, n: int, rows: int) -> pl.DataFrame:
    number = np.arange(start, start + n)
    failed = rng.random(n) < 0.01
    intent = rng.integers(0, 20, n)
    unique = rng.random(n) < 0.5
    word = np.array(_WORDS)[rng.integers(0, len(_WORDS), (n, 2))]
    milliseconds = int(WINDOW.start.timestamp()) * 1_000 + number * _WEEK_MS // rows
    return pl.DataFrame(
        {
            "id": [f"{ms:012x}{i:020x}" for ms, i in zip(milliseconds, number, strict=True)],
            "time": pl.Series(milliseconds).cast(pl.Datetime("ms", "UTC")),
            "messages": [
                f'[{{"role": "user", "content": "my {a} number {i} and the {b} do not work"}}]'
                for i, (a, b) in zip(number, word, strict=True)
            ],
            "response": [
                f'{{"intent": "intent_{k}", "ticket": {i}}}'
                if one
                else f'{{"intent": "intent_{k}"}}'
                for i, k, one in zip(number, intent, unique, strict=True)
            ],
            "status": np.where(failed, 502, 200),
            "latency_ms": rng.lognormal(5.5, 0.6, n),
            "prompt_tokens": rng.integers(60, 90, n),
            "completion_tokens": rng.integers(8, 20, n),
            "mean_logprob": -rng.exponential(0.05, n),
        }
    ).with_columns(
        endpoint=pl.lit(WINDOW.endpoint),
        bundle=pl.lit(WINDOW.bundle),
        operation=pl.lit("chat"),
        error=pl.when(pl.col("status") == 502).then(pl.lit("upstream_unreachable")),
        tags=pl.lit("{}"),
    )


def _complete(frame: pl.DataFrame, table: pl.LazyFrame) -> pl.DataFrame:
    """The frame with the table's other columns, empty."""
    missing = {name: kind for name, kind in table.collect_schema().items() if name not in frame}
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in missing.items()
    )


def _feedback(rng: np.random.Generator, frame: pl.DataFrame) -> pl.DataFrame:
    parts = []
    for kind, share, value in FEEDBACK:
        on = frame.filter(pl.Series(rng.random(frame.height) < share))
        parts.append(
            on.select(
                pl.lit(f"{kind}-").add(pl.col("id")).alias("id"),
                "time",
                pl.col("id").alias("interaction"),
                pl.lit(WINDOW.endpoint).alias("endpoint"),
                pl.lit(kind).alias("kind"),
                pl.lit(value).alias("value"),
            )
        )
    return pl.concat(parts)


def _embeddings(rng: np.random.Generator, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "id", "time", "endpoint", "bundle", pl.lit(EMBEDDER).alias("embedder")
    ).with_columns(vector=pl.Series(around_centres(rng, frame.height)).arr.to_list())
