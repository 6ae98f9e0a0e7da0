"""The sequential test is exact: its error is bounded, however often it is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop.deployment.sequential import (
    FINAL,
    PAIR_SHARE,
    RATIOS,
    BadAnswer,
    Split,
    harm_e_values,
    routing_e_value,
)

shares = st.floats(0.01, 0.99)


def answers(pattern: Sequence[bool], *, share: float, step: int = 0) -> list[BadAnswer]:
    return [BadAnswer(candidate=one, share=share, step=step) for one in pattern]


@given(share=shares, production=st.floats(0.001, 1.0), part=st.floats(0.0, 1.0))
def test_a_bad_answer_moves_the_e_value_down_on_average_unless_the_candidate_is_worse(
    share: float, production: float, part: float
) -> None:
    candidate = production * part
    theirs = share * candidate / (share * candidate + (1 - share) * production)
    (if_theirs,) = harm_e_values(answers([True], share=share), steps=1)
    (if_ours,) = harm_e_values(answers([False], share=share), steps=1)
    assert theirs * if_theirs + (1 - theirs) * if_ours <= 1 + 1e-9


def test_moving_the_share_because_of_what_was_seen_leaves_the_expected_e_value_at_one() -> None:
    """Every path of 10 bad answers with its probability; the share grows on good signs."""
    expected, total = 0.0, 0.0
    for path in product([True, False], repeat=10):
        chance, step, seen = 1.0, 0, []
        for theirs in path:
            share = (0.05, 0.25, 0.5)[step]
            seen.append(BadAnswer(candidate=theirs, share=share, step=step))
            chance *= share if theirs else 1 - share
            if not theirs and len(seen) % 3 == 0:
                step = min(step + 1, 2)
        total += chance
        expected += chance * harm_e_values(seen, steps=3)[-1]
    assert total == pytest.approx(1)
    assert expected == pytest.approx(1)


@pytest.mark.parametrize("share", [0.05, 0.25, PAIR_SHARE])
@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_the_chance_that_an_equal_candidate_is_ever_condemned_is_at_most_alpha(
    share: float, alpha: float
) -> None:
    """Exact, by the chance of every count: in one step the order of the answers is no matter."""
    alive, condemned = {0: 1.0}, 0.0
    for n in range(1, 301):
        following: dict[int, float] = {}
        for found, chance in alive.items():
            following[found + 1] = following.get(found + 1, 0.0) + chance * share
            following[found] = following.get(found, 0.0) + chance * (1 - share)
        alive = {}
        for found, chance in following.items():
            if closed_form(found, n, share) >= 1 / alpha:
                condemned += chance
            else:
                alive[found] = chance
    assert alpha / 5 < condemned <= alpha  # a bound that is never approached would cost detection


def closed_form(found: int, n: int, share: float) -> float:
    logs = [found * math.log(r) - n * math.log(share * r + 1 - share) for r in RATIOS]
    return math.fsum(map(math.exp, logs)) / len(RATIOS)


@given(share=shares, pattern=st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_e_value_is_the_mean_likelihood_ratio_of_the_arms(
    share: float, pattern: list[bool]
) -> None:
    values = harm_e_values(answers(pattern, share=share), steps=1)
    for n, value in enumerate(values, start=1):
        assert value == pytest.approx(closed_form(sum(pattern[:n]), n, share), rel=1e-9)
    assert len(values) == len(pattern) or values[-1] > FINAL


@pytest.mark.parametrize(("share", "needed"), [(0.01, 2), (0.05, 3), (0.25, 5)])
def test_a_broken_candidate_is_condemned_by_its_first_answers(share: float, needed: int) -> None:
    values = harm_e_values(answers([True] * 20, share=share), steps=3)
    four_guards = 4 / 0.05
    assert 1 + next(i for i, value in enumerate(values) if value >= four_guards) == needed


def test_the_stakes_in_reserve_find_a_candidate_that_fails_only_under_load() -> None:
    fine = answers(([True] + [False] * 19) * 20, share=0.05, step=0)  # 400 bad, 20 its own
    failing = answers([True, True, True, True, False] * 12, share=0.5, step=1)
    kept = harm_e_values([*fine, *failing], steps=2)
    spent = harm_e_values(
        [*fine, *(answers([a.candidate], share=0.5)[0] for a in failing)], steps=1
    )
    assert max(kept) > 1_000 > 80 > max(spent)


@given(share=shares, count=st.integers(1, 100))
def test_bad_answers_of_production_never_speak_against_the_candidate(
    share: float, count: int
) -> None:
    assert all(value < 1 for value in harm_e_values(answers([False] * count, share=share), steps=1))


def test_harm_beyond_doubt_ends_the_test_before_numbers_overflow() -> None:
    values = harm_e_values(answers([True] * 100_000, share=0.01), steps=3)
    assert len(values) < 30
    assert values[-2] <= FINAL < values[-1] < math.inf


def test_no_bad_answer_no_evidence() -> None:
    assert harm_e_values([], steps=3) == []


@settings(deadline=None)
@given(share=st.floats(0.02, 0.98), n=st.integers(1, 40))
def test_routing_as_declared_has_an_expected_e_value_of_one(share: float, n: int) -> None:
    expected = math.fsum(
        math.comb(n, k)
        * share**k
        * (1 - share) ** (n - k)
        * routing_e_value([Split(share=share, candidate=k, conversations=n)])
        for k in range(n + 1)
    )
    assert expected == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(
    ("candidate", "conversations", "proven"),
    [
        (0, 400, True),  # the canary's share is ignored
        (80, 400, True),  # four times as many as declared
        (20, 400, False),
        (28, 400, False),  # luck
        (510, 10_000, False),
        (10_000, 10_000, True),
    ],
)
def test_a_share_that_is_not_kept_is_noticed(
    candidate: int, conversations: int, proven: bool
) -> None:
    split = Split(share=0.05, candidate=candidate, conversations=conversations)
    assert (routing_e_value([split]) >= 1_000) is proven
    untouched = Split(share=0.0, candidate=0, conversations=5_000)
    assert routing_e_value([split, untouched]) == pytest.approx(routing_e_value([split]))
