"""The split into training and evaluation: by group, deterministic, stable from version to version.

Every group has a number in 0..1, the hash of its name, and is held out where the share that is held
out lies above it. A row that was held out once is never trained on later. A row that was trained on
is held out later only where the share has grown past its group's number; who was trained on it
knows it (see `retraining.trained_on`). New rows are placed by their number, unless they are close
to a row that has its place already.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Side = Literal["train", "eval"]
Neighbours = Callable[[int], Iterable[int]]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row to place, or a row of an earlier version that others must keep clear of."""

    key: str
    """Identity of the input."""
    cluster: str = ""
    """Rows with the same value stay together, e.g. one customer's; empty for none."""
    side: Side | None = None
    """Where an earlier version put this input."""
    group: str = ""
    """The group's name there."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a row goes; without a side it would link both and must be left out."""

    side: Side | None
    group: str


def place(
    candidates: Sequence[Candidate],
    neighbours: Neighbours,
    *,
    holdout_share: float,
    earlier_share: float | None = None,
) -> list[Place]:
    """Give every candidate its side; `neighbours(i)` are the candidates alike to candidate i.

    `earlier_share` is what placed the rows that have a side; None where that is not known. Groups
    between it and `holdout_share` move from training to the held-out side.
    """
    places: dict[int, Place] = {}
    fresh: list[list[int]] = []
    trained: list[list[int]] = []
    for rows in _linked(range(len(candidates)), candidates, neighbours):
        sides = {candidates[row].side for row in rows} - {None}
        if not sides:
            fresh.append(rows)
        elif sides == {"train"}:
            trained.append(rows)
        elif sides == {"eval"}:
            places.update(_join_known(candidates, rows, "eval"))
        else:
            placed, unreached = _keep_apart(candidates, rows, neighbours)
            places.update(placed)
            fresh += unreached
    grown = (0.0 if earlier_share is None else earlier_share, holdout_share)
    places.update(_place_trained(candidates, trained, grown))
    places.update(_place_fresh(candidates, fresh, places, holdout_share))
    return [places[row] for row in range(len(candidates))]


def held_out_from(candidates: Sequence[Candidate], neighbours: Neighbours) -> list[float]:
    """For each candidate the number of its group: shares above it hold the group out."""
    numbers = [0.0] * len(candidates)
    for rows in _linked(range(len(candidates)), candidates, neighbours):
        number = hash_share(_name(candidates, rows))
        for row in rows:
            numbers[row] = number
    return numbers


def hash_share(name: str) -> float:
    """A number in 0..1 that depends on nothing but the name."""
    return int.from_bytes(hashlib.sha256(f"split:{name}".encode()).digest()[:8]) / 2**64


def _linked(
    rows: Iterable[int], candidates: Sequence[Candidate], neighbours: Neighbours
) -> Iterator[list[int]]:
    """Connected components over likeness and shared clusters, members in ascending order."""
    left = dict.fromkeys(rows)
    in_cluster: defaultdict[str, list[int]] = defaultdict(list)
    for row in left:
        if candidates[row].cluster:
            in_cluster[candidates[row].cluster].append(row)
    for first in list(left):  # A dict that is emptied from the front takes ever longer to begin.
        if first not in left:
            continue
        component, waiting = [], [first]
        while waiting:
            row = waiting.pop()
            if row in left:
                del left[row]
                component.append(row)
                waiting += neighbours(row)
                waiting += in_cluster.pop(candidates[row].cluster, ())
        yield sorted(component)


def _name(candidates: Sequence[Candidate], rows: Sequence[int]) -> str:
    """A group's name: the one that it has, else one that depends on its members alone."""
    known = [candidates[row].group for row in rows if candidates[row].side is not None]
    return min(known or (candidates[row].cluster or candidates[row].key for row in rows))


def _join_known(
    candidates: Sequence[Candidate], rows: Sequence[int], side: Side
) -> dict[int, Place]:
    """New rows go with the old ones."""
    name = _name(candidates, rows)
    return {
        row: Place(side=side, group=candidates[row].group if candidates[row].side else name)
        for row in rows
    }


def _place_trained(
    candidates: Sequence[Candidate], trained: Sequence[list[int]], grown: tuple[float, float]
) -> dict[int, Place]:
    """Groups that were trained on stay, but for those that a larger share holds out.

    One stays in any case: there must be something to train on.
    """
    by_number = sorted((hash_share(_name(candidates, rows)), rows) for rows in trained)
    places: dict[int, Place] = {}
    for left, (number, rows) in zip(range(len(by_number) - 1, -1, -1), by_number, strict=True):
        moves = grown[0] <= number < grown[1] and left > 0
        places.update(_join_known(candidates, rows, "eval" if moves else "train"))
    return places


def _keep_apart(
    candidates: Sequence[Candidate], rows: list[int], neighbours: Neighbours
) -> tuple[dict[int, Place], list[list[int]]]:
    """Old rows of both sides are linked here: drop what links them, old evaluation rows last.

    Rows are placed one by one, evaluation first, outwards from the old ones; whatever then finds
    both sides next to it is a bridge. Returns the places, and rows that lost their only link.
    """
    places: dict[int, Place] = {}
    cluster_places: dict[str, dict[Side, Place]] = defaultdict(dict)
    waiting = sorted(
        (row for row in rows if candidates[row].side is not None),
        key=lambda row: (candidates[row].side != "eval", row),
    )
    old = set(waiting)
    while waiting:
        row = waiting.pop(0)
        candidate = candidates[row]
        near = [places[other] for other in neighbours(row) if other in places]
        near += cluster_places[candidate.cluster].values() if candidate.cluster else []
        if row in old and candidate.side == "eval":
            placed = Place(side="eval", group=candidate.group)
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
        if candidate.cluster:
            cluster_places[candidate.cluster].setdefault(placed.side, placed)
        reached = set(neighbours(row)) | {
            other
            for other in rows
            if candidate.cluster and candidates[other].cluster == candidate.cluster
        }
        waiting += sorted(reached - places.keys() - set(waiting))
    left = [row for row in rows if row not in places]
    return places, list(_linked(left, candidates, neighbours))


def _place_fresh(
    candidates: Sequence[Candidate],
    fresh: list[list[int]],
    placed: Mapping[int, Place],
    holdout_share: float,
) -> dict[int, Place]:
    """Groups without a past, by the hash of their name."""
    named = sorted((_name(candidates, rows), rows) for rows in fresh)
    named.sort(key=lambda item: hash_share(item[0]))
    held_out = sum(hash_share(name) < holdout_share for name, _ in named)
    if not placed and len(named) > 1:
        # A handful of groups can all fall on one side; each side needs one.
        held_out = min(max(held_out, 1), len(named) - 1)
    return {
        row: Place(side="eval" if rank < held_out else "train", group=name)
        for rank, (name, rows) in enumerate(named)
        for row in rows
    }
