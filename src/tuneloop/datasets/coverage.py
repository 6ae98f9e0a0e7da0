"""Which classes of answers can be trained and measured, now that the rows are split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.datasets.labels import WHOLE_ANSWER, labels_of

_SHOWN = 8
_LEAN = 0.05
"""Points that the share of rare classes among the cases is above that among the rows, or that more
is held out than was asked for: from here on it is said."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The classes of a dataset version, and those that lack a side."""

    field: str | None
    """Where the answers have their class; None: they have none."""
    classes: int
    not_trained: tuple[str, ...] = ()
    """Classes without a row to train on."""
    not_measured: tuple[str, ...] = ()
    """Classes without a held-out case."""
    one_group: tuple[str, ...] = ()
    """Of these, the classes whose rows all stay together."""
    rare: int = 0
    """Classes that are so small that one group is more than their share, and have a case."""
    rare_shares: tuple[float, float] = (0.0, 0.0)
    """Of the held-out cases and of all rows, 0..1, that are of rare classes."""
    held_out_shares: tuple[float, float] = (0.0, 0.0)
    """Of the groups: what is held out, and what was to be."""

    def as_row(self) -> dict[str, Any]:
        """In JSON form."""
        return {
            "field": self.field,
            "classes": self.classes,
            "not_trained": list(self.not_trained),
            "not_measured": list(self.not_measured),
        }

    def remarks(self) -> Iterator[tuple[str, str]]:
        """What a person should know, as code and text."""
        what = "The answers" if self.field == WHOLE_ANSWER else str(self.field)
        if self.not_trained:
            yield (
                "class_not_trained",
                f"{what}: nothing is left to train on for {_listed(self.not_trained)}, as every "
                "row is held out. New rows that are unlike these are trained on.",
            )
        if self.one_group:
            yield (
                "class_not_measured",
                f"{what}: no case is held out for {_listed(self.one_group)}, whose rows are all "
                "one group. More rows, unlike these or of other groups, are held out too.",
            )
        if others := [name for name in self.not_measured if name not in self.one_group]:
            yield (
                "class_not_measured",
                f"{what}: no case is held out for {_listed(others)}, which were trained on before "
                "or are too many and too small. More rows or a larger data.holdout_share help.",
            )
        (cases, rows), (held_out, share) = self.rare_shares, self.held_out_shares
        if max(cases - rows, held_out - share if self.rare else 0.0) >= _LEAN:
            yield (
                "rare_classes",
                f"{what}: {self.rare} of {self.classes} classes are so rare that one held-out "
                f"group is more than {share:.0%} of them. In all {held_out:.0%} of the groups are "
                f"held out; these classes are {cases:.0%} of the cases and {rows:.0%} of the rows"
                f"{': figures over all cases lean to them' if cases > rows else ''}.",
            )


def coverage(
    train: Sequence[Example], held_out: Sequence[Example], field: str | None, share: float
) -> Coverage:
    """Count the classes of each side; `field` and `share` are those that the split went by."""
    if field is None:
        return Coverage(field=None, classes=0)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for count, rows in zip(counts, (train, held_out), strict=True):
        for example in rows:
            for label in labels_of(example.completion, [field]).values():
                groups[label].add(example.group)
                count[label] += 1
    trained, measured = counts
    not_measured = sorted(groups.keys() - measured.keys())
    rare = [name for name, of in groups.items() if name in measured and 1 < len(of) < 1 / share]
    return Coverage(
        field=field,
        classes=len(groups),
        not_trained=tuple(sorted(groups.keys() - trained.keys())),
        not_measured=tuple(not_measured),
        one_group=tuple(name for name in not_measured if len(groups[name]) == 1),
        rare=len(rare),
        rare_shares=(_share(rare, measured), _share(rare, measured + trained)),
        held_out_shares=(_groups_of(held_out) / max(1, _groups_of([*train, *held_out])), share),
    )


def _share(names: Sequence[str], counts: Counter[str]) -> float:
    return sum(counts[name] for name in names) / max(1, counts.total())


def _groups_of(rows: Sequence[Example]) -> int:
    return len({example.group for example in rows})


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
