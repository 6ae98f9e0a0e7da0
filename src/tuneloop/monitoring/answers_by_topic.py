"""How near answers are to the training answers to prompts of the same topic.

An answer's similarity is the largest cosine to any of them (nearest neighbour). It is unlike them
below a threshold that is calibrated on the bundle's own data, so that about 5 % of its own answers
count as unlike those of their topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.embedders import Embedder
from tuneloop.monitoring import reference_folder
from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

REFERENCE_VERSION = 1
"""Grows when a reference is computed differently, so that no cached one of another rule is used."""
CALIBRATED_SHARE = 0.05
"""Share of the bundle's own answers that counts as unlike the others of its topic."""
HELD_OUT_ALONE_FROM = 200
"""With fewer held-out answers the training answers are added, each compared with other groups."""
MOST_OWN = 20_000
"""Training answers that are compared with; of more, a random sample."""
_CHUNK_ROWS = 1_024


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
    centres: Vectors
    """(k, d): of the prompts' topics."""
    topic_words: tuple[tuple[str, ...], ...]
    """For each topic the words of its prompts that set it apart."""
    vectors: Vectors
    """(n, d): training answers."""
    topics: Integers
    """(n,): of their prompts."""
    threshold: float
    """Cosine below which an answer is unlike those of its topic."""
    own: Integers
    """(k,): answers of each topic that the threshold was set on."""
    own_unlike: Integers
    """(k,): those of them below it."""

    def topic_of(self, prompts: Vectors) -> Integers:
        """The topic of each prompt's vector (n, d): (n,)."""
        import numpy as np

        return np.asarray((prompts @ self.centres.T).argmax(axis=1))

    def similarities(self, answers: Vectors, topics: Integers) -> Vectors:
        """The cosine of each answer (n, d) to the nearest training answer of its topic: (n,)."""
        return _nearest(answers, topics, self.vectors, self.topics)

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all; an existing one is replaced."""
        arrays = {
            "centres": self.centres,
            "vectors": self.vectors,
            "topics": self.topics,
            "own": self.own,
            "own_unlike": self.own_unlike,
        }
        facts = {
            "embedder": self.embedder,
            "topic_words": self.topic_words,
            "threshold": self.threshold,
        }
        reference_folder.save(folder, arrays, facts)

    @classmethod
    def load(cls, folder: Path) -> AnswersByTopic | None:
        """The reference in a folder; None when there is none or it is damaged."""
        stored = reference_folder.load(folder)
        if stored is None:
            return None
        arrays, facts = stored
        words = tuple(map(tuple, facts["topic_words"]))
        return cls(**{**facts, "topic_words": words}, **arrays)


def answers_by_topic(
    train: OwnAnswers, held_out: OwnAnswers, drift: DriftReference, embedder: Embedder
) -> AnswersByTopic:
    """Embed a bundle's own answers and calibrate the threshold on them.

    `drift` is the reference of its prompts, whose topics these are.
    """
    import numpy as np

    train = _drawn(train)
    groups = _numbered(train, held_out)
    of_train, of_held_out = groups[: len(train.answers)], groups[len(train.answers) :]
    centres, k = drift.topics.centres, len(drift.topics.counts)
    vectors, unseen = embedder.embed(train.answers), embedder.embed(held_out.answers)
    topics = drift.topics.assign(embedder.embed(train.prompts.texts))[0]
    unseen_topics = drift.topics.assign(embedder.embed(held_out.prompts.texts))[0]
    cosines = _nearest(unseen, unseen_topics, vectors, topics, own=of_held_out, reference=of_train)
    own_topics = unseen_topics
    if len(cosines) < HELD_OUT_ALONE_FROM:
        others = _nearest(vectors, topics, vectors, topics, own=of_train, reference=of_train)
        cosines, own_topics = (
            np.concatenate([cosines, others]),
            np.concatenate([own_topics, topics]),
        )
    # An answer whose group is the only one of its topic has nothing to be compared with.
    compared = cosines >= -1
    cosines, own_topics = cosines[compared], own_topics[compared]
    threshold = float(np.quantile(cosines, CALIBRATED_SHARE)) if len(cosines) else -1.0
    return AnswersByTopic(
        embedder=embedder.name,
        centres=centres,
        topic_words=drift.topic_words,
        vectors=vectors,
        topics=topics,
        threshold=threshold,
        own=np.bincount(own_topics, minlength=k),
        own_unlike=np.bincount(own_topics[cosines < threshold], minlength=k),
    )


_NOTHING_NEAR = -2.0
"""Less than any cosine."""


def _nearest(
    answers: Vectors,
    topics: Integers,
    reference_answers: Vectors,
    reference_topics: Integers,
    *,
    own: Integers | None = None,
    reference: Integers | None = None,
) -> Vectors:
    """Largest cosine of each answer to those of its topic, -2 without any; by the chunk: (n,).

    With the groups of both (n,), (m,) an answer is not compared with its own group.
    """
    import numpy as np

    nearest = np.full(len(answers), _NOTHING_NEAR, dtype=np.float32)
    for topic in np.unique(topics):
        members = np.flatnonzero(reference_topics == topic)
        asked = np.flatnonzero(topics == topic)
        for start in range(0, len(asked) if len(members) else 0, _CHUNK_ROWS):
            rows = asked[start : start + _CHUNK_ROWS]
            cosines = answers[rows] @ reference_answers[members].T  # (rows, members)
            if own is not None and reference is not None:
                cosines[own[rows][:, None] == reference[members]] = _NOTHING_NEAR
            nearest[rows] = cosines.max(axis=1)
    return nearest


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
