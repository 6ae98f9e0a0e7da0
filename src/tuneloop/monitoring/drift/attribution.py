"""What changed, for people: topics that grew, words that came and went, kinds of request that are
new. Shares of topics are those of the whole window; words and examples come from its sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.monitoring.drift.reference import DriftReference, topic_words
from tuneloop.monitoring.drift.sketch import DriftSketch
from tuneloop.monitoring.novelty import NewWord, absent_beyond_chance, words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Vectors = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

EXAMPLES = 3
EXAMPLE_CHARACTERS = 200
MOST_LISTED = 10
NEW_TASK_PROMPTS = 5
"""Fewest prompts of the sample that are a new kind of request."""
FAR_MORE = 5.0
"""So many times as common as in training is a new kind of request, too; less is a grown topic."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A prompt of the window."""

    interaction: str
    """Its id."""
    prompt: str
    """Cut to `EXAMPLE_CHARACTERS`."""


@dataclass(frozen=True, kw_only=True)
class GrownTopic:
    """A topic of the training prompts that has more of the traffic now."""

    words: tuple[str, ...]
    """What sets it apart, in the training prompts."""
    share: Figure
    """Of the window's prompts."""
    training_share: float
    growth: Figure
    """`share` less `training_share`, with the 95 % interval."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """Prompts near to each other that the training data has hardly any of."""

    words: tuple[str, ...]
    """What sets them apart from the rest of the sample."""
    share: Figure
    """Of the sample's prompts."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What a window has that the training data has not, and the other way round."""

    grown: tuple[GrownTopic, ...]
    """Those whose growth is beyond chance, the largest first."""
    new_words: tuple[NewWord, ...]
    """With the prompts of the sample that have them."""
    retired_words: tuple[NewWord, ...]
    """Words that the sample no longer has, with the training prompts that have them."""
    new_tasks: tuple[NewTask, ...]
    """The largest first."""
    sampled: int
    """Prompts that words, examples and new tasks were looked for in."""


def attribute(sketch: DriftSketch, reference: DriftReference) -> Attribution:
    """Say what a window's drift consists of."""
    sample = sketch.sample()
    if sample is None or sample.is_empty():
        return Attribution(grown=(), new_words=(), retired_words=(), new_tasks=(), sampled=0)
    texts, vectors = sample["text"].to_list(), sample["vector"].to_numpy()
    nearest, cosines = reference.topics.assign(vectors)
    counts = Counter(word for text in texts for word in words(text))
    rows = len(texts)
    return Attribution(
        grown=_grown(sketch, reference, sample, nearest, cosines),
        new_words=tuple(
            absent_beyond_chance(
                counts, rows=rows, other=reference.word_counts, other_rows=reference.rows
            )[:MOST_LISTED]
        ),
        retired_words=tuple(
            absent_beyond_chance(
                reference.word_counts, rows=reference.rows, other=counts, other_rows=rows
            )[:MOST_LISTED]
        ),
        new_tasks=_new_tasks(reference, sample, cosines),
        sampled=rows,
    )


def _grown(
    sketch: DriftSketch,
    reference: DriftReference,
    sample: pl.DataFrame,
    nearest: Integers,
    cosines: Vectors,
) -> tuple[GrownTopic, ...]:
    import numpy as np

    now, before = sketch.whole().topics, reference.topics.counts
    # Many topics are looked at, and one of them always grew most (Bonferroni).
    confidence = 1 - (1 - intervals.CONFIDENCE) / len(before)
    grown = []
    for topic in range(len(before)):
        n, rows = int(now.sum()), reference.rows
        strict = _growth(int(now[topic]), n, int(before[topic]), rows, confidence=confidence)
        if strict.low > 0:
            members = np.flatnonzero(nearest == topic)
            typical = members[np.argsort(-cosines[members], kind="stable")]
            grown.append(
                GrownTopic(
                    words=reference.topic_words[topic],
                    share=intervals.share(int(now[topic]), n),
                    training_share=float(before[topic]) / rows,
                    growth=_growth(int(now[topic]), n, int(before[topic]), rows),
                    examples=_examples(sample, typical),
                )
            )
    return tuple(sorted(grown, key=lambda topic: -topic.growth.value)[:MOST_LISTED])


def _growth(
    hits: int, n: int, own_hits: int, own_n: int, *, confidence: float = intervals.CONFIDENCE
) -> Figure:
    """The difference of two shares with Newcombe's interval (R. G. Newcombe 1998, "Interval
    estimation for the difference between independent proportions", Statistics in Medicine 17,
    method 10)."""
    now = intervals.share(hits, n, confidence=confidence)
    own = intervals.share(own_hits, own_n, confidence=confidence)
    value = now.value - own.value
    return Figure(
        value=value,
        low=value - math.hypot(now.value - now.low, own.high - own.value),
        high=value + math.hypot(now.high - now.value, own.value - own.low),
        n=n,
    )


def _new_tasks(
    reference: DriftReference, sample: pl.DataFrame, cosines: Vectors
) -> tuple[NewTask, ...]:
    """Groups of prompts as near to each other as the bundle's own are to their topic, if they are
    far from every topic, or far more common than among its own.

    The second finds what the first cannot where the training data is so small or so mixed that
    its own unseen prompts are far from every topic, too.

    Average linkage over cosines; prompts at the cosine c to a common centre have the cosine c² to
    each other on average.
    """
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage

    if sample.height < NEW_TASK_PROMPTS:
        return ()
    vectors, far = sample["vector"].to_numpy(), cosines < reference.familiarity.far_below
    radius = max(reference.familiarity.median, 0.0)
    tree = linkage(vectors, method="average", metric="cosine")
    labels = fcluster(tree, t=1 - radius**2, criterion="distance") - 1
    sizes = np.bincount(labels)
    large = np.flatnonzero(sizes >= NEW_TASK_PROMPTS)
    telling = topic_words(sample["text"].to_list(), labels.tolist(), len(sizes))
    tasks = []
    for label in large:
        members = np.flatnonzero(labels == label)
        mostly_far = far[members].sum() > max(len(members) / 2, NEW_TASK_PROMPTS - 1)
        if mostly_far or _far_more_common(
            vectors[members], reference.sample, radius, traffic=sample.height, looked_at=len(large)
        ):
            typical = members[np.argsort(-(vectors[members] @ vectors[members].mean(axis=0)))]
            tasks.append(
                NewTask(
                    words=telling[label],
                    share=intervals.share(len(members), sample.height),
                    examples=_examples(sample, typical),
                )
            )
    return tuple(sorted(tasks, key=lambda task: -task.share.value)[:MOST_LISTED])


def _far_more_common(
    members: Vectors, own: Vectors, radius: float, *, traffic: int, looked_at: int
) -> bool:
    """Whether the traffic has proven to hold `FAR_MORE` times as much around these prompts.

    Of all prompts around them the share that is traffic is binomial when the two rates have a
    given ratio. A prompt is around them when its cosine to the centre of the others is the radius
    or more; many groups are looked at (Bonferroni).
    """
    import numpy as np
    from scipy.stats import binom

    total = members.sum(axis=0)
    others = total - members
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
    around = int(((others * members).sum(axis=1) >= radius).sum())
    own_around = int((own @ (total / max(float(np.linalg.norm(total)), 1e-12)) >= radius).sum())
    by_then = FAR_MORE * traffic / (FAR_MORE * traffic + len(own))
    chance = float(binom.sf(around - 1, around + own_around, by_then))
    return around >= NEW_TASK_PROMPTS and chance < (1 - intervals.CONFIDENCE) / looked_at


def _examples(sample: pl.DataFrame, rows: Sequence[int] | Integers) -> tuple[Example, ...]:
    """The first few different prompts of these rows of the sample."""
    by_prompt: dict[str, Example] = {}
    for row in rows:
        identity, text = sample["id"][int(row)], sample["text"][int(row)]
        shown = text if len(text) <= EXAMPLE_CHARACTERS else f"{text[: EXAMPLE_CHARACTERS - 1]}…"
        by_prompt.setdefault(shown, Example(interaction=identity, prompt=shown))
        if len(by_prompt) == EXAMPLES:
            break
    return tuple(by_prompt.values())
