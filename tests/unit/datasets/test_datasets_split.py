"""The split as a pure rule: close rows stay together, old rows stay put, bridges are left out.

A larger share takes groups out of training, whole and for good; a smaller one moves nothing.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop.datasets.split import Candidate, Place, Side, Split, hash_share, place

Links = list[tuple[int, int]]


def linked(count: int, links: Links) -> dict[int, set[int]]:
    near: dict[int, set[int]] = {row: set() for row in range(count)}
    for one, other in links:
        near[one].add(other)
        near[other].add(one)
    return near


def placed(
    candidates: list[Candidate], links: Links, share: float = 0.3, earlier: float | None = None
) -> list[Place]:
    """`earlier`: the share before; by default the same."""
    return place(
        candidates,
        linked(len(candidates), links).__getitem__,
        holdout_share=share,
        earlier_share=share if earlier is None else earlier,
    )


def next_version(candidates: list[Candidate], places: list[Place]) -> list[Candidate]:
    """The same rows with the sides and groups that they were given."""
    return [
        Candidate(key=one.key, cluster=one.cluster, side=found.side, group=found.group)
        for one, found in zip(candidates, places, strict=True)
    ]


def fresh(count: int, start: int = 0) -> list[Candidate]:
    return [Candidate(key=f"key {n}") for n in range(start, start + count)]


def old(key: str, side: Side, cluster: str = "") -> Candidate:
    return Candidate(key=key, side=side, group=f"group of {key}", cluster=cluster)


def sides(places: list[Place]) -> list[Side | None]:
    return [one.side for one in places]


def test_the_share_is_kept_on_many_rows_and_depends_on_the_keys_alone() -> None:
    candidates = fresh(2_000)
    places = placed(candidates, [], share=0.1)
    assert 160 <= sides(places).count("eval") <= 240
    backwards = placed(candidates[::-1], [], share=0.1)
    assert sides(backwards)[::-1] == sides(places)
    more = placed([*candidates, *fresh(500, start=2_000)], [], share=0.1)
    assert sides(more)[:2_000] == sides(places), "rows of others move nobody"


def test_even_two_groups_leave_one_on_each_side() -> None:
    for start in range(20):
        assert sorted(map(str, sides(placed(fresh(2, start), [], share=0.1)))) == ["eval", "train"]
    assert sides(placed(fresh(3), [(0, 1), (1, 2)])).count(sides(placed(fresh(1), []))[0]) == 3


def test_one_cluster_stays_together() -> None:
    candidates = [Candidate(key=f"key {n}", cluster=f"customer {n % 7}") for n in range(70)]
    places = placed(candidates, [])
    for customer in range(7):
        assert len(set(sides(places)[customer::7])) == 1
    assert {"train", "eval"} == set(sides(places))


def test_a_new_row_goes_with_the_old_one_beside_it() -> None:
    known = [old("a", "eval"), old("b", "train")]
    places = placed([*known, *fresh(4)], [(0, 2), (2, 3), (1, 4), (4, 5)])
    assert sides(places) == ["eval", "train", "eval", "eval", "train", "train"]
    assert places[3].group == "group of a"


def test_a_bridge_is_left_out_and_only_the_bridge() -> None:
    known = [old("a", "eval"), old("b", "train")]
    assert sides(placed([*known, *fresh(1)], [(0, 2), (1, 2)])) == ["eval", "train", None]
    # A chain from one side to the other loses one row; the rest joins the nearer side.
    chain = placed([*known, *fresh(3)], [(0, 2), (2, 3), (3, 4), (4, 1)])
    assert sides(chain).count(None) == 1
    assert (sides(chain)[2], sides(chain)[4]) == ("eval", "train")


def test_a_customer_on_both_sides_ends_up_held_out() -> None:
    known = [old("a", "eval", "customer"), old("b", "train", "customer")]
    places = placed([*known, Candidate(key="c", cluster="customer")], [])
    assert sides(places) == ["eval", None, "eval"], "the old training row leaks and goes"


def test_a_larger_share_moves_whole_groups_out_of_training_and_none_back() -> None:
    candidates = [Candidate(key=f"key {n}", cluster=f"customer {n % 150}") for n in range(450)]
    first = placed(candidates, [], share=0.1)
    known = next_version(candidates, first)
    second = placed(known, [], share=0.2, earlier=0.1)
    moved = [n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a.side != b.side]
    assert {(first[n].side, second[n].side) for n in moved} == {("train", "eval")}
    assert sides(second) == sides(placed(candidates, [], share=0.2)), "as if it had been so always"
    for customer in range(150):
        assert len(set(sides(second)[customer::150])) == 1
    again = next_version(known, second)
    assert placed(again, [], share=0.2) == second, "the same share moves nothing"
    assert sides(placed(again, [], share=0.05, earlier=0.2)) == sides(second), "nor a smaller one"


def test_a_share_that_holds_all_out_leaves_one_group_to_train_on() -> None:
    known = [old(f"{n}", "train") for n in range(4)]
    near = linked(4, []).__getitem__
    found = place(known, near, holdout_share=0.999, earlier_share=0.0)
    assert sides(found).count("train") == 1
    assert max(range(4), key=lambda n: hash_share(known[n].group)) == sides(found).index("train")


def test_what_stays_beside_a_bridge_counts_on_the_side_that_it_stays_on() -> None:
    """Nothing of a group that is kept apart moves, so another one of its class is held out."""
    for n in range(20):
        known = [old("a", "eval"), old(f"b {n}", "train"), old(f"c {n}", "train")]
        known = [known[0], *(replace(one, label="legal") for one in known[1:])]
        places = placed([*known, *fresh(1)], [(0, 3), (3, 1)], share=0.4, earlier=0.1)
        assert sides(places) == ["eval", "train", "eval", None]


def test_what_a_share_would_hold_out_is_known_before_any_row_is_placed() -> None:
    candidates = [*fresh(40), *(Candidate(key=f"c {n}", cluster="one") for n in range(3))]
    links = [(0, 1), (1, 2)]
    split = Split(candidates, linked(len(candidates), links).__getitem__)
    smaller: set[int] = set()
    for share in (0.2, 0.35, 0.49):
        held_out = split.held_out_if_new(share)
        expected = ["eval" if row in held_out else "train" for row in range(len(candidates))]
        assert sides(placed(candidates, links, share=share)) == expected
        assert len({row in held_out for row in (0, 1, 2)}) == 1, "a group is held out whole"
        assert len({row in held_out for row in (40, 41, 42)}) == 1
        assert smaller < held_out
        smaller = held_out


def test_rows_of_one_conversation_stay_together_and_name_no_group() -> None:
    turns = [Candidate(key=f"key {n}", conversation=f"talk {n // 3}") for n in range(90)]
    places = placed(turns, [])
    for talk in range(30):
        assert len({(one.side, one.group) for one in places[3 * talk : 3 * talk + 3]}) == 1
    assert {"train", "eval"} == set(sides(places))
    assert all(one.group.startswith("key ") for one in places)
    both = Candidate(key="k", cluster="customer", conversation="talk")
    joined = [both, Candidate(key="l", cluster="customer"), Candidate(key="m", conversation="talk")]
    assert len({one.group for one in placed(joined, [])}) == 1


def test_a_new_turn_goes_with_its_conversation() -> None:
    known = [old("a", "eval"), old("b", "train")]
    known = [replace(one, conversation=f"talk {n}") for n, one in enumerate(known)]
    new = [Candidate(key=f"new {n}", conversation=f"talk {n % 2}") for n in range(4)]
    places = placed([*known, *new], [])
    assert sides(places)[2:] == ["eval", "train", "eval", "train"]
    assert places[2].group == "group of a"


@given(
    st.lists(st.sampled_from(["new", "train", "eval"]), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=25),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_linked_nothing_leaks_and_held_out_rows_stay(
    kinds: list[str], links: Links, clusters: list[int], talks: list[int], labels: list[int]
) -> None:
    candidates = [
        Candidate(
            key=f"key {n}",
            cluster=f"customer {clusters[n]}" if clusters[n] else "",
            conversation=f"talk {talks[n]}" if talks[n] else "",
            label=f"class {labels[n]}" if labels[n] else "",
            side=None if kind == "new" else kind,  # type: ignore[arg-type]
            group="" if kind == "new" else f"group {n}",
        )
        for n, kind in enumerate(kinds)
    ]
    links = [(a, b) for a, b in links if a != b and max(a, b) < len(candidates)]
    places = placed(candidates, links)
    together = [*links]
    for a, one in enumerate(candidates):
        together += [
            (a, b)
            for b, other in enumerate(candidates)
            if (one.cluster and one.cluster == other.cluster)
            or (one.conversation and one.conversation == other.conversation)
        ]
    for a, b in together:
        assert {places[a].side, places[b].side} != {"train", "eval"}
    for candidate, found in zip(candidates, places, strict=True):
        if candidate.side == "eval":
            assert found.side == "eval"
        if candidate.side == "train":
            assert found.side in ("train", None)


@given(st.integers(1, 12), st.floats(0.05, 0.4))
def test_what_was_drawn_from_traffic_is_held_out_with_all_that_is_alike(
    count: int, share: float
) -> None:
    """Whatever the share, also where one is looked for, and one drawn row in two is alike to a
    new one: they are one group of one name."""
    drawn = [replace(one, side="eval", drawn=True) for one in fresh(count, start=1_000)]
    candidates = [*fresh(40), *drawn]
    links = [(row, 40 + row) for row in range(0, count, 2)]
    places = placed(candidates, links, share)
    assert {one.side for one in places[40:]} == {"eval"}
    for new, sample in links:
        assert places[new] == places[sample]
    split = Split(candidates, linked(len(candidates), links).__getitem__)
    assert {*range(40, 40 + count), *(new for new, _ in links)} <= split.held_out_if_new(share)


def test_a_row_that_was_trained_on_makes_way_for_a_sample_of_its_conversation() -> None:
    talk = "talk"
    candidates = [
        replace(old("trained", "train"), conversation=talk),
        Candidate(key="drawn", conversation=talk, side="eval", drawn=True),
        *fresh(10),
    ]
    places = placed(candidates, [])
    assert (places[0].side, places[1]) == (None, Place(side="eval", group="drawn"))
