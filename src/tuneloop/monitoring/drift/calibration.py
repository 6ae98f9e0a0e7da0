"""The thresholds of a bundle's drift verdict, by resampling its own prompts.

A shift can be real and not matter: CLINC150's training and test messages differ, significantly so
from some hundred rows on. So the null hypothesis is not "nothing changed" but "no more than a
tolerated share of the traffic changed". For each window size, windows are drawn from the bundle's
own prompts, by group, and in each the tolerated share is replaced: by prompts of one topic, drawn
anew each time (for the topics' part), or by prompts unlike everything (for the familiarity's).
The threshold is the value that such windows pass with the declared false-alarm rate; the two parts
get half of it each. More rows narrow the noise but never bring the threshold below what the
tolerated change amounts to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop.monitoring.drift.familiarity import Familiarity, dominance
from tuneloop.monitoring.drift.topics import Topics

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

TOLERATED_SHARE = 0.10
FALSE_ALARM_RATE = 0.05
SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 100_000)
"""Rows of the windows that are drawn; between them the threshold is interpolated over log n."""
RESAMPLES = 400
_ROWS = 4_000
"""Prompts that windows are drawn from; of more, a random sample."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a window's two figures must pass, by the number of its rows."""

    tolerated_share: float
    """Share of the traffic that may change without an alert."""
    false_alarm_rate: float
    """Of windows in which that share changed."""
    topics: tuple[float, ...]
    """For each of `SIZES`: share of the traffic."""
    unfamiliar: tuple[float, ...]
    """For each of `SIZES`: Cliff's delta."""

    def at(self, values: tuple[float, ...], rows: float) -> float:
        """The threshold for a window of so many effective rows."""
        import numpy as np

        return float(np.interp(math.log(rows), np.log(SIZES), values))


def calibrate_topics(
    topics: Topics,
    vectors: Vectors,
    groups: Integers,
    *,
    tolerated_share: float,
    false_alarm_rate: float,
) -> tuple[float, ...]:
    """Thresholds of the topics' part from own vectors (n, d) with their groups (n,)."""
    import numpy as np

    rng = np.random.default_rng(0)
    if len(vectors) > _ROWS:
        kept = rng.choice(len(vectors), _ROWS, replace=False)
        vectors, groups = vectors[kept], groups[kept]
    labels = topics.assign(vectors)[0]
    members = [np.flatnonzero(labels == topic) for topic in np.unique(labels)]
    base = vectors.mean(axis=0, dtype=np.float64)
    training_noise = (1 - float(base @ base)) / topics.rows
    # The training's own mean is a sample too.
    training = _means(_draws(groups, topics.rows, rng), vectors)  # (resamples, d)
    thresholds = []
    for size in SIZES:
        counts = _draws(groups, size, rng)  # (resamples, n)
        moved = rng.binomial(size, tolerated_share, RESAMPLES)
        counts *= (1 - moved / size)[:, None] * (size / counts.sum(axis=1, keepdims=True))
        for row, rows_moved in zip(counts, moved, strict=True):
            rows = members[rng.integers(len(members))]
            row[rows] += rng.multinomial(rows_moved, np.full(len(rows), 1 / len(rows)))
        means = _means(counts, vectors)
        noise = (1 - (means**2).sum(axis=1)) / (size - 1) + training_noise
        shifts = ((means - training) ** 2).sum(axis=1) - noise  # (resamples,)
        thresholds.append(topics.as_share(float(np.quantile(shifts, 1 - false_alarm_rate / 2))))
    return tuple(thresholds)


def calibrate_unfamiliar(
    own: Familiarity,
    bins: Integers,
    groups: Integers,
    *,
    tolerated_share: float,
    false_alarm_rate: float,
) -> tuple[float, ...]:
    """Thresholds of the familiarity's part from the bins (n,) of own cosines and their groups."""
    import numpy as np

    rng = np.random.default_rng(0)
    if len(bins) > _ROWS:
        kept = rng.choice(len(bins), _ROWS, replace=False)
        bins, groups = bins[kept], groups[kept]
    one_hot = np.eye(len(own.own), dtype=np.float32)[bins]  # (n, bins)
    # The calibration's own prompts are a sample too.
    scores = np.stack(
        [dominance(counts) for counts in _draws(groups, int(own.own.sum()), rng) @ one_hot]
    )  # (resamples, bins)
    thresholds = []
    for size in SIZES:
        moved = rng.binomial(size, tolerated_share, RESAMPLES) / size
        shares = (1 - moved)[:, None] * _means(_draws(groups, size, rng), one_hot)
        shares[:, 0] += moved
        deltas = (scores * shares).sum(axis=1)
        thresholds.append(float(np.quantile(deltas, 1 - false_alarm_rate / 2)))
    return tuple(thresholds)


def _draws(groups: Integers, size: int, rng: np.random.Generator) -> Vectors:
    """How often each row is in a window of about `size` rows drawn by group: (resamples, n)."""
    import numpy as np

    _, of = np.unique(groups, return_inverse=True)
    count = int(of.max()) + 1
    draws = max(1, round(size * count / len(groups)))
    drawn = rng.multinomial(draws, np.full(count, 1 / count), size=RESAMPLES)
    return np.asarray(drawn[:, of], dtype=np.float32)


def _means(counts: Vectors, rows: Vectors) -> Floats:
    """The mean row of each window, from how often each row is in it: (windows, d)."""
    import numpy as np

    return np.asarray(counts @ rows / counts.sum(axis=1, keepdims=True), dtype=np.float64)
