"""Pairs of texts that are alike: every candidate of `near_pairs` is compared letter by letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop.datasets import near_pairs
from tuneloop.errors import require
from tuneloop.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tuneloop.datasets.near_pairs import Flags, Numbers

LONG_TEXT_CHARACTERS = 200
LONG_TEXT_ALLOWANCE = 0.1
"""One changed word weighs less in a long text, so there a lower similarity says as much."""
_MAX_ALIKE = 64
"""Earlier texts per text. Real duplicates come in small families; beyond, a template is at work."""
_ROUND_PAIRS = 2_000_000
"""Candidates that are gathered before they are compared: bands give many of them repeatedly."""
_BATCH_PAIRS = 100_000


@dataclass(frozen=True, kw_only=True)
class AlikePairs:
    """Pairs of texts, by their numbers."""

    keys: Numbers
    """`later << 32 | earlier` of each pair, in ascending order."""
    similarities: npt.NDArray[np.float64]
    """0..1"""

    @property
    def later(self) -> Numbers:
        """The text of each pair with the higher number."""
        return near_pairs.later(self.keys)

    @property
    def earlier(self) -> Numbers:
        """The text of each pair with the lower number."""
        return near_pairs.earlier(self.keys)

    def where(self, chosen: Flags) -> AlikePairs:
        """Some of the pairs."""
        return AlikePairs(keys=self.keys[chosen], similarities=self.similarities[chosen])

    def renumbered(self, position: Numbers) -> AlikePairs:
        """The pairs of the texts that have a position, which is not below 0, by their positions."""
        import numpy as np

        one, other = position[self.earlier], position[self.later]
        both = (one >= 0) & (other >= 0)
        one, other = one[both], other[both]
        keys = near_pairs.pair(np.minimum(one, other), np.maximum(one, other))
        order = np.argsort(keys, kind="stable")
        return AlikePairs(keys=keys[order], similarities=self.similarities[both][order])


def find_alike(texts: Sequence[str], similarity: float, progress: Progress) -> AlikePairs:
    """Pairs of different texts that are alike; for each text the first 64 of those before it.

    Texts are alike from `similarity` on (`rapidfuzz.fuzz.ratio`, the normalised Indel similarity,
    in 0..1), long ones from a lower one.

    Raises:
        MissingExtraError: numpy or rapidfuzz is not installed.
    """
    np = require("numpy", extra="data")
    found = AlikePairs(keys=np.empty(0, np.int64), similarities=np.empty(0, np.float64))
    if len(texts) < 2 or similarity >= 1.0:
        return found
    comparison = _Comparison(texts, similarity)
    full = np.zeros(len(texts), np.bool_)
    waiting: list[Numbers] = []
    for band in near_pairs.candidates(comparison.signatures, full):
        waiting.append(band.pairs)
        if band.number < band.of and sum(map(len, waiting)) < _ROUND_PAIRS:
            continue
        pairs = _new(np.concatenate(waiting), found)
        waiting.clear()
        found = _merged(found, comparison.alike(pairs))
        full |= np.bincount(found.later, minlength=len(texts)) >= _MAX_ALIKE
        progress.update(band.number, band.of, "searches for texts that are alike")
    return _first_of_each(found, len(texts))


class _Comparison:
    """The texts, with what tells quickly that two of them are not alike."""

    def __init__(self, texts: Sequence[str], similarity: float) -> None:
        import numpy as np

        self._similarity = similarity
        self._texts = np.array(texts, dtype=object)
        self._lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.signatures = near_pairs.signatures(texts)

    def alike(self, pairs: Numbers) -> AlikePairs:
        """Those of the pairs, which ascend, that are alike."""
        import numpy as np

        lengths = self._lengths[near_pairs.earlier(pairs)], self._lengths[near_pairs.later(pairs)]
        shorter, both = np.minimum(*lengths), lengths[0] + lengths[1]
        long = shorter >= LONG_TEXT_CHARACTERS
        asked = np.where(long, max(0.0, self._similarity - LONG_TEXT_ALLOWANCE), self._similarity)
        # The distance of two texts is at least the difference of their lengths.
        possible = 2 * shorter >= (asked - 1e-9) * both
        similarities = np.zeros(len(pairs))
        for similarity in np.unique(asked):
            chosen = np.flatnonzero(possible & (asked == similarity))
            chosen = chosen[near_pairs.plausible(self.signatures, pairs[chosen], similarity)]
            for start in range(0, len(chosen), _BATCH_PAIRS):
                batch = chosen[start : start + _BATCH_PAIRS]
                similarities[batch] = self._ratios(pairs[batch], similarity)
        return AlikePairs(keys=pairs, similarities=similarities).where(similarities > 0)

    def _ratios(self, pairs: Numbers, similarity: float) -> npt.NDArray[np.float64]:
        """The similarity of each pair if it reaches `similarity`, else 0."""
        import numpy as np
        from rapidfuzz import fuzz, process

        ratios: npt.NDArray[np.float64] = process.cpdist(
            self._texts[near_pairs.earlier(pairs)].tolist(),
            self._texts[near_pairs.later(pairs)].tolist(),
            scorer=fuzz.ratio,
            score_cutoff=similarity * 100,
            dtype=np.float64,
            workers=-1,
        )
        return ratios / 100


def _new(pairs: Numbers, found: AlikePairs) -> Numbers:
    """Each pair once, in ascending order, without those that were found before."""
    import numpy as np

    pairs = np.sort(pairs)
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    if not len(found.keys):
        return pairs
    places = np.minimum(np.searchsorted(found.keys, pairs), len(found.keys) - 1)
    new: Numbers = pairs[found.keys[places] != pairs]
    return new


def _merged(first: AlikePairs, second: AlikePairs) -> AlikePairs:
    import numpy as np

    keys = np.concatenate((first.keys, second.keys))
    order = np.argsort(keys, kind="stable")
    similarities = np.concatenate((first.similarities, second.similarities))
    return AlikePairs(keys=keys[order], similarities=similarities[order])


def _first_of_each(found: AlikePairs, texts: int) -> AlikePairs:
    """For each text the first of those before it."""
    import numpy as np

    starts = np.searchsorted(found.later, np.arange(texts))
    return found.where(np.arange(len(found.keys)) - starts[found.later] < _MAX_ALIKE)
