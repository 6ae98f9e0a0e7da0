"""Preference pairs (D12): of two answers to one prompt, the better and the worse.

A pair is a row that brings a worse answer along. It goes through everything that an example goes
through, so what is no training row for its sake (held out, a test case, outdated) is no training
pair either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.datasets.leaks import find_leaks, find_quotes
from tuneloop.datasets.left_out import LeftOut
from tuneloop.datasets.normal_form import canonical_answer
from tuneloop.datasets.selection import LEAK, Selection, is_approved
from tuneloop.datasets.split import Side

_DUPLICATES = ("exact_duplicate", "near_duplicate")


@dataclass(kw_only=True)
class Preferences:
    """The pairs of a dataset version, and those that are none."""

    train: list[Example] = field(default_factory=list)
    eval: list[Example] = field(default_factory=list)
    """Pairs on held-out prompts: measured, never trained on."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason → pairs: `equal_answers`, `contradiction` (both ways round), `duplicate`, `leak`, or
    why the row itself was left out."""

    def as_row(self) -> dict[str, Any]:
        """The counts in JSON form."""
        return {
            "train": len(self.train),
            "eval": len(self.eval),
            "left_out": dict(sorted(self.left_out.items())),
        }


def find_preferences(
    selection: Selection,
    left_out: Sequence[LeftOut],
    *,
    cases: Sequence[Example],
    similarity: float,
) -> Preferences:
    """The pairs among the rows that were chosen, and among the duplicates of these.

    `left_out` are all rows that were left out; `cases` those of the eval suites.
    """
    preferences = Preferences()
    pairs = list(_pairs(selection, left_out, preferences.left_out))
    judged = {(pair.input_key, pair.answer, _worse(pair)) for pair, _ in pairs}
    seen: set[tuple[str, str, str]] = set()
    for pair, side in pairs:
        key = (pair.input_key, pair.answer, _worse(pair))
        if _worse(pair) == pair.answer:
            preferences.left_out["equal_answers"] += 1
        elif (pair.input_key, _worse(pair), pair.answer) in judged:
            preferences.left_out["contradiction"] += 1
        elif key in seen:
            preferences.left_out["duplicate"] += 1
        else:
            (preferences.train if side == "train" else preferences.eval).append(pair)
        seen.add(key)
    _leave_out_leaks(preferences, [*selection.eval, *cases], similarity)
    for rows in (preferences.train, preferences.eval):
        rows.sort(key=lambda pair: (pair.id, pair.rejected))
    return preferences


def _worse(pair: Example) -> str:
    return canonical_answer(pair.rejected or "")


def _leave_out_leaks(
    preferences: Preferences, held_out: Sequence[Example], similarity: float
) -> None:
    """A duplicate's prompt may be alike to a case that the kept row's is not alike to."""
    leaks = [
        *find_leaks(preferences.train, held_out, similarity=similarity),
        *find_quotes([pair for pair in preferences.train if is_approved(pair)], held_out),
    ]
    leaking = {leak.training.id for leak in leaks}
    kept = [pair for pair in preferences.train if pair.id not in leaking]
    if len(kept) < len(preferences.train):
        preferences.left_out[LEAK] += len(preferences.train) - len(kept)
        preferences.train = kept


def _pairs(
    selection: Selection, left_out: Sequence[LeftOut], reasons: Counter[str]
) -> Iterator[tuple[Example, Side]]:
    """Every row with a worse answer and its side; a duplicate is where the kept row is."""
    sides: dict[str, Side] = {example.id: "train" for example in selection.train}
    sides |= {example.id: "eval" for example in selection.eval}
    for example in (*selection.train, *selection.eval):
        if example.rejected is not None:
            yield example, sides[example.id]
    for row in left_out:
        if row.example is None or row.example.rejected is None:
            continue
        kept = sides.get(row.related[0]) if row.reason in _DUPLICATES else None
        if kept is None:
            reasons[row.reason] += 1
        else:
            yield row.example, kept


def as_row(pair: Example) -> dict[str, Any]:
    """The row of `preferences.jsonl`."""
    return {
        "id": pair.id,
        "messages": [message.as_row() for message in pair.messages],
        "chosen": pair.completion,
        "rejected": pair.rejected,
        **pair.further(),
        "source": pair.source,
        "line": pair.line,
        "tags": dict(sorted(pair.tags.items())),
    }
