"""Which share is held out, where the model file leaves that to what will be decided on it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cache
from itertools import islice

from tuneloop.datasets.example import Example
from tuneloop.modelfile.sections.data import LARGEST_SHARE, SMALLEST_SHARE

SHARES = tuple(percent / 100 for percent in range(10, 26))


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a gate, or the decision against production, asks of the held-out cases."""

    of: str
    """who asks"""
    minimum: int
    """cases"""
    counts: Callable[[Example], bool]
    """whether a row is such a case"""
    useful_from: int | None = None
    """cases that help although they are fewer than the minimum; None: it takes all of them"""


def choose_share(
    rows: Sequence[Example], held_out_at: Callable[[float], Set[int]], needs: Sequence[Need]
) -> float:
    """The smallest share of 0.1 to 0.25 that holds out what everybody asks for.

    `held_out_at` gives the positions of the rows that a share holds out, see
    `split.Split.held_out_if_new`; a larger share holds out the same and more. A gate that not even
    the largest share serves asks for nothing here: holding out more would cost rows to train on,
    and the gate would still be refused. The decision is surer with each case more, so it takes the
    largest share where that is not enough, but of some use. The choice depends on the rows alone,
    not on the sides that they have, so that the same rows give the same share in every version.
    """
    held_out = cache(held_out_at)

    def share_for(need: Need) -> float:
        @cache
        def counts(row: int) -> bool:
            return need.counts(rows[row])

        def holds_out(share: float, cases: int) -> bool:
            """Whether there are so many; no more are looked at, for that takes long."""
            return sum(1 for _ in islice(filter(counts, held_out(share)), cases)) == cases

        return _smallest(need, holds_out)

    return max(map(share_for, needs), default=SMALLEST_SHARE)


def likely_share(rows: int, needs: Iterable[Need]) -> float:
    """What `choose_share` about takes of so many rows that are each counted by everybody."""

    def holds_out(share: float, cases: int) -> bool:
        return round(share * rows) >= cases

    return max((_smallest(need, holds_out) for need in needs), default=SMALLEST_SHARE)


def _smallest(need: Need, holds_out: Callable[[float, int], bool]) -> float:
    def serves(share: float) -> bool:
        return holds_out(share, need.minimum)

    if serves(SMALLEST_SHARE):
        return SMALLEST_SHARE
    if serves(LARGEST_SHARE):
        return SHARES[bisect_left(SHARES, True, key=serves)]
    helps = need.useful_from is not None and holds_out(LARGEST_SHARE, need.useful_from)
    return LARGEST_SHARE if helps else SMALLEST_SHARE
