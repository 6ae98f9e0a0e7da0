"""The bundle that is watched, and what its traffic is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop.hashing import digest_json, short
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring import series
from tuneloop.monitoring.drift.reference import REFERENCE_VERSION as DRIFT_REFERENCE_VERSION
from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts, drift_reference
from tuneloop.monitoring.embedders import Embedder
from tuneloop.monitoring.feedback import FeedbackSample, sample_feedback
from tuneloop.monitoring.novelty import REFERENCE_VERSION, NoveltyReference, novelty_reference
from tuneloop.monitoring.shift import Baseline
from tuneloop.monitoring.window import Window
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.messages import last_user_text
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A bundle behind an endpoint during a window; what a monitor asks for is read then."""

    workspace: Workspace
    bundle: Bundle
    window: Window
    settings: MonitorSettings
    embedder: Embedder

    @property
    def task(self) -> Mapping[str, Any]:
        return self.bundle.manifest.task.as_json()

    @property
    def max_tokens(self) -> int | None:
        return self.bundle.manifest.serving.sampling.get("max_tokens")

    def released(self, metric: str) -> Baseline | None:
        scored = self.bundle.manifest.evaluation.scores.get(metric)
        if scored is None:
            return None
        value, low, high, *_ = scored
        return Baseline(value=value, low=low, high=high, source="its evaluation")

    def baseline(self, monitor: str, **matching: object) -> Baseline | None:
        """Its release evaluation's figure, else its first window with enough data.

        Raises:
            StoreError: the measurements cannot be read.
        """
        evaluated = self.bundle.manifest.evaluation.latency_p95_ms
        if monitor == "latency_p95" and evaluated is not None:
            p95 = float(evaluated)
            return Baseline(value=p95, low=p95, high=p95, source="its evaluation")
        first = series.first_good(
            self.workspace,
            monitor=monitor,
            bundle=self.bundle,
            endpoint=self.window.endpoint,
            before=self.window.end,
            matching=matching,
        )
        if first is None or first.value is None or first.low is None or first.high is None:
            return None
        return Baseline(
            value=first.value,
            low=first.low,
            high=first.high,
            source=f"its first window with enough data, until {first.window_end:%Y-%m-%d %H:%M}",
        )

    def feedback(self, *kinds: str) -> FeedbackSample:
        """A bounded sample of what came back about the window's answers.

        Raises:
            StoreError: the feedback cannot be read.
        """
        return sample_feedback(self.workspace.traffic, self.window, kinds)

    def novelty_reference(self) -> NoveltyReference:
        digest = self.bundle.manifest.dataset.digest
        return reference_of(self.workspace, digest, self.embedder)

    def drift_reference(self) -> DriftReference:
        digest = self.bundle.manifest.dataset.digest
        return drift_reference_of(self.workspace, digest, self.embedder, self.settings)


def reference_of(workspace: Workspace, dataset: str, embedder: Embedder) -> NoveltyReference:
    """The novelty reference of a dataset artifact; computed once and kept in the cache.

    Raises:
        StoreError: the dataset is not in the artifact store, or the embedder's weights are missing.
        CorruptArtifactError: its bytes have changed.
        MissingExtraError: the embedder's package is not installed.
        DataError: it has too few training rows.
    """
    folder = _cached(workspace, "novelty", dataset, [embedder.name, REFERENCE_VERSION])
    known = NoveltyReference.load(folder)
    if known is not None:
        return known
    train, held_out = own_prompts(workspace, dataset)
    reference = novelty_reference(train.texts, held_out.texts, embedder)
    reference.save(folder)
    return reference


def drift_reference_of(
    workspace: Workspace, dataset: str, embedder: Embedder, settings: MonitorSettings
) -> DriftReference:
    """The drift reference of a dataset artifact; computed once and kept in the cache.

    Raises: as `reference_of`.
    """
    rule = {
        "tolerated_share": settings.drift_tolerated,
        "false_alarm_rate": settings.drift_false_alarms,
    }
    folder = _cached(workspace, "drift", dataset, [embedder.name, DRIFT_REFERENCE_VERSION, rule])
    known = DriftReference.load(folder)
    if known is not None:
        return known
    train, held_out = own_prompts(workspace, dataset)
    reference = drift_reference(train, held_out, embedder=embedder, **rule)
    reference.save(folder)
    return reference


def own_prompts(workspace: Workspace, dataset: str) -> tuple[OwnPrompts, OwnPrompts]:
    """The training and the held-out prompts of a dataset artifact, with the groups of its rows.

    Raises:
        StoreError: it is not in the artifact store.
        CorruptArtifactError: its bytes have changed.
    """
    rows = workspace.artifacts.get(dataset)
    return _prompts_in(rows / "train.jsonl"), _prompts_in(rows / "eval.jsonl")


def _cached(workspace: Workspace, kind: str, dataset: str, computed_with: list[Any]) -> Path:
    return workspace.folder(f"cache/{kind}") / f"{dataset}-{short(digest_json(computed_with))}"


def _prompts_in(path: Path) -> OwnPrompts:
    """The last user turn of each row of a dataset file; no file, no rows."""
    if not path.is_file():
        return OwnPrompts(texts=[], groups=[])
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    texts = [last_user_text(row["messages"]) for row in rows]
    kept = [number for number, text in enumerate(texts) if text.strip()]
    return OwnPrompts(
        texts=[texts[number] for number in kept],
        groups=[rows[number].get("group") or f"{path.name} {number}" for number in kept],
    )
