"""Exact and near-duplicates: rows that teach nothing that another row does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tuneloop.datasets.example import Example
from tuneloop.datasets.likeness import Likeness


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A row to leave out, and the one that stays for it."""

    row: int
    kept: int
    kind: Literal["exact", "near"]
    similarity: float
    """Of the inputs, 0..1."""


def find_duplicates(
    examples: Sequence[Example], likeness: Likeness, order: Sequence[int]
) -> list[Duplicate]:
    """Rows whose answer is that of an alike row which comes before them in `order`.

    Only rows with the same answer are duplicates: "freeze my card" and "unfreeze my card" differ in
    two letters and in everything that matters. Each is compared with kept rows only, so a chain of
    small steps never removes a row that is far from the one that stays.
    """
    kept: set[int] = set()
    duplicates = []
    for row in order:
        same = [
            (similarity, -other)
            for other, similarity in likeness.neighbours(row)
            if other in kept and _same_teaching(examples[row], examples[other])
        ]
        if not same:
            kept.add(row)
            continue
        similarity, other = max(same)
        other = -other
        exact = examples[row].input_text == examples[other].input_text
        duplicates.append(
            Duplicate(
                row=row,
                kept=other,
                kind="exact" if exact else "near",
                similarity=1.0 if exact else similarity,
            )
        )
    return duplicates


def _same_teaching(first: Example, second: Example) -> bool:
    """The same answer at the same point: a turn later in a conversation another one is due."""
    return (
        first.answer == second.answer
        and first.system == second.system
        and len(first.messages) == len(second.messages)
    )
