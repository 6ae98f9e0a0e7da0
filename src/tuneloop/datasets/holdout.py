"""Which share is held out, where the model file leaves that to the gates."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cache
from itertools import islice

from tuneloop.datasets.example import Example
from tuneloop.modelfile.sections.data import LARGEST_SHARE, SMALLEST_SHARE

SHARES = tuple(percent / 100 for percent in range(10, 26))


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a gate asks of the held-out cases."""

    gate: str
    minimum: int
    """cases"""
    counts: Callable[[Example], bool]
    """whether the gate's metric counts a row as a case"""


def choose_share(
    rows: Sequence[Example], held_out_at: Callable[[float], Set[int]], needs: Sequence[Need]
) -> float:
    """The smallest share of 0.1 to 0.25 that holds out what every gate asks for.

    `held_out_at` gives the positions of the rows that a share holds out, see
    `split.Split.held_out_if_new`; a larger share holds out the same and more. A gate that not even
    the largest share serves asks for nothing here: holding out more would cost rows to train on,
    and the gate would still be refused. The choice depends on the rows alone, not on the sides that
    they have, so that the same rows give the same share in every version.
    """
    held_out = cache(held_out_at)
    return max((_share_for(need, rows, held_out) for need in needs), default=SMALLEST_SHARE)


def _share_for(need: Need, rows: Sequence[Example], held_out: Callable[[float], Set[int]]) -> float:
    @cache
    def counts(row: int) -> bool:
        return need.counts(rows[row])

    def serves(share: float) -> bool:
        """Whether there are enough; no more are looked at, for that takes long."""
        cases = islice(filter(counts, held_out(share)), need.minimum)
        return sum(1 for _ in cases) == need.minimum

    if serves(SMALLEST_SHARE) or not serves(LARGEST_SHARE):
        return SMALLEST_SHARE
    return SHARES[bisect_left(SHARES, True, key=serves)]
