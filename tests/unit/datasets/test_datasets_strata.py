"""Which groups are held out where answers are of classes: some of each class on either side.

What stays as it was: an order of rows decides nothing, what was held out stays so, and what was
trained on is held out only where the share has grown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuneloop.datasets.split import Candidate, Place, hash_share, place
from tuneloop.datasets.strata import Group, hold_out

SHARES = st.sampled_from([0.1, 0.15, 0.2, 0.25, 0.4])
SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def group(name: str, *labels: str, held_out: bool | None = None) -> Group:
    return Group(
        name=name,
        number=hash_share(name),
        rows=(0,),
        labels=labels,
        held_out=held_out,
    )


def classes_of(sizes: list[int], first: int = 0) -> list[Group]:
    return [
        group(f"{label}/{n}", f"class {label}")
        for label, size in enumerate(sizes, first)
        for n in range(size)
    ]


def held_by_class(groups: list[Group], held_out: list[bool]) -> dict[str, list[bool]]:
    classes: defaultdict[str, list[bool]] = defaultdict(list)
    for one, held in zip(groups, held_out, strict=True):
        for label in one.labels:
            classes[label].append(held)
    return classes


@given(SIZES, SHARES)
def test_each_class_has_its_share_and_some_on_either_side(sizes: list[int], share: float) -> None:
    groups = classes_of(sizes)
    held_out = hold_out(groups, share)
    classes = held_by_class(groups, held_out)
    for held in classes.values():
        if len(held) > 1:
            assert not all(held), "every class can be trained"
            assert sum(held) <= 1 or abs(sum(held) - share * len(held)) < 1
    unmeasured = [label for label, held in classes.items() if len(held) > 1 and not any(held)]
    limit = math.ceil((share + 0.15) * len(groups))
    if unmeasured:
        assert sum(held_out) >= limit, "only where it would take too much"
    assert sum(held_out) <= max(limit, share * len(groups) + len(sizes) + 1)


@given(st.lists(st.integers(4, 40), min_size=1, max_size=15), st.integers(0, 1_000))
def test_classes_of_four_groups_and_more_are_always_measured(sizes: list[int], first: int) -> None:
    groups = classes_of(sizes, first=first)
    for held in held_by_class(groups, hold_out(groups, 0.1)).values():
        assert any(held) and not all(held)


def test_the_share_of_many_classes_is_the_declared_one() -> None:
    """Rounding each class by itself would hold out 7 % of classes of 14, and 13 % of 16."""
    for size in (14, 16, 20, 25, 130):
        groups = classes_of([size] * 150)
        held_out = sum(hold_out(groups, 0.1))
        assert abs(held_out / len(groups) - 0.1) < 0.01


def test_tiny_classes_do_not_take_the_rows_from_training() -> None:
    """Two wordings of each of 200 answers: to measure all of them would hold out half."""
    groups = classes_of([2] * 200)
    assert 0.2 <= sum(hold_out(groups, 0.1)) / len(groups) <= 0.3
    mixed = classes_of([100] * 10 + [2] * 40)
    assert all(any(held) for held in held_by_class(mixed, hold_out(mixed, 0.1)).values())


def test_classes_of_one_group_keep_the_share_together() -> None:
    groups = [group(f"customer {n}", f"only {n}") for n in range(200)]
    assert 15 <= sum(hold_out(groups, 0.1)) <= 25
    rare = [*classes_of([40, 40]), group("single", "rare")]
    assert not hold_out(rare, 0.1)[-1], "one alone is trained on"


def test_without_classes_every_group_is_placed_by_its_number_alone() -> None:
    groups = [group(f"{n}") for n in range(500)]
    assert hold_out(groups, 0.1) == [one.number < 0.1 for one in groups]
    labelled = [*groups, *classes_of([10, 10])]
    assert hold_out(labelled, 0.1)[:500] == hold_out(groups, 0.1)


LABELS = st.lists(
    st.sets(st.sampled_from("abcdef"), max_size=3).map(sorted), min_size=1, max_size=25
)
PAST = st.lists(st.sampled_from([None, None, True, False]), min_size=25, max_size=25)


@given(LABELS, PAST, SHARES, SHARES, st.randoms(use_true_random=False))
def test_the_order_of_groups_decides_nothing(
    labels: list[list[str]], past: list[bool | None], share: float, earlier: float, random: object
) -> None:
    groups = [group(f"{n}", *of, held_out=past[n]) for n, of in enumerate(labels)]
    expected = dict(zip(groups, hold_out(groups, share, earlier_share=earlier), strict=True))
    shuffled = list(groups)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = dict(zip(shuffled, hold_out(shuffled, share, earlier_share=earlier), strict=True))
    assert found == expected


@given(LABELS, PAST, SHARES, SHARES)
@settings(max_examples=300)
@example([["a", "b"], ["a", "c"], ["b", "c"]], [None] * 25, 0.1, 0.1)  # cannot all be on both sides
@example(  # what one class gave away was what another one had waited for
    [[]] * 6 + [["e"], ["a", "c"], ["c", "e"], ["a", "f"], ["c"], ["a", "f"]],
    [None] * 10 + [True] + [None] * 14,
    0.4,
    0.1,
)
def test_whatever_groups_hold_none_goes_back_and_who_can_be_on_both_sides_is(
    labels: list[list[str]], past: list[bool | None], share: float, earlier: float
) -> None:
    groups = [group(f"{n}", *of, held_out=past[n]) for n, of in enumerate(labels)]
    # So many that each of the six classes may have a group beyond the share.
    groups += [group(f"plain {n}") for n in range(400)]
    held_out = hold_out(groups, share, earlier_share=earlier)
    grown = share > earlier
    for one, held in zip(groups, held_out, strict=True):
        if one.held_out:
            assert held
        elif one.held_out is False and held:
            assert grown

    classes = held_by_class(groups, held_out)
    shared = {label for label, held in classes.items() if len(held) > 1}

    def could_change_sides(one: Group, held: bool) -> bool:
        """Without leaving another class without any on the side that it is on."""
        free = not one.held_out if held else one.held_out is None or grown
        return free and all(
            classes[label].count(held) > 1 for label in shared.intersection(one.labels)
        )

    for label in shared:
        if len(set(classes[label])) == 1:
            assert not any(
                could_change_sides(one, held)
                for one, held in zip(groups, held_out, strict=True)
                if label in one.labels
            )


@given(SIZES, st.tuples(SHARES, SHARES).map(sorted))
def test_a_larger_share_holds_out_what_it_would_have_held_out_from_the_start(
    sizes: list[int], shares: list[float]
) -> None:
    groups = classes_of(sizes)
    first = hold_out(groups, shares[0])
    known = [replace(one, held_out=held) for one, held in zip(groups, first, strict=True)]
    grown = hold_out(known, shares[1], earlier_share=shares[0])
    assert all(after for before, after in zip(first, grown, strict=True) if before)
    again = [replace(one, held_out=held) for one, held in zip(groups, grown, strict=True)]
    assert hold_out(again, shares[1], earlier_share=shares[1]) == grown, "moves nothing twice"
    assert hold_out(again, shares[0], earlier_share=shares[1]) == grown, "nor does a smaller one"
    assert grown == hold_out(groups, shares[1])


ROWS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 5)),
    min_size=2,
    max_size=40,
    unique_by=lambda r: r[0],
)


@given(st.lists(st.tuples(ROWS, SHARES), min_size=2, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_versions_come_and_go_and_no_row_is_trained_on_after_it_was_held_out(
    versions: list[tuple[list[tuple[int, int]], float]], random: object
) -> None:
    """Rows are added, removed, reordered and given another class; the share grows and shrinks."""
    known: dict[str, Place] = {}
    before: float | None = None
    for rows, share in versions:
        random.shuffle(rows)  # type: ignore[attr-defined]
        candidates = [
            Candidate(
                key=f"key {n}",
                cluster=f"customer {n // 2}" if n < 20 else "",
                label=f"class {label}" if label else "",
                side=known[f"key {n}"].side if f"key {n}" in known else None,
                group=known[f"key {n}"].group if f"key {n}" in known else "",
            )
            for n, label in rows
        ]
        places = place(candidates, lambda _: (), holdout_share=share, earlier_share=before)
        for candidate, placed in zip(candidates, places, strict=True):
            if candidate.side == "eval":
                assert placed.side == "eval"
            if candidate.side == "train" and placed.side == "eval":
                assert before is None or share > before
            if placed.side is not None:
                known[candidate.key] = placed
        before = share


def test_a_class_that_was_only_trained_on_has_its_next_group_held_out() -> None:
    known = [group(f"old {n}", "legal", held_out=False) for n in range(3)]
    rest = [group(f"{n}", "order", held_out=n < 2) for n in range(20)]
    assert not any(hold_out([*known, *rest], 0.1, earlier_share=0.1)[:3]), (
        "none that was trained on"
    )
    new = group("new", "legal")
    assert hold_out([new, *known, *rest], 0.1, earlier_share=0.1)[0]
    assert sum(hold_out([*known, *rest], 0.2, earlier_share=0.1)[:3]) == 1


def test_a_class_that_was_only_held_out_has_its_next_group_trained_on() -> None:
    known = [group(f"old {n}", "legal", held_out=True) for n in range(3)]
    rest = [group(f"{n}", "order", held_out=n < 2) for n in range(20)]
    assert not hold_out([*known, *rest, group("new", "legal")], 0.4, earlier_share=0.1)[-1]
