"""The monitor of drift: have the prompts moved away from the training data by enough to matter?"""

from __future__ import annotations

import dataclasses
from typing import Any

from tuneloop.intervals import Figure
from tuneloop.monitoring.drift.attribution import (
    Attribution,
    Example,
    GrownTopic,
    NewTask,
    attribute,
)
from tuneloop.monitoring.drift.sketch import DriftSketch
from tuneloop.monitoring.drift.verdict import TEXTBOOK_PSI, DriftVerdict, Effect, verdict
from tuneloop.monitoring.measurement import Limit, LimitVerdict, Measurement, measured
from tuneloop.monitoring.monitors.tally import Subject, Tally
from tuneloop.monitoring.sketches import Sketch
from tuneloop.monitoring.window import Batch, Window

_VERDICTS: dict[str, LimitVerdict] = {
    "drift": "alert",
    "no_drift": "ok",
    "not_enough_data": "not_enough_data",
}
_CAUSES = 5
_NAMED = 3
_CAUSE_WORDS = 3


class EmbeddingDrift(Tally):
    """The effect, of the two that the drift verdict looks at, nearest to or beyond its threshold.

    The threshold is calibrated on the bundle's own prompts; the textbook's PSI is told beside it.
    """

    name = "embedding_drift"
    reads_vectors = True

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference = subject.drift_reference()
        self.sketch = DriftSketch(self._reference)

    def add(self, batch: Batch) -> None:
        import numpy as np

        if not batch.embedded.height:
            return
        ids, days = batch.embedded["id"], batch.embedded["time"].dt.date()
        for day in days.unique():
            at = np.flatnonzero((days == day).to_numpy())
            texts = [batch.prompts[i] for i in at]
            self.sketch.add(ids[at].to_list(), texts, batch.vectors[at], day=day)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.sketch,)

    def measure(self, window: Window) -> Measurement:
        drift = verdict(self.sketch, self._reference, minimum_rows=self._settings.minimum_samples)
        causes = attribute(self.sketch, self._reference)
        named = _named(causes) if drift.state == "drift" else ""
        figure = limit = None
        if (leading := drift.leading) is not None:
            figure = Figure(value=leading.value, low=leading.low, high=leading.high, n=drift.n)
            limit = Limit(threshold=leading.threshold, unit="share", side="above")
        return measured(
            self.name,
            window,
            figure,
            verdict=_VERDICTS[drift.state],
            message=f"{drift.message}{named}{_textbook(drift)}",
            limit=limit,
            detail=_detail(drift, causes),
        )


def _detail(drift: DriftVerdict, causes: Attribution) -> dict[str, Any]:
    return {
        "topics": _as_json(drift.topics),
        "unfamiliar": _as_json(drift.unfamiliar),
        "psi": drift.psi,
        "psi_by_chance": drift.psi_by_chance,
        "jensen_shannon": drift.jensen_shannon,
        "definition": drift.definition,
        "days": drift.days,
        "grown_topics": [dataclasses.asdict(topic) for topic in causes.grown[:_CAUSES]],
        "new_words": [dataclasses.asdict(word) for word in causes.new_words[:_CAUSES]],
        "retired_words": [dataclasses.asdict(word) for word in causes.retired_words[:_CAUSES]],
        "new_tasks": [dataclasses.asdict(task) for task in causes.new_tasks[:_CAUSES]],
        "sampled": causes.sampled,
        "examples": [dataclasses.asdict(example) for example in _typical(causes)],
    }


def _named(causes: Attribution) -> str:
    """What changed, in words: for people who look at the alert only."""
    kinds = [
        ("new kinds of request", [_in_words(task, task.share) for task in causes.new_tasks]),
        ("grown topics", [_in_words(topic, topic.growth, "+") for topic in causes.grown]),
        ("new words", [word.word for word in causes.new_words]),
        ("words that are gone", [word.word for word in causes.retired_words]),
    ]
    return "".join(f"; {what}: {', '.join(named[:_NAMED])}" for what, named in kinds if named)


def _in_words(cause: GrownTopic | NewTask, share: Figure, sign: str = "") -> str:
    words = " ".join(cause.words[:_CAUSE_WORDS])
    named = f"“{words}”" if words else "without a word in common"
    return f"{named} ({sign}{100 * share.value:.0f} %)"


def _typical(causes: Attribution) -> list[Example]:
    """An example of each cause."""
    of_each = [task.examples for task in causes.new_tasks] + [
        task.examples for task in causes.grown
    ]
    return [examples[0] for examples in of_each if examples][:_CAUSES]


def _textbook(drift: DriftVerdict) -> str:
    if drift.psi is None or drift.psi_by_chance is None:
        return ""
    return (
        f"; PSI {drift.psi:.2f} ({drift.psi_by_chance:.2f} by chance, textbook limit "
        f"{TEXTBOOK_PSI:g}), Jensen-Shannon {drift.jensen_shannon:.3f}"
    )


def _as_json(effect: Effect | None) -> dict[str, float] | None:
    return None if effect is None else dataclasses.asdict(effect)
