"""The split into training and evaluation: by group, deterministic, stable from version to version.

Rows that are alike, of one customer or of one conversation are one group. Every group has a number
in 0..1, the hash of its name, which together with its classes decides whether it is held out, see
`strata`. A row that was held out once is never trained on later. A row that was trained on is held
out later only where the share has grown; who was trained on it knows it (see
`candidates.trained_on`). New rows that are close to a row that has its place already go with it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tuneloop.datasets.strata import Group, hold_out

Side = Literal["train", "eval"]
Neighbours = Callable[[int], Iterable[int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A row to place, or a row of an earlier version that others must keep clear of."""

    key: str
    """Identity of the input."""
    cluster: str = ""
    """Rows with the same value stay together, e.g. one customer's; empty for none."""
    conversation: str = ""
    """Rows with the same value stay together too; it names no group, as it may change."""
    label: str = ""
    """The class that its answer is of; empty for none."""
    side: Side | None = None
    """Where an earlier version put this input."""
    group: str = ""
    """The group's name there."""
    present: bool = True
    """Whether it is a row to place."""
    drawn: bool = False
    """A random sample of live traffic: held out, whatever the share."""

    @property
    def clusters(self) -> tuple[tuple[str, str], ...]:
        """What it shares with the rows that it stays together with."""
        if not (self.cluster or self.conversation):
            return ()
        both = (("cluster", self.cluster), ("conversation", self.conversation))
        return tuple(cluster for cluster in both if cluster[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a row goes; without a side it would link both and must be left out."""

    side: Side | None
    group: str


class Split:
    """Candidates in groups, to be placed; `neighbours(i)` are the candidates alike to candidate i.

    The groups do not depend on the share, so one split can be tried with several.
    """

    def __init__(self, candidates: Sequence[Candidate], neighbours: Neighbours) -> None:
        self._candidates = candidates
        self._if_new: list[Group] = []
        """As if no row had a place yet."""
        self._groups: list[Group] = []
        self._kept_apart: dict[int, Place] = {}
        """Rows of groups that earlier versions have on both sides."""
        for rows in _linked(range(len(candidates)), candidates, neighbours):
            group = _group(candidates, rows)
            new = group.held_out is None
            if new:
                self._if_new.append(group)
            else:
                drawn = any(candidates[row].drawn for row in rows)
                self._if_new.append(replace(group, held_out=True if drawn else None))
            if new or len({candidates[row].side for row in rows} - {None}) < 2:
                self._groups.append(group)
                continue
            places, unreached = _keep_apart(candidates, rows, neighbours)
            self._kept_apart |= places
            self._groups += [_group(candidates, rows) for rows in unreached]
            self._groups += _settled(candidates, places)

    def held_out_if_new(self, share: float) -> set[int]:
        """The candidates that a share would hold out, had none of them a place yet."""
        held_out = hold_out(self._if_new, share)
        return {
            row
            for group, held in zip(self._if_new, held_out, strict=True)
            if held
            for row in group.rows
        }

    def places(self, holdout_share: float, *, earlier_share: float | None = None) -> list[Place]:
        """Where every candidate goes.

        `earlier_share` is what placed the rows that have a side; None where that is not known. As
        far as the share has grown since, groups move from training to the held-out side.
        """
        held_out = hold_out(self._groups, holdout_share, earlier_share=earlier_share)
        places: dict[int, Place] = {}
        for group, held in zip(self._groups, held_out, strict=True):
            new = Place(side="eval" if held else "train", group=group.name)
            for row in group.rows:
                known = self._candidates[row]
                named = known.side and known.group
                places[row] = replace(new, group=known.group) if named else new
        places |= self._kept_apart
        return [places[row] for row in range(len(self._candidates))]


def place(
    candidates: Sequence[Candidate],
    neighbours: Neighbours,
    *,
    holdout_share: float,
    earlier_share: float | None = None,
) -> list[Place]:
    """Give every candidate its side, see `Split.places`."""
    return Split(candidates, neighbours).places(holdout_share, earlier_share=earlier_share)


def hash_share(name: str) -> float:
    """A number in 0..1 that depends on nothing but the name."""
    return int.from_bytes(hashlib.sha256(f"split:{name}".encode()).digest()[:8]) / 2**64


def _linked(
    rows: Iterable[int], candidates: Sequence[Candidate], neighbours: Neighbours
) -> Iterator[list[int]]:
    """Connected components over likeness and shared clusters, members in ascending order."""
    in_order = list(rows)
    left = set(in_order)
    in_cluster: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row in in_order:
        for cluster in candidates[row].clusters:
            in_cluster[cluster].append(row)
    for first in in_order:
        if first not in left:
            continue
        component, waiting = [], [first]
        while waiting:
            row = waiting.pop()
            if row in left:
                left.remove(row)
                component.append(row)
                waiting += neighbours(row)
                for cluster in candidates[row].clusters:
                    waiting += in_cluster.pop(cluster, ())
        yield sorted(component)


def _name(candidates: Sequence[Candidate], rows: Sequence[int]) -> str:
    """A group's name: the one that it has, else one that depends on its members alone."""
    known = [
        candidates[row].group
        for row in rows
        if candidates[row].side is not None and candidates[row].group
    ]
    return min(known or (candidates[row].cluster or candidates[row].key for row in rows))


def _group(candidates: Sequence[Candidate], rows: Sequence[int]) -> Group:
    """Rows of no earlier version, or that it has all on one side."""
    name = _name(candidates, rows)
    sides = {candidates[row].side for row in rows} - {None}
    here = [row for row in rows if candidates[row].present]
    return Group(
        name=name,
        number=hash_share(name),
        rows=tuple(rows),
        labels=tuple(sorted({candidates[row].label for row in here} - {""})),
        held_out="eval" in sides if sides else None,
        present=bool(here),
    )


def _settled(candidates: Sequence[Candidate], places: Mapping[int, Place]) -> Iterator[Group]:
    """What counts where a group is on both sides: its rows on either."""
    sides: tuple[Side, ...] = ("train", "eval")
    for side in sides:
        rows = [row for row, placed in places.items() if placed.side == side]
        if rows:
            yield replace(_group(candidates, rows), held_out=side == "eval", stays=True)


def _keep_apart(
    candidates: Sequence[Candidate], rows: list[int], neighbours: Neighbours
) -> tuple[dict[int, Place], list[list[int]]]:
    """Old rows of both sides are linked here: drop what links them, old evaluation rows last.

    Rows are placed one by one, evaluation first, outwards from the old ones; whatever then finds
    both sides next to it is a bridge. Returns the places, and rows that lost their only link.
    """
    places: dict[int, Place] = {}
    cluster_places: dict[tuple[str, str], dict[Side, Place]] = defaultdict(dict)
    in_cluster: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in rows:
        for cluster in candidates[row].clusters:
            in_cluster[cluster].add(row)
    waiting = sorted(
        (row for row in rows if candidates[row].side is not None),
        key=lambda row: (candidates[row].side != "eval", row),
    )
    old = set(waiting)
    while waiting:
        row = waiting.pop(0)
        candidate = candidates[row]
        near = [places[other] for other in neighbours(row) if other in places]
        for cluster in candidate.clusters:
            near += cluster_places[cluster].values()
        if row in old and candidate.side == "eval":
            placed = Place(side="eval", group=candidate.group or candidate.key)
        elif row in old:
            links = any(other.side == "eval" for other in near)
            placed = Place(side=None if links else "train", group=candidate.group)
        else:
            sides = {other.side for other in near if other.side is not None}
            if not sides:
                continue
            placed = Place(
                side=sides.pop() if len(sides) == 1 else None,
                group=min(other.group for other in near if other.side is not None),
            )
        places[row] = placed
        if placed.side is None:
            continue
        reached = set(neighbours(row))
        for cluster in candidate.clusters:
            cluster_places[cluster].setdefault(placed.side, placed)
            reached |= in_cluster[cluster]
        waiting += sorted(reached - places.keys() - set(waiting))
    left = [row for row in rows if row not in places]
    return places, list(_linked(left, candidates, neighbours))
