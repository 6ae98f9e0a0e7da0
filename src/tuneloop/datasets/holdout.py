"""Which share is held out, where the model file leaves that to the gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    rows: Sequence[Example], held_out_from: Sequence[float], needs: Sequence[Need]
) -> float:
    """The smallest share of 0.1 to 0.25 that holds out what every gate asks for.

    `held_out_from` is each row's number, see `split.held_out_from`. A gate that not even the
    largest share serves asks for nothing here: holding out more would cost rows to train on, and
    the gate would still be refused. The choice depends on the rows alone, not on the sides that
    they have, so that the same rows give the same share in every version.
    """
    enough = SMALLEST_SHARE
    for need in needs:
        numbers = sorted(
            number
            for row, number in zip(rows, held_out_from, strict=True)
            if number < LARGEST_SHARE and need.counts(row)
        )
        if len(numbers) >= need.minimum:
            last = numbers[need.minimum - 1]
            enough = max(enough, next(share for share in SHARES if share > last))
    return enough
