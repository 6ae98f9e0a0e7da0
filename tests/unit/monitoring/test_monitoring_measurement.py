"""The rule from a figure to a verdict, and the intervals under it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring_data import WINDOW
from tuneloop import intervals
from tuneloop.monitoring.measurement import Limit, against_limit

SHARE_ABOVE = Limit(threshold=0.15, unit="share", side="above")
SHARE_BELOW = Limit(threshold=0.93, unit="share", side="below")


def test_wilson_interval_agrees_with_the_published_example() -> None:
    # 15 of 148: 0.0624 to 0.1605 (Newcombe 1998, Statistics in Medicine 17, table I, method 3).
    figure = intervals.share(15, 148)
    assert (round(figure.low, 4), round(figure.high, 4)) == (0.0624, 0.1605)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_interval_holds_the_value_and_mirrors(case: tuple[int, int]) -> None:
    k, n = case
    figure, mirrored = intervals.share(k, n), intervals.share(n - k, n)
    assert 0 <= figure.low <= figure.value <= figure.high <= 1
    assert math.isclose(figure.low, 1 - mirrored.high, abs_tol=1e-12)


@settings(deadline=None)  # the first call imports SciPy
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_quantile_interval_holds_the_value_whatever_the_order(values: list[float]) -> None:
    figure = intervals.quantile(values, 0.95)
    assert figure.low <= figure.value <= figure.high
    assert figure.value in values
    assert intervals.quantile(values[::-1], 0.95) == figure


def test_p95_interval_covers_the_true_percentile_about_95_times_in_100() -> None:
    import numpy as np

    rng = np.random.default_rng(7)
    truth = -math.log(0.05)  # of the exponential distribution
    figures = [intervals.quantile(rng.exponential(size=300).tolist(), 0.95) for _ in range(400)]
    covered = sum(figure.low <= truth <= figure.high for figure in figures)
    assert 0.92 <= covered / 400 <= 0.99


@pytest.mark.parametrize(
    ("limit", "bad", "n", "verdict"),
    [
        (SHARE_ABOVE, 15, 100, "ok"),  # just at the limit is still good
        (SHARE_ABOVE, 16, 100, "ok"),  # over it, and seen by chance in more than 1 of 40 windows
        (SHARE_ABOVE, 22, 100, "ok"),
        (SHARE_ABOVE, 23, 100, "alert"),
        (SHARE_ABOVE, 29, 29, "not_enough_data"),
        (SHARE_ABOVE, 30, 30, "alert"),
        (SHARE_BELOW, 93, 100, "ok"),
        (SHARE_BELOW, 92, 100, "ok"),
        (SHARE_BELOW, 86, 100, "alert"),
        (SHARE_BELOW, 0, 29, "not_enough_data"),
    ],
)
def test_an_alert_needs_evidence_and_the_minimum_sample(
    limit: Limit, bad: int, n: int, verdict: str
) -> None:
    figure = intervals.share(bad, n)
    found = against_limit("edit_rate", WINDOW, figure, what="edited", limit=limit, minimum=30)
    assert found.verdict == verdict
    assert found.n == n


def test_message_says_when_a_crossing_may_be_chance_and_when_the_limit_is_near() -> None:
    chance, near, sure = (
        against_limit("edit_rate", WINDOW, figure, what="edited", limit=SHARE_ABOVE, minimum=30)
        for figure in (intervals.share(6, 31), intervals.share(4, 31), intervals.share(60, 110))
    )
    assert [found.verdict for found in (chance, near, sure)] == ["ok", "ok", "alert"]
    assert chance.message == (
        "edited: 19.4 % (95 % interval 9.2 % to 36.3 %, n = 31), above the limit of 15.0 %; "
        "it may be chance, which alerts nobody (it happens in more than 1 of 40 windows)"
    )
    assert not chance.cleared, "an alert that is open stays open"
    assert near.message.endswith("; the interval includes the limit, so more data may change this")
    assert sure.message.endswith("above the limit of 15.0 %")


def test_cases_that_are_asked_again_and_again_are_no_sample() -> None:
    figure = intervals.share(6, 31)
    found = against_limit(
        "golden_set", WINDOW, figure, what="x", limit=SHARE_ABOVE, minimum=30, sampled=False
    )
    assert found.verdict == "alert"


def test_nothing_to_measure_is_not_enough_data_and_has_no_value() -> None:
    found = against_limit("edit_rate", WINDOW, None, what="edited", limit=SHARE_ABOVE, minimum=1)
    assert (found.verdict, found.value, found.n) == ("not_enough_data", None, 0)


@given(
    st.floats(0.01, 0.99),
    st.sampled_from(["above", "below"]),
    st.floats(0, 1),
)
def test_a_value_that_clears_never_crosses_and_the_best_value_always_clears(
    threshold: float, side: str, value: float
) -> None:
    limit = Limit(threshold=threshold, unit="share", side=side)  # type: ignore[arg-type]
    assert not (limit.crossed(value) and limit.cleared(value))
    assert limit.cleared(0.0 if side == "above" else 1.0)
    assert not limit.cleared(threshold)
