"""Which groups are held out: of every class its share, and of each class some on either side.

Every group has a number in 0..1. A group without a class is held out where the share lies above its
number. The groups of a class are ranked by their numbers, and the lowest are held out, as many as
the share says. So the held-out cases hold the classes as the rows do, and which group is held out
depends on no order of rows. A class that has none on one side then gets one there, where it has two
groups or more; see `_EXTRA_SHARE`.

A group that was held out stays so. One that was trained on is held out only where the share has
grown. How it was chosen: docs/decisions/0024-strata.md.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuneloop.hashing import digest_text

_ALL = ""
"""As if it were a class of every group: there must be something on either side."""
_EXTRA_SHARE = 0.15
"""Of all groups, that may be held out beyond the share so that small classes are measured. They
weigh more among the held-out cases than among the rows, and what is held out is not trained on.
Where the share is 0.1, it is in all what `auto` may come to, and enough for classes of four."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Rows that stay together."""

    name: str
    number: float
    """0..1, depends on the name alone."""
    rows: tuple[int, ...]
    labels: tuple[str, ...] = ()
    """Classes that its rows are of, each once."""
    held_out: bool | None = None
    """Whether an earlier version held it out; None: none had it."""
    stays: bool = False
    """Whether it stays on its side whatever the share."""
    present: bool = True
    """Whether it has rows of this version."""


def hold_out(
    groups: Sequence[Group], share: float, *, earlier_share: float | None = None
) -> list[bool]:
    """Whether each group is held out; `earlier_share` placed those of an earlier version, if known.

    Groups without rows of this version stay where they are.
    """
    sorting = _Sorting(groups, share, earlier_share or 0.0)
    sorting.place_by_number()
    sorting.place_by_class()
    sorting.give_each_class_both_sides()
    return sorting.held_out


class _Sorting:
    def __init__(self, groups: Sequence[Group], share: float, earlier: float) -> None:
        self._groups, self._share, self._earlier = groups, share, earlier
        self.held_out = [group.held_out is True for group in groups]
        self._members: defaultdict[str, list[int]] = defaultdict(list)
        """Class → its groups, the lowest number first."""
        self._held = Counter[str]()
        """Class → groups that are held out."""
        present = (index for index, group in enumerate(groups) if group.present)
        for index in sorted(present, key=lambda i: (groups[i].number, groups[i].name)):
            for label in self._labels(index):
                self._members[label].append(index)
                self._held[label] += self.held_out[index]

    def place_by_number(self) -> None:
        """Groups without a class: nobody else's rows move them."""
        for index in self._members[_ALL]:
            group = self._groups[index]
            lowest = 0.0 if group.held_out is None else self._earlier
            if not group.labels and self._may_go(index) and lowest <= group.number < self._share:
                self._move(index)

    def place_by_class(self) -> None:
        """Each group counts for the rarest of its classes; the rarest class comes first.

        Classes of one group, which cannot be on both sides, are taken together.
        """
        strata: defaultdict[str, list[int]] = defaultdict(list)
        for index in self._members[_ALL]:
            if self._groups[index].labels:
                strata[self._rarest(index)].append(index)
        alone = strata.pop(_ALL, [])
        for label in sorted(strata, key=self._rarity):
            self._hold_out_share(label, self._members[label], strata[label])
        self._hold_out_share("classes of one group", alone, alone)

    def give_each_class_both_sides(self) -> None:
        """The large classes come first, which lose the least of their rows to train on.

        What a smaller one gave away may be what a larger one could not do without: they are gone
        through again until none is mended. Each move leaves one class fewer on one side alone.
        """
        labels = {label for label, members in self._members.items() if len(members) > 1} - {_ALL}
        most = max(self._share, self._earlier) + _EXTRA_SHARE
        limit = math.ceil(most * len(self._members[_ALL]))
        in_turn = sorted(labels, key=lambda label: (-len(self._members[label]), label))
        while sum(self._mend(label, may_hold_out=self._held[_ALL] < limit) for label in in_turn):
            pass
        self._mend(_ALL, may_hold_out=True)

    def _hold_out_share(self, label: str, members: Sequence[int], own: Iterable[int]) -> None:
        """Of the groups of a class, whose rank is a place in 0..1, those below the share.

        The places start at one that depends on the class's name alone (systematic sampling,
        Cochran 1977, "Sampling Techniques", chapter 8), so that rounding adds up to the share over
        many classes.
        """
        start = int(digest_text(f"class:{label}")[:16], 16) / 16**16
        places = max(0, math.ceil(self._share * len(members) + start) - 1)
        missing = min(places, len(members) - 1) - sum(self.held_out[i] for i in members)
        for index in own:
            if missing > 0 and self._may_go(index):
                self._move(index)
                missing -= 1

    def _mend(self, label: str, *, may_hold_out: bool) -> bool:
        """Give a class that is all on one side a group on the other; whether it got one."""
        members = self._members[label]
        if len(members) < 2:
            return False
        if self._held[label] == 0 and may_hold_out:
            spare = [i for i in members if self._may_go(i) and self._others_stay(i)]
            if spare:
                self._move(min(spare, key=self._takes_a_class_away))
                return True
        elif self._held[label] == len(members):
            spare = [i for i in members if not self._groups[i].held_out and self._others_stay(i)]
            if spare:
                self._move(spare[-1])
                return True
        return False

    def _may_go(self, index: int) -> bool:
        """Whether a group that is not held out may be."""
        group = self._groups[index]
        if self.held_out[index] or group.stays:
            return False
        return group.held_out is None or self._share > self._earlier

    def _others_stay(self, index: int) -> bool:
        """Whether every class of a group has another one on the side that the group is on."""
        for label in self._labels(index):
            held, count = self._held[label], len(self._members[label])
            if count > 1 and (held if self.held_out[index] else count - held) < 2:
                return False
        return True

    def _takes_a_class_away(self, index: int) -> bool:
        """Whether a group is the only one of a class, which could not be trained without it."""
        return any(len(self._members[label]) == 1 for label in self._groups[index].labels)

    def _rarest(self, index: int) -> str:
        labels = (label for label in self._groups[index].labels if len(self._members[label]) > 1)
        return min(labels, key=self._rarity, default=_ALL)

    def _rarity(self, label: str) -> tuple[int, str]:
        return len(self._members[label]), label

    def _labels(self, index: int) -> tuple[str, ...]:
        return (*self._groups[index].labels, _ALL)

    def _move(self, index: int) -> None:
        """To the other side."""
        self.held_out[index] = not self.held_out[index]
        for label in self._labels(index):
            self._held[label] += 1 if self.held_out[index] else -1
