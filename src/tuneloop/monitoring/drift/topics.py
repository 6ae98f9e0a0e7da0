"""The topics of a bundle's training prompts, and how far traffic has moved among them.

The move is the squared distance between the mean vectors of window and training: the maximum mean
discrepancy with the cosine kernel (Gretton, Borgwardt, Rasch, Schölkopf and Smola 2012, "A kernel
two-sample test", JMLR 13), in its unbiased form. It is told as a share of the traffic: the share
that would have to leave the usual mix for one typical topic to move the mean as far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

ROWS_PER_TOPIC = 10
MOST_TOPICS = 64
_FITTED_ROWS = 5_000
"""k-means sees at most so many rows; all are assigned afterwards."""
_ITERATIONS = 20


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Spherical clusters of the training prompts, the mean of all, and how they spread."""

    centres: Vectors
    """(k, d), float32, length 1."""
    counts: Integers
    """(k,): training prompts nearest to each centre."""
    mean: Floats
    """(d,): of the training prompts' vectors."""
    covariance: Floats
    """(d, d): of the training prompts' vectors."""
    typical_distance: float
    """Median distance of a topic's mean from `mean`."""

    @property
    def rows(self) -> int:
        """Training prompts."""
        return int(self.counts.sum())

    def assign(self, vectors: Vectors) -> tuple[Integers, Vectors]:
        """The nearest topic of each vector (n, d), and the cosine to its centre: (n,), (n,)."""
        import numpy as np

        cosines = vectors @ self.centres.T  # (n, k)
        nearest = cosines.argmax(axis=1)
        return nearest, np.take_along_axis(cosines, nearest[:, None], axis=1)[:, 0]

    def squared_shift(self, mean: Floats, noise: float) -> float:
        """Squared distance of a window's mean (d,) from the training's, without what is noise.

        `noise` is the expected squared error of `mean` itself.
        """
        apart = float(((mean - self.mean) ** 2).sum())
        return apart - noise - float(self.covariance.trace()) / self.rows

    def squared_shift_error(self, mean: Floats, effective_rows: float) -> float:
        """Standard error of `squared_shift`, taking the window to spread as the training does.

        With v = 1 / n + 1 / N: 4 v D'SD + 2 v² tr(S²), D the shift (Gretton et al., section 6).
        """
        away = mean - self.mean
        v = 1 / effective_rows + 1 / self.rows
        cross = float(away @ self.covariance @ away)
        return math.sqrt(4 * v * cross + 2 * v**2 * float((self.covariance**2).sum()))

    def as_share(self, squared_shift: float) -> float:
        """A squared shift as the share of traffic that a move to one typical topic takes."""
        return min(1.0, math.sqrt(max(squared_shift, 0.0)) / self.typical_distance)


def find_topics(vectors: Vectors, *, seed: int = 0) -> Topics:
    """Cluster training vectors (n, d) of length 1; n is at least 2."""
    import numpy as np

    fitted = vectors
    rng = np.random.default_rng(seed)
    if len(vectors) > _FITTED_ROWS:
        fitted = vectors[rng.choice(len(vectors), _FITTED_ROWS, replace=False)]
    k = max(2, min(MOST_TOPICS, len(vectors) // ROWS_PER_TOPIC))
    centres = _spherical_k_means(fitted, fitted[rng.choice(len(fitted), k, replace=False)])
    labels = (vectors @ centres.T).argmax(axis=1)
    kept = np.unique(labels)
    mean = vectors.mean(axis=0, dtype=np.float64)
    means = np.stack([vectors[labels == topic].mean(axis=0, dtype=np.float64) for topic in kept])
    distance = float(np.median(np.linalg.norm(means - mean, axis=1)))
    return Topics(
        centres=centres[kept],
        counts=np.bincount(labels)[kept],
        mean=mean,
        covariance=np.atleast_2d(np.cov(vectors, rowvar=False, dtype=np.float64)),
        # All prompts alike: any other prompt is a move of everything.
        typical_distance=max(distance, 1e-6),
    )


def _spherical_k_means(vectors: Vectors, centres: Vectors) -> Vectors:
    """Lloyd's algorithm with cosines (Dhillon and Modha 2001, Machine Learning 42): (k, d).

    scipy's k-means wants Euclidean means and warns of empty clusters; here one keeps its centre.
    """
    import numpy as np

    centres = centres.copy()
    for _ in range(_ITERATIONS):
        labels = (vectors @ centres.T).argmax(axis=1)
        members = np.zeros((len(centres), len(vectors)), dtype=np.float32)
        members[labels, np.arange(len(vectors))] = 1
        sums = members @ vectors  # (k, d)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centres)
        if np.allclose(moved, centres, atol=1e-6):
            break
        centres = moved
    return centres
