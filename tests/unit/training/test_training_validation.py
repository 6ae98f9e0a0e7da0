"""Rows that pick the checkpoint are set aside from those to train on, whole groups, by content."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tuneloop.training.validation import FEWEST, LEAST_ROWS, MOST, draw

ROWS = st.lists(
    st.tuples(st.integers(0, 60).map(str), st.sampled_from("abcdefgh")), min_size=0, max_size=300
)


@given(ROWS, st.randoms(use_true_random=False))
def test_whole_groups_are_drawn_whatever_the_order(
    rows: list[tuple[str, str]], order: random.Random
) -> None:
    drawn = draw(rows)
    groups = {rows[at][0] for at in drawn}
    assert {at for at, (group, _) in enumerate(rows) if group in groups} == drawn
    assert not drawn or FEWEST <= len(drawn) <= min(MOST, len(rows) // 2)
    mixed = order.sample(range(len(rows)), len(rows))
    again = draw([rows[at] for at in mixed])
    assert {mixed[at] for at in again} == drawn


@given(ROWS)
def test_no_answer_that_several_rows_give_is_lost_to_training(rows: list[tuple[str, str]]) -> None:
    drawn = draw(rows)
    given_by, taken = Counter(answer for _, answer in rows), Counter(rows[at][1] for at in drawn)
    assert all(taken[answer] < given_by[answer] for answer in taken)


def test_a_tenth_but_no_more_than_a_hundred() -> None:
    for count, wanted in ((LEAST_ROWS - 1, 0), (LEAST_ROWS, 5), (400, 40), (5_000, MOST)):
        labels = [(str(n), "abc"[n % 3]) for n in range(count)]
        prose = [(str(n), f"text {n}") for n in range(count)]
        assert len(draw(labels)) == len(draw(prose)) == wanted, count


def test_the_only_row_of_a_label_is_trained_on_and_one_of_prose_may_go() -> None:
    labels = [(str(n), "common" if n % 10 else f"rare {n}") for n in range(200)]
    assert not {at for at in draw(labels) if labels[at][1] != "common"}


def test_one_large_group_is_not_spared_and_then_none_is() -> None:
    assert draw([("one customer", f"text {n}") for n in range(500)]) == frozenset()
