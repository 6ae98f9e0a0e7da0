"""Traffic made by hand, a bundle to watch, and an embedder whose vectors a reader can check."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from tuneloop.embedders import Embedder
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring.answers_by_topic import AnswersByTopic
from tuneloop.monitoring.drift.reference import DriftReference
from tuneloop.monitoring.feedback import FeedbackSample
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors.tally import Tally
from tuneloop.monitoring.novelty import NoveltyReference
from tuneloop.monitoring.phrases import OwnPhrases
from tuneloop.monitoring.requests import HOURS, Requests
from tuneloop.monitoring.shift import Baseline
from tuneloop.monitoring.window import Batch, Window
from tuneloop.storage.messages import prompt_of

END = datetime(2026, 11, 23, tzinfo=UTC)
START = END - timedelta(days=7)
WINDOW = Window(endpoint="desk", bundle="b" * 64, start=START, end=END)

_SCHEMA = {
    "id": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "status": pl.Int64,
    "error": pl.String,
    "messages": pl.String,
    "response": pl.String,
    "finish_reason": pl.String,
    "tool_calls": pl.String,
    "latency_ms": pl.Float64,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
    "mean_logprob": pl.Float64,
}


def interaction(prompt: str = "hello", **values: Any) -> dict[str, Any]:
    """One successful interaction; keywords change its columns."""
    row = {
        "time": END - timedelta(hours=1),
        "status": 200,
        "error": None,
        "messages": json.dumps([{"role": "user", "content": prompt}]),
        "response": "fine",
        "finish_reason": "stop",
        "tool_calls": None,
        "latency_ms": 100.0,
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "mean_logprob": None,
    }
    return row | values


def batch(rows: Sequence[dict[str, Any]]) -> Batch:
    """These interactions, with the ids 0, 1, 2 … in 32 hex digits."""
    numbered = [{"id": f"{i:032x}"} | row for i, row in enumerate(rows)]
    return Batch(pl.DataFrame(numbered, schema=_SCHEMA))


def hours(**given: Any) -> Requests:
    """The requests of an endpoint to which nothing came, but for what is given."""
    nothing = np.zeros(HOURS, dtype=np.int64)
    fields: dict[str, Any] = {
        "until": END,
        "captured": nothing,
        "served": nothing,
        "away": nothing.astype(bool),
        "accepted": nothing,
        "refused": nothing,
        "reasons": tuple(Counter() for _ in range(24)),
        "last_account": None,
        "stopped_at": None,
    }
    return Requests(**fields | given)


@dataclass(kw_only=True)
class Watched:
    """A bundle to watch, made by hand."""

    task: Mapping[str, Any] = field(default_factory=dict)
    settings: MonitorSettings = field(default_factory=MonitorSettings)
    before: Baseline | None = None
    evaluated: Mapping[str, Baseline] = field(default_factory=dict)
    """Metric → what the release evaluation measured."""
    max_tokens: int | None = None
    patience_ms: float | None = None
    hours: Requests | None = None
    said: Sequence[tuple[int, str, Any]] = ()
    """Feedback: number of the interaction, kind, value."""
    heard_before: Sequence[str] = ()
    """Kinds of feedback that came before the window."""
    reference: NoveltyReference | None = None
    drift: DriftReference | None = None
    answer_drift: DriftReference | None = None
    by_topic: AnswersByTopic | None = None
    phrases: OwnPhrases | None = None
    at_release: Sequence[tuple[str, str]] = ()
    """Prompts and answers of its release evaluation."""
    embedder: Embedder | None = None
    weights: Mapping[int, float] = field(default_factory=dict)
    """Number of an interaction of the weekly sample, and for how many it stands."""
    asked: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    """Baselines that were asked for."""

    def baseline(self, monitor: str, **matching: object) -> Baseline | None:
        """The one given."""
        self.asked.append((monitor, matching))
        return self.before

    def accepted_baseline(self, monitor: str) -> Baseline | None:
        """Nobody called anything normal."""
        return None

    def sample_weights(self) -> Mapping[str, float]:
        """Those given."""
        return {f"{number:032x}": weight for number, weight in self.weights.items()}

    def released(self, metric: str) -> Baseline | None:
        """The one given."""
        return self.evaluated.get(metric)

    def feedback(self, *kinds: str) -> FeedbackSample:
        """What was said, of these kinds."""
        rows = [
            {"interaction": f"{number:032x}", "kind": kind, "value": json.dumps(value)}
            for number, kind, value in self.said
            if kind in kinds
        ]
        schema = {"interaction": pl.String, "kind": pl.String, "value": pl.String}
        return FeedbackSample(rows=pl.DataFrame(rows, schema=schema))

    def heard(self, *kinds: str) -> bool:
        """What was said, and what the test says was."""
        return not {*self.heard_before, *(kind for _, kind, _ in self.said)}.isdisjoint(kinds)

    def requests(self) -> Requests:
        """Those given, else none."""
        return self.hours or hours()

    def novelty_reference(self) -> NoveltyReference:
        """The one given."""
        assert self.reference is not None
        return self.reference

    def drift_reference(self) -> DriftReference:
        """The one given."""
        assert self.drift is not None
        return self.drift

    def answer_drift_reference(self) -> DriftReference:
        """The one given."""
        assert self.answer_drift is not None
        return self.answer_drift

    def answers_by_topic(self) -> AnswersByTopic:
        """The one given."""
        assert self.by_topic is not None
        return self.by_topic

    def own_phrases(self) -> OwnPhrases:
        """Those given."""
        assert self.phrases is not None
        return self.phrases

    def answers_at_release(self) -> Sequence[tuple[str, str]]:
        """Those given."""
        return self.at_release

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """By the embedder given."""
        assert self.embedder is not None
        return self.embedder.embed(texts)


def measure(
    monitor: type[Tally],
    rows: Sequence[dict[str, Any]],
    *,
    embedder: Embedder | None = None,
    parts: int = 1,
    level: float = WINDOW.level,
    **watched: Any,
) -> Measurement:
    """What a monitor says of these interactions, seen by `parts` tallies that are then merged."""
    subject = Watched(embedder=embedder, **watched)
    tallies = [monitor(subject) for _ in range(parts)]
    whole = batch(rows).interactions
    if embedder is not None and rows:
        vectors = embedder.embed([prompt_of(messages) for messages in whole["messages"]])
        whole = whole.with_columns(vector=pl.Series(vectors).arr.to_list())
    for number, tally in enumerate(tallies):
        tally.add(Batch(whole.gather_every(parts, number)))
    for other in tallies[1:]:
        tallies[0].merge(other)
    return tallies[0].measure(replace(WINDOW, level=level))


def baseline(value: float, low: float | None = None, high: float | None = None) -> Baseline:
    """A baseline; without an interval it is known for certain."""
    return Baseline(
        value=value,
        low=value if low is None else low,
        high=value if high is None else high,
        source="its evaluation",
    )


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
