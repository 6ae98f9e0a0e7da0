"""How near prompts are to the training's topics, against the bundle's own unseen prompts.

The measure is Cliff's delta (N. Cliff 1993, "Dominance statistics", Psychological Bulletin 114):
the probability that one of the bundle's own prompts is nearer than one of the window, less the
probability that it is farther. 0: as familiar as its own. If a share p of the traffic is unlike all
that it knows and the rest is as ever, it is p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop.monitoring.drift.topics import Topics, find_topics

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

BINS = 50
FAR_SHARE = 0.05
"""Share of the bundle's own prompts that counts as far from every topic."""
HELD_OUT_ALONE_FROM = 200
"""With fewer held-out prompts their distribution is a matter of luck, and the training prompts are
added, each as seen by topics that were found without it."""
_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """Cosines of the bundle's own unseen prompts to their nearest topic, as a histogram."""

    edges: Floats
    """(bins - 1,), ascending: quantiles of those cosines."""
    own: Integers
    """(bins,): prompts in each bin, the least familiar first."""
    far_below: float
    """A cosine that `FAR_SHARE` of them is below."""
    median: float
    """Of them half are nearer."""

    def bins(self, cosines: Vectors | Floats) -> Integers:
        """The bin of each cosine (n,): (n,)."""
        import numpy as np

        return np.searchsorted(self.edges, cosines, side="right")

    @property
    def scores(self) -> Floats:
        """For each bin: P(own nearer) - P(own farther) against a prompt in it: (bins,)."""
        return dominance(self.own)

    def unfamiliar(self, counts: Integers) -> float:
        """Cliff's delta of a window with these counts (bins,), n > 0."""
        return float(self.scores @ counts) / float(counts.sum())

    def error(self, counts: Integers, effective_rows: float) -> float:
        """Standard error of `unfamiliar`, both samples counted (Cliff 1993)."""
        return math.sqrt(
            _variance(self.scores, counts) / effective_rows
            + _variance(dominance(counts), self.own) / float(self.own.sum())
        )


def dominance(counts: Integers) -> Floats:
    """For each bin: the share of `counts` above it less the share below it: (bins,)."""
    import numpy as np

    until = np.cumsum(counts)
    total = float(until[-1])
    return np.asarray((total - until - (until - counts)) / total, dtype=np.float64)


def _variance(scores: Floats, counts: Integers) -> float:
    total = float(counts.sum())
    mean = float(scores @ counts) / total
    return float(((scores - mean) ** 2) @ counts) / max(total - 1, 1)


def own_cosines(
    train: Vectors, held_out: Vectors, topics: Topics, groups: Sequence[int]
) -> tuple[Floats, Integers]:
    """Cosines of own prompts to topics that never saw them, and their groups: (n,), (n,).

    `groups` are those of all prompts, training first; a group is never in two folds.
    """
    import numpy as np

    of = np.asarray(groups)
    cosines = topics.assign(held_out)[1]
    own, own_groups = [cosines], [of[len(train) :]]
    if len(held_out) < HELD_OUT_ALONE_FROM:
        _, unit = np.unique(of[: len(train)], return_inverse=True)
        fold = np.random.default_rng(0).permutation(int(unit.max()) + 1)[unit] % _FOLDS
        for part in np.unique(fold):
            rest = train[fold != part]
            if len(rest) >= 2:
                own.append(find_topics(rest).assign(train[fold == part])[1])
                own_groups.append(of[: len(train)][fold == part])
    return np.concatenate(own).astype(np.float64), np.concatenate(own_groups)


def familiarity(cosines: Floats) -> Familiarity:
    """The histogram of own cosines (n,)."""
    import numpy as np

    edges = np.unique(np.quantile(cosines, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, cosines, side="right")
    return Familiarity(
        edges=edges,
        own=np.bincount(bins, minlength=len(edges) + 1),
        far_below=float(np.quantile(cosines, FAR_SHARE)),
        median=float(np.median(cosines)),
    )
