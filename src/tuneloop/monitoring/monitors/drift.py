"""The monitors of drift: have prompts, or answers, moved from the training data's by enough?"""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import TYPE_CHECKING, Any

from tuneloop.intervals import Figure
from tuneloop.monitoring.drift.attribution import (
    Attribution,
    Example,
    GrownTopic,
    NewTask,
    attribute,
)
from tuneloop.monitoring.drift.sketch import DriftSketch
from tuneloop.monitoring.drift.verdict import (
    TEXTBOOK_PSI,
    DriftVerdict,
    Effect,
    Of,
    State,
    topics_effect,
    unfamiliar_effect,
    verdict,
)
from tuneloop.monitoring.measurement import Limit, LimitVerdict, Measurement, measured
from tuneloop.monitoring.monitors.tally import Subject, Tally
from tuneloop.monitoring.sketches import Sample, Sketch
from tuneloop.monitoring.window import Batch, Window
from tuneloop.storage.messages import prompt_of

if TYPE_CHECKING:
    import polars as pl

EMBEDDED_ROWS = 2_000
"""Answers of a larger window are a random sample; each is embedded anew and none is stored."""

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
        drift = verdict(
            self.sketch,
            self._reference,
            minimum_rows=self._settings.minimum_samples,
            level=window.level,
        )
        causes = attribute(self.sketch, self._reference)
        return _measurement(self.name, window, drift, causes)


class AnswerDrift(Tally):
    """The same of the answers, and whether the prompts moved too, in a sample of the window.

    Answers that moved while the prompts did not say that the model, its server or their settings
    are others; where both moved it is the traffic. A tuned model need not write as its training
    data does: what its answers showed in the release evaluation, and `share_shift` more, is known.
    """

    name = "answer_drift"
    reads_vectors = True

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference = subject.answer_drift_reference()
        self._of_prompts = subject.drift_reference()
        self.answers = Sample(EMBEDDED_ROWS)

    def add(self, batch: Batch) -> None:
        if batch.embedded.height:
            self.answers.add(batch.answered_vectors)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.answers,)

    def measure(self, window: Window) -> Measurement:
        rows, minimum = self.answers.rows, self._settings.minimum_samples
        said, asked = DriftSketch(self._reference), DriftSketch(self._of_prompts)
        if rows is not None:
            self._sum_up(rows, said, asked)
        prompts = verdict(asked, self._of_prompts, minimum_rows=minimum)
        drift = verdict(
            said, self._reference, minimum_rows=minimum, of="answers", level=window.level
        )
        if drift.state == "drift":
            drift = self._beyond_release(drift)
        causes = attribute(said, self._reference)
        found = _measurement(
            self.name, window, drift, causes, of="answers", note=_whose(drift.state, prompts.state)
        )
        of_prompts = {
            "state": prompts.state,
            "topics": _as_json(prompts.topics),
            "unfamiliar": _as_json(prompts.unfamiliar),
        }
        detail = {**found.detail, "prompts": of_prompts, "sampled_from": self.answers.seen}
        return dataclasses.replace(found, detail=detail)

    def _sum_up(self, rows: pl.DataFrame, said: DriftSketch, asked: DriftSketch) -> None:
        import numpy as np

        texts, prompts = rows["response"].to_list(), list(map(prompt_of, rows["messages"]))
        vectors = self._subject.embed(texts)
        of_prompts = rows["vector"].explode().to_numpy().reshape(rows.height, -1)
        ids, days = rows["id"], rows["time"].dt.date()
        for day in days.unique():
            at = np.flatnonzero((days == day).to_numpy())
            of_day = ids[at].to_list()
            said.add(of_day, [texts[i] for i in at], vectors[at], day=day)
            asked.add(of_day, [prompts[i] for i in at], of_prompts[at], day=day)

    def _beyond_release(self, drift: DriftVerdict) -> DriftVerdict:
        """The verdict, without drift where its release evaluation showed about as much."""
        answers = self._subject.answers_at_release()
        then = DriftSketch(self._reference)
        texts = [answer for _, answer in answers]
        if len(texts) > 1:
            names = list(map(str, range(len(texts))))
            then.add(names, texts, self._subject.embed(texts), day=date.min)
        if then.whole().n < 2:
            return drift
        pairs = (
            (drift.topics, topics_effect(then, self._reference)),
            (drift.unfamiliar, unfamiliar_effect(then, self._reference)),
        )
        shift = self._settings.share_shift
        if any(now and now.passed and now.value > then.value + shift for now, then in pairs):
            return drift
        told = " and ".join(
            f"{100 * then.value:.0f} %" for now, then in pairs if now and now.passed
        )
        message = f"{drift.message}; {told} when it was released, so no drift that is news"
        return dataclasses.replace(drift, state="no_drift", message=message)


def _whose(answers: State, prompts: State) -> str:
    """Whether it was the traffic that moved, in words."""
    match answers, prompts:
        case "drift", "no_drift":
            return (
                "; the prompts did not move: it is the model, its server or their settings, "
                "not the traffic"
            )
        case "drift", "drift":
            return "; the prompts moved too: the traffic changed"
        case "no_drift", "drift":
            return "; the prompts moved, the answers did not"
    return ""


def _measurement(
    name: str,
    window: Window,
    drift: DriftVerdict,
    causes: Attribution,
    *,
    of: Of = "prompts",
    note: str = "",
) -> Measurement:
    named = _named(causes, of) if drift.state == "drift" else ""
    figure = limit = None
    if (leading := drift.leading) is not None:
        figure = Figure(value=leading.value, low=leading.low, high=leading.high, n=drift.n)
        limit = Limit(threshold=leading.threshold, unit="share", side="above")
    return measured(
        name,
        window,
        figure,
        verdict=_VERDICTS[drift.state],
        message=f"{drift.message}{note}{named}{_textbook(drift)}",
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


def _named(causes: Attribution, of: Of) -> str:
    """What changed, in words: for people who look at the alert only."""
    kinds = [
        (
            f"new kinds of {'request' if of == 'prompts' else 'answer'}",
            [_in_words(task, task.share) for task in causes.new_tasks],
        ),
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
