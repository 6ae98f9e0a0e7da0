"""A made-up bundle for drift tests: eight topics, each a direction with its own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts, reference_from_vectors
from tuneloop.monitoring.drift.sketch import DriftSketch

DIMENSIONS = 48
TOPICS = 8
NEW = TOPICS
"""The number of the topic that training never had."""
FIRST = date(2026, 3, 2)

Vectors = npt.NDArray[np.float32]

_WORDS = ("refund", "parcel", "heating", "invoice", "login", "battery", "warranty", "printer")
_DIRECTIONS = np.random.default_rng(42).normal(size=(TOPICS + 1, DIMENSIONS))


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Texts and their vectors."""

    texts: list[str]
    vectors: Vectors


def prompts(topics: Sequence[int] | npt.NDArray[np.int64], *, seed: int) -> Prompts:
    """One prompt of each of these topics."""
    rng = np.random.default_rng(seed)
    of = np.asarray(topics)
    raw = _DIRECTIONS[of] + 0.9 * rng.normal(size=(len(of), DIMENSIONS))
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    names = (*_WORDS, "skerry")
    return Prompts(
        texts=[f"please help with my {names[topic]} number {row}" for row, topic in enumerate(of)],
        vectors=unit.astype(np.float32),
    )


def usual(n: int, *, seed: int, new_share: float = 0.0) -> Prompts:
    """Prompts as the bundle knows them, a share of them of the topic that it does not."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, TOPICS, n)
    of[rng.random(n) < new_share] = NEW
    return prompts(of, seed=seed)


def reference(rows: int = 800, **rule: float) -> DriftReference:
    """Of that many training prompts and a tenth as many held out."""
    train, held_out = usual(rows, seed=1), usual(rows // 10, seed=2)
    return reference_from_vectors(
        train.vectors,
        held_out.vectors,
        train=OwnPrompts(texts=train.texts),
        held_out=OwnPrompts(texts=held_out.texts),
        embedder="made-up",
        **rule,
    )


def sketch(of: DriftReference, found: Prompts, *, days: int = 1, name: str = "i") -> DriftSketch:
    """The prompts in turn over so many days."""
    seen = DriftSketch(of)
    ids = [f"{name}-{row:06}" for row in range(len(found.texts))]
    for day in range(days):
        seen.add(
            ids[day::days],
            found.texts[day::days],
            found.vectors[day::days],
            day=FIRST + timedelta(days=day),
        )
    return seen
