"""What a bundle's traffic is compared with: its own training and held-out prompts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.embedders import Embedder
from tuneloop.errors import DataError
from tuneloop.monitoring import reference_folder
from tuneloop.monitoring.drift.calibration import (
    FALSE_ALARM_RATE,
    TOLERATED_SHARE,
    Thresholds,
    calibrate_topics,
    calibrate_unfamiliar,
)
from tuneloop.monitoring.drift.familiarity import Familiarity, familiarity, own_cosines
from tuneloop.monitoring.drift.topics import Topics, find_topics
from tuneloop.monitoring.novelty import words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

REFERENCE_VERSION = 6
"""Grows when a reference is computed differently, so that no cached one of another rule is used."""
LEAST_PROMPTS = 20
SAMPLED_PROMPTS = 1_000
"""Of more own prompts a random part stands for all, where single ones are compared."""


@dataclass(frozen=True, kw_only=True)
class DriftReference:
    """The training and held-out prompts of one dataset, as one embedder sees them."""

    embedder: str
    """Name of the embedder; vectors of another one must not be compared."""
    topics: Topics
    """Of the training prompts."""
    familiarity: Familiarity
    """Of the held-out prompts, with training prompts where those are few."""
    thresholds: Thresholds
    """What a window must pass to be drift."""
    topic_words: tuple[tuple[str, ...], ...]
    """For each topic the words that set it apart, the most telling first."""
    word_counts: Mapping[str, int]
    """Training prompts that have each word, case-folded."""
    sample: Vectors
    """Vectors (n, d) of own prompts drawn at random, training and held-out."""

    @property
    def rows(self) -> int:
        """Training prompts with a vector."""
        return self.topics.rows

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all; an existing one is replaced."""
        arrays = {
            "centres": self.topics.centres,
            "counts": self.topics.counts,
            "mean": self.topics.mean,
            "covariance": self.topics.covariance,
            "edges": self.familiarity.edges,
            "own": self.familiarity.own,
            "sample": self.sample,
        }
        facts = {
            "embedder": self.embedder,
            "typical_distance": self.topics.typical_distance,
            "far_below": self.familiarity.far_below,
            "median": self.familiarity.median,
            "thresholds": vars(self.thresholds),
            "topic_words": self.topic_words,
            "word_counts": dict(self.word_counts),
        }
        reference_folder.save(folder, arrays, facts)

    @classmethod
    def load(cls, folder: Path) -> DriftReference | None:
        """The reference in a folder; None when there is none or it is damaged."""
        stored = reference_folder.load(folder)
        if stored is None:
            return None
        arrays, facts = stored
        thresholds = facts["thresholds"]
        return cls(
            embedder=facts["embedder"],
            topics=Topics(
                centres=arrays["centres"],
                counts=arrays["counts"],
                mean=arrays["mean"],
                covariance=arrays["covariance"],
                typical_distance=facts["typical_distance"],
            ),
            familiarity=Familiarity(
                edges=arrays["edges"],
                own=arrays["own"],
                far_below=facts["far_below"],
                median=facts["median"],
            ),
            thresholds=Thresholds(
                tolerated_share=thresholds["tolerated_share"],
                false_alarm_rate=thresholds["false_alarm_rate"],
                topics=tuple(thresholds["topics"]),
                unfamiliar=tuple(thresholds["unfamiliar"]),
            ),
            topic_words=tuple(map(tuple, facts["topic_words"])),
            word_counts=facts["word_counts"],
            sample=arrays["sample"],
        )


@dataclass(frozen=True, kw_only=True)
class OwnPrompts:
    """Prompts of a bundle's dataset."""

    texts: Sequence[str]
    groups: Sequence[str] | None = None
    """What rows belong together (a conversation, a customer, near-duplicates): they are resampled
    together. None: every row is a group."""


def drift_reference(
    train: OwnPrompts,
    held_out: OwnPrompts,
    *,
    embedder: Embedder,
    tolerated_share: float = TOLERATED_SHARE,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> DriftReference:
    """Embed the bundle's own prompts, find their topics and calibrate the thresholds.

    Raises:
        DataError: fewer than `LEAST_PROMPTS` training prompts that have a vector.
    """
    texts = [*train.texts, *held_out.texts]
    vectors = embedder.embed(texts)
    return reference_from_vectors(
        vectors[: len(train.texts)],
        vectors[len(train.texts) :],
        train=train,
        held_out=held_out,
        embedder=embedder.name,
        tolerated_share=tolerated_share,
        false_alarm_rate=false_alarm_rate,
    )


def reference_from_vectors(
    train_vectors: Vectors,
    held_out_vectors: Vectors,
    *,
    train: OwnPrompts,
    held_out: OwnPrompts,
    embedder: str,
    tolerated_share: float = TOLERATED_SHARE,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> DriftReference:
    """The same from vectors (n, d) and (m, d) that are known already, of length 1 or 0.

    Raises:
        DataError: see `drift_reference`.
    """
    import numpy as np

    usable = np.asarray(train_vectors.any(axis=1))
    usable_held_out = np.asarray(held_out_vectors.any(axis=1))
    own, unseen = train_vectors[usable], held_out_vectors[usable_held_out]
    if len(own) < LEAST_PROMPTS:
        raise DataError(
            f"Expected at least {LEAST_PROMPTS} training prompts to measure drift from, found "
            f"{len(own)} that have words."
        )
    groups = np.concatenate(_numbered(train, held_out))[np.concatenate([usable, usable_held_out])]
    topics = find_topics(own)
    cosines, cosine_groups = own_cosines(own, unseen, topics, groups)
    known = familiarity(cosines)
    rule = {"tolerated_share": tolerated_share, "false_alarm_rate": false_alarm_rate}
    texts = [text for text, kept in zip(train.texts, usable, strict=True) if kept]
    return DriftReference(
        embedder=embedder,
        topics=topics,
        familiarity=known,
        thresholds=Thresholds(
            **rule,
            topics=calibrate_topics(topics, own, groups[: len(own)], **rule),
            unfamiliar=calibrate_unfamiliar(known, known.bins(cosines), cosine_groups, **rule),
        ),
        topic_words=topic_words(texts, topics.assign(own)[0].tolist(), len(topics.counts)),
        word_counts=Counter(word for text in texts for word in words(text)),
        sample=_drawn(np.concatenate([own, unseen])),
    )


def _drawn(vectors: Vectors) -> Vectors:
    import numpy as np

    if len(vectors) <= SAMPLED_PROMPTS:
        return vectors
    rows = np.random.default_rng(0).choice(len(vectors), SAMPLED_PROMPTS, replace=False)
    return vectors[np.sort(rows)]


def topic_words(
    texts: Sequence[str], labels: Sequence[int], topics: int, *, most: int = 6
) -> tuple[tuple[str, ...], ...]:
    """For each topic the words that tell it from all texts: the largest p log(p / q), p being the
    share of its texts that have the word and q that of all (the word's part of the Kullback-Leibler
    divergence). Words of a single text are left out: they are a person's rather than the topic's.
    """
    everywhere: Counter[str] = Counter()
    within: list[Counter[str]] = [Counter() for _ in range(topics)]
    sizes = Counter(labels)
    for text, label in zip(texts, labels, strict=True):
        of_text = words(text)
        everywhere.update(of_text)
        within[label].update(of_text)

    def telling(topic: int) -> tuple[str, ...]:
        gain = {
            word: (share := count / sizes[topic])
            * math.log(share / (everywhere[word] / len(texts)))
            for word, count in within[topic].items()
            if count > 1
        }
        return tuple(sorted(gain, key=lambda word: (-gain[word], word))[:most])

    return tuple(telling(topic) for topic in range(topics))


def _numbered(
    train: OwnPrompts, held_out: OwnPrompts
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The groups of both as numbers: (n,), (m,)."""
    import numpy as np

    names: dict[object, int] = {}

    def numbers(prompts: OwnPrompts, side: str) -> npt.NDArray[np.int64]:
        keys: Sequence[object] = (
            [(side, row) for row in range(len(prompts.texts))]
            if prompts.groups is None
            else prompts.groups
        )
        return np.array([names.setdefault(key, len(names)) for key in keys], dtype=np.int64)

    return numbers(train, "train"), numbers(held_out, "held-out")
