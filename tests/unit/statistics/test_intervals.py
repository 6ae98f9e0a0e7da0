import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop import intervals

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from statsmodels.stats.proportion import proportion_confint


@given(n=st.integers(1, 5_000), data=st.data())
def test_wilson_equals_statsmodels_and_holds_its_value(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    figure = intervals.share(successes, n)
    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    assert figure.low == pytest.approx(low, abs=1e-9)
    assert figure.high == pytest.approx(high, abs=1e-9)
    assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_no_cases_is_an_error_and_not_a_figure() -> None:
    with pytest.raises(ValueError):
        intervals.share(0, 0)
    with pytest.raises(ValueError):
        intervals.mean([])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_a_mean_is_inside_its_interval_and_repeatable(values: list[float]) -> None:
    figure = intervals.mean(values)
    assert figure.low <= figure.value <= figure.high
    assert intervals.mean(values) == figure


def test_pass_fail_scores_that_are_all_one_are_not_certain() -> None:
    figure = intervals.mean([1.0] * 10)
    assert figure.value == 1 and figure.low == pytest.approx(0.722, abs=0.001)


def test_one_graded_score_tells_nothing_about_the_next() -> None:
    assert intervals.mean([0.4]).as_list() == [0.4, 0.0, 1.0, 1]


def test_equal_graded_scores_are_not_certain() -> None:
    two, fifty = intervals.mean([0.5, 0.5]), intervals.mean([0.5] * 50)
    assert (two.low, two.high) == (pytest.approx(0.171, abs=1e-3), pytest.approx(0.829, abs=1e-3))
    assert 0.44 < fifty.low < 0.5 < fifty.high < 0.56
    assert two.value == fifty.value == 0.5


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = random.Random(7)
    covered = 0
    for _ in range(100):
        figure = intervals.mean([rng.betavariate(2, 2) for _ in range(40)])
        covered += figure.low <= 0.5 <= figure.high
    assert covered >= 88


def test_p95_is_a_value_that_was_seen_inside_its_order_statistics() -> None:
    values = [float(i) for i in range(1, 201)]
    figure = intervals.quantile(values, 0.95)
    assert figure.value == 190
    assert 180 <= figure.low < 190 < figure.high <= 200
    assert intervals.quantile([3.0], 0.95).as_list() == [3.0, 3.0, 3.0, 1]


def test_it_is_known_how_often_the_interval_of_a_quantile_holds() -> None:
    """Exact: the 99 % quantile is above the largest of 60 in 0.99^60 = 55 %."""
    assert intervals.quantile_coverage(60, 0.99) == pytest.approx(0.43, abs=0.01)
    assert intervals.quantile_coverage(400, 0.99) >= 0.95
    assert all(intervals.quantile_coverage(n, 0.95) >= 0.95 for n in range(72, 400))
    assert intervals.quantile_coverage(50, 0.95) < 0.95
    rng = random.Random(7)
    true = 0.99  # of numbers between 0 and 1
    held = 0
    for _ in range(500):
        figure = intervals.quantile([rng.random() for _ in range(60)], 0.99)
        held += figure.low <= true <= figure.high
    assert held / 500 == pytest.approx(0.43, abs=0.07)


@settings(max_examples=50, deadline=None)
@given(*(st.integers(0, 40) for _ in range(4)))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(
    right: int, wrong: int, missing: int, invented: int
) -> None:
    counts = {"right": right, "wrong": wrong, "missing": missing, "invented": invented}
    if not sum(counts.values()):
        with pytest.raises(ValueError):
            intervals.f1(**counts)
        return
    figure = intervals.f1(**counts)
    assert figure.n == sum(counts.values())
    assert 0 <= figure.low <= figure.value <= figure.high <= 1
    assert figure.low < figure.high  # no number of cases is certain
    assert intervals.f1(**counts) == figure
    if right:
        precision, recall = right / (right + wrong + invented), right / (right + wrong + missing)
        assert figure.value == pytest.approx(2 / (1 / precision + 1 / recall))
    else:
        assert figure.value == 0


@pytest.mark.parametrize("n", [60, 300])
def test_the_interval_of_f1_holds_the_true_value_as_often_as_it_says(n: int) -> None:
    rng = random.Random(7)
    kinds, weights = ("right", "wrong", "missing", "invented"), (0.8, 0.05, 0.1, 0.05)
    true = 2 * 0.8 / (2 * 0.8 + 2 * 0.05 + 0.1 + 0.05)
    held = 0
    for _ in range(300):
        drawn = rng.choices(kinds, weights, k=n)
        figure = intervals.f1(**{kind: drawn.count(kind) for kind in kinds})
        held += figure.low <= true <= figure.high
    assert 0.90 <= held / 300 <= 0.99
