"""The bundle that is watched, and what its traffic is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.embedders import Embedder
from tuneloop.errors import StoreError
from tuneloop.hashing import digest_json, short
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring import acceptance, series
from tuneloop.monitoring.acceptance import Accepted
from tuneloop.monitoring.answers_by_topic import REFERENCE_VERSION as ANSWERS_REFERENCE_VERSION
from tuneloop.monitoring.answers_by_topic import AnswersByTopic, OwnAnswers, answers_by_topic
from tuneloop.monitoring.drift.reference import REFERENCE_VERSION as DRIFT_REFERENCE_VERSION
from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts, drift_reference
from tuneloop.monitoring.drift.verdict import Of
from tuneloop.monitoring.feedback import (
    FeedbackSample,
    any_feedback,
    sample_feedback,
    sample_weights,
)
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.novelty import REFERENCE_VERSION, NoveltyReference, novelty_reference
from tuneloop.monitoring.phrases import REFERENCE_VERSION as PHRASES_REFERENCE_VERSION
from tuneloop.monitoring.phrases import OwnPhrases, own_phrases
from tuneloop.monitoring.reference import Season, reference
from tuneloop.monitoring.requests import Requests, requests_of
from tuneloop.monitoring.shift import Baseline, latency_margin
from tuneloop.monitoring.window import Window
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.messages import last_user_text
from tuneloop.task import origin
from tuneloop.workspace import Workspace

if TYPE_CHECKING:
    from tuneloop.embedders import Vectors


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A bundle behind an endpoint during a window; what a monitor asks for is read then."""

    workspace: Workspace
    bundle: Bundle
    window: Window
    settings: MonitorSettings
    embedder: Embedder
    timeout_seconds: float | None = None
    """The endpoint's longest wait for a first token."""

    @property
    def task(self) -> Mapping[str, Any]:
        return self.bundle.manifest.task.as_json()

    @property
    def max_tokens(self) -> int | None:
        return self.bundle.manifest.serving.sampling.get("max_tokens")

    @property
    def patience_ms(self) -> float | None:
        """What `latency_p95` alerts above, else the endpoint's own longest wait."""
        usual, margin = self.baseline("latency_p95"), latency_margin(self.settings)
        if usual is not None:
            value = usual.pooled(margin, "ms").value
            return margin.limit(value, value, "ms").threshold
        return None if self.timeout_seconds is None else self.timeout_seconds * 1_000

    def released(self, metric: str) -> Baseline | None:
        return released_with(self.bundle, metric)

    def baseline(self, monitor: str, **matching: object) -> Baseline | None:
        """What a person called normal, else its release evaluation's, else its first windows'.

        Raises:
            StoreError: the measurements cannot be read.
        """
        accepted = self._accepted.get(monitor)
        evaluated = self.bundle.manifest.evaluation.latency_p95_ms
        if monitor == "latency_p95" and evaluated is not None and accepted is None:
            p95 = float(evaluated)
            return Baseline(value=p95, low=p95, high=p95, source="its evaluation")
        history = series.judged_before(
            self.workspace,
            monitor=monitor,
            bundle=self.bundle,
            endpoint=self.window.endpoint,
            before=self.window.end,
            matching=matching,
        )
        return baseline_of(history, self.window, accepted)

    def accepted_baseline(self, monitor: str) -> Baseline | None:
        """What a person called normal.

        Raises:
            StoreError: the measurements cannot be read.
        """
        return self.baseline(monitor) if monitor in self._accepted else None

    @cached_property
    def _accepted(self) -> Mapping[str, Accepted]:
        return acceptance.standing(self.workspace, self.bundle, self.window.endpoint)

    def sample_weights(self) -> Mapping[str, float]:
        """Interaction → answers that it stands for, of the weekly samples that people look at."""
        return sample_weights(self.workspace, self.bundle.model)

    def requests(self) -> Requests:
        """Until the end of the window.

        Raises:
            StoreError: the tables cannot be read.
        """
        window = self.window
        return requests_of(self.workspace.traffic, endpoint=window.endpoint, until=window.end)

    def feedback(self, *kinds: str) -> FeedbackSample:
        """A bounded sample of what came back about the window's answers.

        Raises:
            StoreError: the feedback cannot be read.
        """
        return sample_feedback(self.workspace.traffic, self.window, kinds)

    def heard(self, *kinds: str) -> bool:
        """Whether any feedback of these kinds came before the window's end.

        Raises:
            StoreError: the feedback cannot be read.
        """
        return any_feedback(self.workspace.traffic, self.window, kinds)

    def novelty_reference(self) -> NoveltyReference:
        digest = self.bundle.manifest.dataset.digest
        return reference_of(self.workspace, digest, self.embedder)

    def drift_reference(self) -> DriftReference:
        digest = self.bundle.manifest.dataset.digest
        return drift_reference_of(self.workspace, digest, self.embedder, self.settings)

    def answer_drift_reference(self) -> DriftReference:
        digest = self.bundle.manifest.dataset.digest
        return drift_reference_of(
            self.workspace, digest, self.embedder, self.settings, of="answers"
        )

    def answers_by_topic(self) -> AnswersByTopic:
        digest, embedder = self.bundle.manifest.dataset.digest, self.embedder
        folder = _cached(
            self.workspace, "answers", digest, [embedder.name, ANSWERS_REFERENCE_VERSION]
        )
        known = AnswersByTopic.load(folder)
        if known is not None:
            return known
        train, held_out = own_answers(self.workspace, digest)
        reference = answers_by_topic(train, held_out, self.drift_reference(), embedder)
        reference.save(folder)
        return reference

    def own_phrases(self) -> OwnPhrases:
        digest = self.bundle.manifest.dataset.digest
        folder = _cached(self.workspace, "phrases", digest, [PHRASES_REFERENCE_VERSION])
        known = OwnPhrases.load(folder)
        if known is not None:
            return known
        reference = own_phrases(own_answers(self.workspace, digest)[0].answers)
        reference.save(folder)
        return reference

    def answers_at_release(self) -> Sequence[tuple[str, str]]:
        artifact = self.bundle.manifest.artifacts.evaluation
        if not artifact:
            return []
        # An evaluation that was pruned: then nothing is known of the release.
        with suppress(StoreError):
            return released_answers(self.workspace.artifacts.get(artifact))
        return []

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.embedder.embed(texts)


def released_with(bundle: Bundle, metric: str) -> Baseline | None:
    """What the bundle's release evaluation measured by this metric, in the main suite."""
    scored = bundle.manifest.evaluation.scores.get(metric)
    if scored is None:
        return None
    value, low, high, *_ = scored
    return Baseline(value=value, low=low, high=high, source="its evaluation")


def baseline_of(
    history: Sequence[Measurement], window: Window, accepted: Accepted | None = None
) -> Baseline | None:
    """What the earlier windows of a monitor say is usual for this one; None without any.

    `history`: as in `reference`. A window that a person called normal goes first.
    """
    windows, season = reference(
        history, window, accepted=None if accepted is None else accepted.window_end
    )
    if not windows:
        return None
    first = windows[0]
    assert first.value is not None and first.low is not None and first.high is not None
    source = _SOURCES[season]
    if accepted is not None:
        source = f"{source} from what {accepted.actor} called normal on {accepted.at:%Y-%m-%d}"
    return Baseline(
        value=first.value,
        low=first.low,
        high=first.high,
        source=source,
        candidates=windows,
        accepted=accepted is not None,
    )


_SOURCES: Mapping[Season | None, str] = {
    None: "its first {windows} with enough data",
    "week": "its first {windows} at this time of the week",
    "day": "its first {windows} at this time of the day",
}


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
    workspace: Workspace,
    dataset: str,
    embedder: Embedder,
    settings: MonitorSettings,
    *,
    of: Of = "prompts",
) -> DriftReference:
    """The drift reference of a dataset artifact's prompts, or of its answers; computed once and
    kept in the cache.

    Raises: as `reference_of`.
    """
    rule = {
        "tolerated_share": settings.drift_tolerated,
        "false_alarm_rate": settings.drift_false_alarms,
    }
    kind = "drift" if of == "prompts" else "answer_drift"
    folder = _cached(workspace, kind, dataset, [embedder.name, DRIFT_REFERENCE_VERSION, rule])
    known = DriftReference.load(folder)
    if known is not None:
        return known
    if of == "prompts":
        train, held_out = own_prompts(workspace, dataset)
    else:
        train, held_out = (
            OwnPrompts(texts=part.answers, groups=part.prompts.groups)
            for part in own_answers(workspace, dataset)
        )
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


def own_answers(workspace: Workspace, dataset: str) -> tuple[OwnAnswers, OwnAnswers]:
    """The training and the held-out rows of a dataset artifact that have a prompt and an answer.

    Raises: as `own_prompts`.
    """
    rows = workspace.artifacts.get(dataset)
    return _answers_in(rows / "train.jsonl"), _answers_in(rows / "eval.jsonl")


def released_answers(evaluation: Path) -> list[tuple[str, str]]:
    """Prompts and answers of the candidate in a stored evaluation, those that failed aside."""
    path = evaluation / "answers.jsonl"
    rows = _rows_in(path) if path.is_file() else []
    said = [
        (last_user_text(row["messages"]), row["answer"].get("text") or "")
        for row in rows
        if row["target"] == "candidate" and row["answer"].get("error") is None
    ]
    return [(prompt, answer) for prompt, answer in said if prompt.strip() and answer.strip()]


def _cached(workspace: Workspace, kind: str, dataset: str, computed_with: list[Any]) -> Path:
    return workspace.folder(f"cache/{kind}") / f"{dataset}-{short(digest_json(computed_with))}"


def _prompts_in(path: Path) -> OwnPrompts:
    """The last user turn of each row of a dataset file; no file, no rows."""
    rows = _own_rows(path)
    texts = [last_user_text(row["messages"]) for row in rows]
    kept = [number for number, text in enumerate(texts) if text.strip()]
    return OwnPrompts(
        texts=[texts[number] for number in kept],
        groups=[_group(rows[number], path, number) for number in kept],
    )


def _answers_in(path: Path) -> OwnAnswers:
    """What the user says last in each row, and the answer to it, where there are both."""
    rows = _own_rows(path)
    kept = [
        (prompt, answer, _group(row, path, number))
        for number, row in enumerate(rows)
        if (prompt := last_user_text(row["messages"])).strip()
        and (answer := str(row.get("completion") or "")).strip()
    ]
    return OwnAnswers(
        prompts=OwnPrompts(
            texts=[prompt for prompt, _, _ in kept], groups=[group for _, _, group in kept]
        ),
        answers=[answer for _, answer, _ in kept],
    )


def _own_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a dataset file that traffic is held against; no file, no rows.

    Samples of live traffic are held out and never trained on: with them, what is new in the
    traffic would be known from the first sample on.
    """
    rows = _rows_in(path) if path.is_file() else []
    return [row for row in rows if not origin.is_live_sample(row.get("tags") or {})]


def _rows_in(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def _group(row: Mapping[str, Any], path: Path, number: int) -> str:
    return row.get("group") or f"{path.name} {number}"
