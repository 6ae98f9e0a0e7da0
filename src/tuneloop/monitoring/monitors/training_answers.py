"""Monitors of answers in prose against the training answers: how near they are, what is new."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.monitoring.drift.attribution import growth
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors.drift import EMBEDDED_ROWS
from tuneloop.monitoring.monitors.prose import EXAMPLES, SampledAnswers, not_above
from tuneloop.monitoring.monitors.tally import Subject, Tally, quote
from tuneloop.monitoring.phrases import NewPhrase, new_phrases
from tuneloop.monitoring.shift import Baseline
from tuneloop.monitoring.sketches import Sample, Sketch
from tuneloop.monitoring.window import Batch, Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Floats = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

_NAMED = 3
_TOPIC_WORDS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovedTopic:
    """A topic whose answers are less like the training answers than its own are."""

    words: tuple[str, ...]
    """What sets its prompts apart."""
    answers: int
    """Of the sample."""
    unlike: Figure
    """Share of them that is unlike the training answers of the topic."""
    own_share: float
    """The same share of the bundle's own answers."""
    growth: Figure
    """The difference of the two."""
    examples: tuple[dict[str, Any], ...]
    """The least similar first."""

    @property
    def told(self) -> str:
        """In words."""
        words = " ".join(self.words[:_TOPIC_WORDS]) or "without a word in common"
        return f"“{words}” ({100 * self.unlike.value:.0f} % of {self.answers})"


class AnswerSimilarity(Tally):
    """The share of answers unlike all training answers to prompts of the same topic.

    About 5 % of the bundle's own answers are. A topic that moved is named, and alerts by itself
    where the limit lies below all of the interval of what it grew by.
    """

    name = "answer_similarity"
    reads_vectors = True

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference = subject.answers_by_topic()
        self.answers = Sample(EMBEDDED_ROWS)

    def add(self, batch: Batch) -> None:
        if batch.embedded.height:
            self.answers.add(batch.answered_vectors.select("id", "response", "vector"))

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.answers,)

    def measure(self, window: Window) -> Measurement:
        rows, reference = self.answers.rows, self._reference
        texts: list[str] = [] if rows is None else rows["response"].to_list()
        moved: list[MovedTopic] = []
        figure = None
        if rows is not None and texts:
            prompts = rows["vector"].explode().to_numpy().reshape(rows.height, -1)
            topics = reference.topic_of(prompts)
            similarities = reference.similarities(self._subject.embed(texts), topics)
            unlike = similarities < reference.threshold
            figure = intervals.share(int(unlike.sum()), len(texts))
            moved = self._moved(rows, topics, similarities)
        limit = self._settings.unlike_answers_above
        named = ", ".join(topic.told for topic in moved[:_NAMED])
        found = not_above(
            self.name,
            window,
            figure,
            what="answers unlike the training answers of their topic"
            + (f" (topics that moved: {named})" if named else ""),
            above=limit,
            released=self._at_release(),
            settings=self._settings,
            detail={
                "moved_topics": [dataclasses.asdict(topic) for topic in moved],
                "examples": [topic.examples[0] for topic in moved if topic.examples][:EXAMPLES],
                "similarity_threshold": reference.threshold,
                "own_share": float(reference.own_unlike.sum() / max(reference.own.sum(), 1)),
                "own_answers": int(reference.own.sum()),
                "training_answers": len(reference.vectors),
                "embedder": reference.embedder,
                "sampled_from": self.answers.seen,
            },
        )
        return _with_whole_topics(found, moved, limit, self._settings.minimum_samples)

    def _at_release(self) -> Baseline | None:
        answers = self._subject.answers_at_release()
        if not answers:
            return None
        reference = self._reference
        prompts = self._subject.embed([prompt for prompt, _ in answers])
        vectors = self._subject.embed([answer for _, answer in answers])
        similar = reference.similarities(vectors, reference.topic_of(prompts))
        unlike = intervals.share(int((similar < reference.threshold).sum()), len(answers))
        return Baseline(
            value=unlike.value, low=unlike.low, high=unlike.high, source="its evaluation"
        )

    def _moved(
        self, rows: pl.DataFrame, topics: Integers, similarities: Floats
    ) -> list[MovedTopic]:
        """Topics with more unlike answers than chance explains, the most of them first."""
        import numpy as np

        reference, moved = self._reference, []
        # Many topics are looked at, and one of them always moved most (Bonferroni).
        confidence = 1 - (1 - intervals.CONFIDENCE) / len(reference.own)
        unlike = similarities < reference.threshold
        for topic in np.unique(topics):
            members = np.flatnonzero(topics == topic)
            far, own = int(unlike[members].sum()), int(reference.own[topic])
            counts = (far, len(members), int(reference.own_unlike[topic]), own)
            if not own or growth(*counts, confidence=confidence).low <= 0:
                continue
            least = members[np.argsort(similarities[members], kind="stable")][:EXAMPLES]
            moved.append(
                MovedTopic(
                    words=reference.topic_words[topic],
                    answers=len(members),
                    unlike=intervals.share(far, len(members)),
                    own_share=float(reference.own_unlike[topic]) / own,
                    growth=growth(*counts),
                    examples=tuple(
                        {
                            "interaction": rows["id"][at],
                            "answer": quote(rows["response"][at]),
                            "similarity": round(float(similarities[at]), 3),
                        }
                        for at in least.tolist()
                    ),
                )
            )
        return sorted(moved, key=lambda topic: -topic.unlike.value * topic.answers)


def _with_whole_topics(
    found: Measurement, moved: Sequence[MovedTopic], limit: float, minimum: int
) -> Measurement:
    """An alert too where the answers of one topic changed, whatever its share of the traffic."""
    whole = [topic for topic in moved if topic.growth.low > limit and topic.answers >= minimum]
    if found.verdict != "ok" or not whole:
        return found
    told = ", ".join(topic.told for topic in whole[:_NAMED])
    message = f"{found.message}; the answers of whole topics changed: {told}"
    return dataclasses.replace(found, verdict="alert", message=message)


class NewPhrases(SampledAnswers):
    """The share of answers with a phrase that many share and that no training answer has.

    What it said in its release evaluation is not new either.
    """

    name = "new_phrases"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        at_release = [answer for _, answer in subject.answers_at_release()]
        self._own = subject.own_phrases().with_answers(at_release)

    def of_sample(self, window: Window, rows: pl.DataFrame | None) -> Measurement:
        answers: list[str] = [] if rows is None else rows["response"].to_list()
        found = new_phrases(answers, self._own)
        named = "; ".join(f"“{quote(phrase.words)}”" for phrase in found.named[:_NAMED])
        return not_above(
            self.name,
            window,
            intervals.share(found.having, len(answers)) if answers else None,
            what="answers with a phrase that no training answer has"
            + (f" (new phrases: {named})" if named else ""),
            above=self._settings.new_phrases_above,
            released=None,
            settings=self._settings,
            detail={
                "new_phrases": [
                    {"words": phrase.words, "answers": phrase.answers} for phrase in found.named
                ],
                "examples": [] if rows is None else [_shown(rows, p) for p in found.named],
                "own_answers": self._own.rows,
                "sampled_from": self.answers.seen,
            },
        )


def _shown(rows: pl.DataFrame, phrase: NewPhrase) -> Mapping[str, Any]:
    return {
        "interaction": rows["id"][phrase.example],
        "answer": quote(rows["response"][phrase.example]),
        "phrase": quote(phrase.words),
    }
