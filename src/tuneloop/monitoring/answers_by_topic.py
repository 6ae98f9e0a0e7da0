"""How near answers are to the training answers to prompts like theirs, topic by topic.

An answer's similarity is the largest cosine to the training answers to the `NEIGHBOURS` training
prompts nearest to its own, and its topic is that of the nearest one. Topics are found on the
training prompts and fit those better than any others: asked for each one's topic, or for neighbours
within it, all traffic would look farther.

What a window shows is compared with what the bundle's own answers show of the same topic, each
compared with answers of other groups only: by Cliff's delta (N. Cliff 1993, "Dominance statistics",
Psychological Bulletin 114), the probability that an own answer is nearer less the probability that
it is farther. 0: as near as its own. If a share p of the answers is unlike all of their topic and
the rest is as ever, it is p. Topics are compared one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.embedders import Embedder
from tuneloop.errors import DataError
from tuneloop.intervals import CONFIDENCE, Figure, two_sided_z
from tuneloop.monitoring import reference_folder
from tuneloop.monitoring.bounds import Estimate
from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

REFERENCE_VERSION = 1
"""Grows when a reference is computed differently, so that no cached one of another rule is used."""
HELD_OUT_ALONE_FROM = 200
"""With fewer held-out answers the training answers are added, each compared with other groups."""
MOST_OWN = 20_000
"""Training answers that are compared with; of more, a random sample."""
LEAST_ANSWERS = 20
NEIGHBOURS = 10
"""Of 5, 10, 20 and 40, and of topics of 10 to 120 rows, 5 and 10 told notes of other patients from
the right ones best (MTS-Dialog, AUC 0.85 against 0.69 to 0.80 within topics)."""
_CHUNK_ROWS = 1_024
_NOTHING_NEAR = -2.0
"""Less than any cosine."""


@dataclass(frozen=True, kw_only=True)
class OwnAnswers:
    """Prompts and answers of a part of a bundle's dataset, row by row."""

    prompts: OwnPrompts
    answers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class AnswersByTopic:
    """The training answers of one dataset by the topics of their prompts."""

    embedder: str
    """Name of the embedder; vectors of another one must not be compared."""
    topic_words: tuple[tuple[str, ...], ...]
    """For each topic the words of its prompts that set it apart."""
    prompts: Vectors
    """(n, d): training prompts."""
    answers: Vectors
    """(n, d): the training answers to them."""
    topics: Integers
    """(n,): of the training prompts."""
    own: Vectors
    """(m,): similarities of own answers, held-out ones and where those are few training ones."""
    own_topics: Integers
    """(m,): of their prompts."""

    def compare(self, prompts: Vectors, answers: Vectors) -> tuple[Vectors, Integers]:
        """Of answers (n, d) to prompts (n, d) the similarity and the topic: (n,), (n,)."""
        similarities, nearest = _nearest(prompts, answers, self.prompts, self.answers)
        return similarities, self.topics[nearest]

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all; an existing one is replaced."""
        arrays = {
            "prompts": self.prompts,
            "answers": self.answers,
            "topics": self.topics,
            "own": self.own,
            "own_topics": self.own_topics,
        }
        facts = {"embedder": self.embedder, "topic_words": self.topic_words}
        reference_folder.save(folder, arrays, facts)

    @classmethod
    def load(cls, folder: Path) -> AnswersByTopic | None:
        """The reference in a folder; None when there is none or it is damaged."""
        stored = reference_folder.load(folder)
        if stored is None:
            return None
        arrays, facts = stored
        words = tuple(map(tuple, facts["topic_words"]))
        return cls(embedder=facts["embedder"], topic_words=words, **arrays)


@dataclass(frozen=True, kw_only=True)
class Farther:
    """How much farther some answers are from the training answers than own ones of their topics."""

    value: float
    """Cliff's delta, -1..1."""
    error: float
    """Its standard error, both samples counted."""
    n: int
    """Answers whose topic has own answers to compare with."""

    def figure(self, z: float = two_sided_z(CONFIDENCE)) -> Figure:
        """With the interval of so many standard errors."""

        low, high = self._within(z)
        return Figure(value=self.value, low=low, high=high, n=self.n)

    @property
    def estimate(self) -> Estimate:
        """The same, with bounds at any level."""
        low, high = self._within(two_sided_z(CONFIDENCE))
        return Estimate(
            value=self.value,
            low=low,
            high=high,
            n=self.n,
            at=lambda level: self._within(two_sided_z(1 - 2 * level)),
        )

    def _within(self, z: float) -> tuple[float, float]:
        half = z * self.error
        return max(-1.0, self.value - half), min(1.0, self.value + half)


def farther(
    similarities: Vectors, topics: Integers, reference: AnswersByTopic
) -> tuple[Farther | None, dict[int, Farther]]:
    """Of answers with these similarities and topics (n,), (n,): all together, and topic by topic.

    None where no topic has own answers. The variance is Cliff's, with the largest that there can be
    where one of the two samples is a single answer.
    """
    import numpy as np

    of_topics: dict[int, Farther] = {}
    for topic in np.unique(topics).tolist():
        here, own = similarities[topics == topic], reference.own[reference.own_topics == topic]
        if not len(own):
            continue
        nearer = np.sign(own[None, :] - here[:, None])  # (answers, own)
        variance = _variance(nearer.mean(axis=1)) + _variance(nearer.mean(axis=0))
        of_topics[topic] = Farther(
            value=float(nearer.mean()), error=math.sqrt(variance), n=len(here)
        )
    n = sum(found.n for found in of_topics.values())
    if not n:
        return None, {}
    value = sum(found.value * found.n for found in of_topics.values()) / n
    error = math.hypot(*(found.error * found.n for found in of_topics.values())) / n
    return Farther(value=value, error=error, n=n), of_topics


def _variance(values: Vectors) -> float:
    """Squared error of the mean of values in -1..1."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 1.0


def answers_by_topic(
    train: OwnAnswers, held_out: OwnAnswers, drift: DriftReference, embedder: Embedder
) -> AnswersByTopic:
    """Embed a bundle's own answers and see how near they are to each other.

    `drift` is the reference of its prompts, whose topics these are.

    Raises:
        DataError: fewer than `LEAST_ANSWERS` training answers.
    """
    import numpy as np

    if len(train.answers) < LEAST_ANSWERS:
        raise DataError(
            f"Expected at least {LEAST_ANSWERS} training answers to compare with, found "
            f"{len(train.answers)}."
        )
    train = _drawn(train)
    groups = _numbered(train, held_out)
    of_train, of_held_out = groups[: len(train.answers)], groups[len(train.answers) :]
    prompts, answers = embedder.embed(train.prompts.texts), embedder.embed(train.answers)
    asked, said = embedder.embed(held_out.prompts.texts), embedder.embed(held_out.answers)
    topics = drift.topics.assign(prompts)[0]
    own, nearest = _nearest(asked, said, prompts, answers, own=of_held_out, reference=of_train)
    if len(own) < HELD_OUT_ALONE_FROM:
        others, of_others = _nearest(
            prompts, answers, prompts, answers, own=of_train, reference=of_train
        )
        own, nearest = np.concatenate([own, others]), np.concatenate([nearest, of_others])
    return AnswersByTopic(
        embedder=embedder.name,
        topic_words=drift.topic_words,
        prompts=prompts,
        answers=answers,
        topics=topics,
        own=own,
        own_topics=topics[nearest],
    )


def _nearest(
    prompts: Vectors,
    answers: Vectors,
    training_prompts: Vectors,
    training_answers: Vectors,
    *,
    own: Integers | None = None,
    reference: Integers | None = None,
) -> tuple[Vectors, Integers]:
    """Largest cosine of each answer to those to the nearest training prompts, and the number of the
    nearest one of these, by the chunk: (n,), (n,).

    With the groups of both (n,), (m,) an answer is not compared with its own group.
    """
    import numpy as np

    similarities = np.empty(len(answers), dtype=np.float32)
    nearest = np.empty(len(answers), dtype=np.int64)
    most = min(NEIGHBOURS, len(training_prompts))
    for start in range(0, len(answers), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        cosines = prompts[rows] @ training_prompts.T  # (chunk, m)
        if own is not None and reference is not None:
            cosines[own[rows][:, None] == reference] = _NOTHING_NEAR
        at = np.argpartition(-cosines, most - 1, axis=1)[:, :most]  # (chunk, most)
        near = np.einsum("nd,nmd->nm", answers[rows], training_answers[at])
        similarities[rows], nearest[rows] = near.max(axis=1), cosines.argmax(axis=1)
    return similarities, nearest


def _drawn(train: OwnAnswers) -> OwnAnswers:
    import numpy as np

    n = len(train.answers)
    if n <= MOST_OWN:
        return train
    rows = np.sort(np.random.default_rng(0).choice(n, MOST_OWN, replace=False)).tolist()
    groups = train.prompts.groups
    return OwnAnswers(
        prompts=OwnPrompts(
            texts=[train.prompts.texts[row] for row in rows],
            groups=None if groups is None else [groups[row] for row in rows],
        ),
        answers=[train.answers[row] for row in rows],
    )


def _numbered(train: OwnAnswers, held_out: OwnAnswers) -> Integers:
    """The groups of the rows of both, one after the other, as numbers: (n + m,)."""
    import numpy as np

    names: dict[object, int] = {}
    keys: list[object] = []
    for side, part in enumerate((train, held_out)):
        groups = part.prompts.groups
        keys += [(side, row) for row in range(len(part.answers))] if groups is None else groups
    return np.array([names.setdefault(key, len(names)) for key in keys], dtype=np.int64)
