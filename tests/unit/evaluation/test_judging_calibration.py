"""How far a judge agrees with people, and what its error does to a share."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tuneloop import intervals
from tuneloop.evaluation.judging.calibration import (
    MINIMUM_OF_EACH,
    Calibration,
    calibrate,
    corrected,
    of_all,
)


def pairs(yes: int, missed: int, wrongly: int, no: int) -> list[tuple[bool, bool]]:
    """Right and passed, right and failed, wrong and passed, wrong and failed."""
    return (
        [(True, True)] * yes
        + [(True, False)] * missed
        + [(False, True)] * wrongly
        + [(False, False)] * no
    )


def test_the_textbook_table() -> None:
    """35 of 50 agree, 25 would by chance: kappa = (0.7 - 0.5) / (1 - 0.5)."""
    found = calibrate(pairs(20, 10, 5, 15), judge="j")
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low == pytest.approx(0.1511, abs=1e-3)
    assert (found.agreement.value, found.n) == (0.7, 50)
    assert found.sensitivity is not None
    assert found.specificity is not None
    assert (found.sensitivity.value, found.sensitivity.n) == (pytest.approx(2 / 3), 30)
    assert (found.specificity.value, found.specificity.n) == (0.75, 20)
    assert "agrees with people on 70 %" in found.summary
    assert Calibration.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_one_kind_of_label_tells_half_and_corrects_nothing() -> None:
    found = calibrate(pairs(30, 2, 0, 0), judge="j", unjudged=3)
    assert (found.kappa, found.specificity, found.corrects) == (None, None, False)
    assert "no kappa" in found.summary
    assert corrected(intervals.share(80, 100), found) is None


def test_full_agreement_on_two_answers_is_no_certainty() -> None:
    found = calibrate(pairs(1, 0, 0, 1), judge="j").kappa
    assert found is not None
    assert (found.value, found.high) == (1, 1)
    assert found.low < 0


@pytest.mark.parametrize(
    "labels",
    [
        pairs(18, 1, 1, 18),  # 19 of each: too few
        pairs(10, 20, 20, 10),  # worse than a coin
        pairs(14, 6, 12, 8),  # 70 % and 40 %: a coin does as well now and then
    ],
)
def test_too_few_labels_or_a_judge_that_knows_nothing_correct_nothing(
    labels: list[tuple[bool, bool]],
) -> None:
    assert corrected(intervals.share(80, 100), calibrate(labels, judge="j")) is None


def test_rogan_and_gladens_estimator() -> None:
    found = calibrate(pairs(90, 10, 20, 80), judge="j")
    right = corrected(intervals.share(760, 1_000), found)
    assert right is not None
    assert right.value == pytest.approx((0.76 + 0.8 - 1) / (0.9 + 0.8 - 1))
    assert right.low < right.value < right.high
    exact = intervals.share(760, 1_000)
    assert right.high - right.low > 2 * (exact.high - exact.low), "its own error counts"


def test_a_corrected_share_stays_a_share() -> None:
    found = calibrate(pairs(40, 10, 5, 45), judge="j")
    for passed in (0, 100):
        right = corrected(intervals.share(passed, 100), found)
        assert right is not None
        assert 0 <= right.low <= right.value <= right.high <= 1


def test_what_nobody_judged_is_not_right_and_makes_it_less_sure() -> None:
    right = intervals.Figure(value=0.9, low=0.8, high=0.96, n=90)
    found = of_all(right, intervals.share(90, 100))
    assert found.value == pytest.approx(0.81)
    assert found.low < 0.9 * 0.8 and found.high > 0.9 * 0.96
    assert found.n == 100


@pytest.mark.parametrize("bar", [0.85, 0.95])
def test_a_bound_errs_no_more_often_than_it_says(bar: float) -> None:
    """The lower bound lies above the truth in 10 %; measured over 2,000 judges and suites."""
    rng = np.random.default_rng(20_261_130)
    over, runs, labels, n = 0, 2_000, 30, 120
    for _ in range(runs):
        yes, no = int(rng.binomial(labels, 0.9)), int(rng.binomial(labels, 0.8))
        found = calibrate(pairs(yes, labels - yes, labels - no, no), judge="j")
        passed = int(rng.binomial(n, bar * 0.9 + (1 - bar) * 0.2))
        right = corrected(intervals.share(passed, n), found, confidence=0.8)
        over += right is not None and right.low > bar
    assert over / runs <= 0.115, "10 % and two standard errors"


@pytest.mark.parametrize(
    ("share", "labels"), [(0.9, 40), (0.7, 60), (0.97, 30), (0.9, MINIMUM_OF_EACH)]
)
def test_the_interval_holds_the_truth_as_often_as_it_says(share: float, labels: int) -> None:
    """Simulated with a judge of sensitivity 0.85 and specificity 0.8, labels of each kind."""
    rng = np.random.default_rng(20_261_124)
    held, runs, n = 0, 1_000, 400
    for _ in range(runs):
        yes, no = int(rng.binomial(labels, 0.85)), int(rng.binomial(labels, 0.8))
        found = calibrate(pairs(yes, labels - yes, labels - no, no), judge="j")
        passed = int(rng.binomial(n, share * 0.85 + (1 - share) * 0.2))
        right = corrected(intervals.share(passed, n), found)
        # A judge that by luck does not seem to tell right from wrong gives no figure.
        held += right is None or right.low <= share <= right.high
    assert held / runs >= 0.935, "95 % less three standard errors of 1,000 runs"
