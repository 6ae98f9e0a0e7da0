"""How far a judge agrees with people, and what its error does to a share."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tuneloop import intervals
from tuneloop.evaluation.judging.calibration import Calibration, calibrate, corrected


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


@pytest.mark.parametrize(
    "labels",
    [
        pairs(18, 1, 1, 18),  # 19 of each: too few
        pairs(10, 20, 20, 10),  # worse than a coin
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


@pytest.mark.parametrize(("share", "labels"), [(0.9, 40), (0.7, 60), (0.97, 30)])
def test_the_interval_holds_the_truth_as_often_as_it_says(share: float, labels: int) -> None:
    """Simulated with a judge of sensitivity 0.85 and specificity 0.8, labels of each kind."""
    rng = np.random.default_rng(20_261_124)
    held, runs, n = 0, 1_000, 400
    for _ in range(runs):
        yes, no = int(rng.binomial(labels, 0.85)), int(rng.binomial(labels, 0.8))
        found = calibrate(pairs(yes, labels - yes, labels - no, no), judge="j")
        passed = int(rng.binomial(n, share * 0.85 + (1 - share) * 0.2))
        right = corrected(intervals.share(passed, n), found)
        assert right is not None
        held += right.low <= share <= right.high
    assert held / runs >= 0.935, "95 % less three standard errors of 1,000 runs"
