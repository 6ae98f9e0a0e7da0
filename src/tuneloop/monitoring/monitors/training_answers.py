"""Monitors of answers in prose against the training answers: how near they are, what is new."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.monitoring.answers_by_topic import Farther, farther
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors.drift import EMBEDDED_ROWS
from tuneloop.monitoring.monitors.prose import EXAMPLES, SampledAnswers, not_above
from tuneloop.monitoring.monitors.tally import Subject, Tally, quote
from tuneloop.monitoring.phrases import NewPhrase, new_phrases
from tuneloop.monitoring.shift import Baseline, Margin, assess_shift
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
    """A topic whose answers are farther from the training answers than its own are."""

    words: tuple[str, ...]
    """What sets its prompts apart."""
    answers: int
    """Of the sample."""
    farther: Figure
    """Cliff's delta, with an interval that allows for the number of topics."""
    examples: tuple[dict[str, Any], ...]
    """The least similar first."""

    @property
    def told(self) -> str:
        """In words."""
        words = " ".join(self.words[:_TOPIC_WORDS]) or "without a word in common"
        return f"“{words}” ({100 * self.farther.value:.0f} %)"


class AnswerSimilarity(Tally):
    """How much farther answers are from the training answers to prompts like theirs than own ones.

    Told as a share of the answers, see `answers_by_topic`. Topics that moved are named; one of them
    alerts by itself where all of its interval is beyond the limit. All answers and the topics get
    half of the chance of a false alarm each. Where the release evaluation was farther or nearer for
    certain, it is what windows are compared with; before it goes what a person called normal.
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
        moved: list[MovedTopic] = []
        figure = None
        if rows is not None and rows.height:
            prompts = rows["vector"].explode().to_numpy().reshape(rows.height, -1)
            vectors = self._subject.embed(rows["response"].to_list())
            similarities, topics = reference.compare(prompts, vectors)
            whole, of_topics = farther(similarities, topics, reference)
            figure = None if whole is None else whole.estimate
            moved = self._moved(rows, topics, similarities, of_topics, window.level / 2)
        named = ", ".join(topic.told for topic in moved[:_NAMED])
        limit = self._settings.unlike_answers_above
        found = assess_shift(
            self.name,
            dataclasses.replace(window, level=window.level / 2),
            figure,
            what="answers less like the training answers of their topic than its own are"
            + (f" (topics that moved: {named})" if named else ""),
            unit="share",
            baseline=self._subject.accepted_baseline(self.name)
            or self._at_release()
            or _AS_ITS_OWN,
            margin=Margin(distance=limit, side="above"),
            minimum=self._settings.minimum_samples,
            detail={
                "moved_topics": [dataclasses.asdict(topic) for topic in moved],
                "examples": [topic.examples[0] for topic in moved][:EXAMPLES],
                "own_answers": len(reference.own),
                "training_answers": len(reference.answers),
                "embedder": reference.embedder,
                "sampled_from": self.answers.seen,
            },
        )
        return _with_whole_topics(found, moved, limit, self._settings.minimum_samples)

    def _at_release(self) -> Baseline | None:
        """What its release evaluation showed, if that was not as own answers are for certain."""
        answers = self._subject.answers_at_release()
        if not answers:
            return None
        reference, embed = self._reference, self._subject.embed
        prompts = embed([prompt for prompt, _ in answers])
        similarities, topics = reference.compare(prompts, embed([answer for _, answer in answers]))
        then, _ = farther(similarities, topics, reference)
        if then is None or (figure := then.figure()).low <= 0 <= figure.high:
            return None
        return Baseline(
            value=figure.value, low=figure.low, high=figure.high, source="its evaluation"
        )

    def _moved(
        self,
        rows: pl.DataFrame,
        topics: Integers,
        similarities: Floats,
        of_topics: Mapping[int, Farther],
        level: float,
    ) -> list[MovedTopic]:
        """Topics whose answers are farther for certain, those with the most of them first.

        `level`: the chance that one of them seems farther beyond its interval.
        """
        import numpy as np

        if not of_topics:
            return []
        # Many topics are looked at, and one of them always moved most (Bonferroni).
        z = intervals.two_sided_z(1 - 2 * level / len(of_topics))
        moved = []
        for topic, found in of_topics.items():
            if (figure := found.figure(z)).low <= 0:
                continue
            members = np.flatnonzero(topics == topic)
            least = members[np.argsort(similarities[members], kind="stable")][:EXAMPLES]
            moved.append(
                MovedTopic(
                    words=self._reference.topic_words[topic],
                    answers=found.n,
                    farther=figure,
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
        return sorted(moved, key=lambda topic: -topic.farther.value * topic.answers)


_AS_ITS_OWN = Baseline(value=0.0, low=0.0, high=0.0, source="its own answers")


def _with_whole_topics(
    found: Measurement, moved: Sequence[MovedTopic], limit: float, minimum: int
) -> Measurement:
    """An alert too where the answers of one topic changed, whatever its share of the traffic."""
    whole = [topic for topic in moved if topic.farther.low > limit and topic.answers >= minimum]
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
