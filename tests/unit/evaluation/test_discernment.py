"""A comparison by a judge is one of right answers, as far as the judge can tell them."""

from __future__ import annotations

import random

import pytest

from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.discernment import Discernment
from tuneloop.evaluation.operating import operating_of
from tuneloop.evaluation.paired import paired
from tuneloop.evaluation.scorers.base import Metric
from tuneloop.intervals import share

METRIC = Metric(name="judge", about="", scorer=lambda case, output: None)
RULE = rule_of("balanced", margin=0.02).at(1)


def discernment(labels: int, sensitivity: float, specificity: float) -> Discernment:
    return Discernment(
        sensitivity=share(round(sensitivity * labels), labels),
        specificity=share(round(specificity * labels), labels),
    )


def verdicts(won: int, lost: int, both: int, neither: int) -> list[tuple[float, float]]:
    return [(1.0, 0.0)] * won + [(0.0, 1.0)] * lost + [(1.0, 1.0)] * both + [(0.0, 0.0)] * neither


def test_a_lax_judge_hides_a_loss_that_the_correction_shows() -> None:
    """It passes half of the wrong answers, so of 4 points it saw 2."""
    pairs = verdicts(won=10, lost=20, both=450, neither=20)
    seen = paired(METRIC, pairs, margin=0.02, rule=RULE)
    told = paired(METRIC, pairs, margin=0.02, rule=RULE, discernment=discernment(200, 1.0, 0.5))
    assert seen.accepted and seen.difference.value == pytest.approx(-0.02)
    assert told.difference.value == pytest.approx(-0.04)
    assert (told.accepted, "margin of 2 points" in told.objection) == (False, True)
    assert told.p_value == seen.p_value, "which side is ahead no correction changes"
    assert (told.candidate, told.reference) == pytest.approx((0.84, 0.88))


def test_few_labels_leave_more_open() -> None:
    pairs = verdicts(won=20, lost=20, both=440, neither=20)
    perfect = paired(METRIC, pairs, margin=0.02, rule=RULE)
    bounds = [
        paired(METRIC, pairs, margin=0.02, rule=RULE, discernment=discernment(n, 0.9, 0.8)).bound
        for n in (20, 50, 500)
    ]
    assert -1 < bounds[0] < bounds[1] < bounds[2] < perfect.bound < 0


def test_labels_that_may_come_of_guessing_bound_nothing() -> None:
    guessing = discernment(20, 0.7, 0.5)
    assert guessing.lower_bound(0.05, -0.01, level=0.001) == -1.0


def test_the_interval_holds_the_true_difference() -> None:
    """A judge of 0.85 and 0.8, 50 labels of each: a candidate that is 5 points worse."""
    chance = random.Random(7)
    held = []
    for _ in range(120):
        kinds = chance.choices(["won", "lost", "right", "wrong"], [25, 75, 765, 135], k=200)
        sides = [(kind in ("won", "right"), kind in ("lost", "right")) for kind in kinds]
        pairs = [
            tuple(float(chance.random() < (0.85 if right else 0.2)) for right in side)
            for side in sides
        ]
        known = Discernment(
            sensitivity=share(sum(chance.random() < 0.85 for _ in range(50)), 50),
            specificity=share(sum(chance.random() < 0.8 for _ in range(50)), 50),
        )
        found = known.difference(paired(METRIC, pairs, margin=0.02).difference)  # type: ignore[arg-type]
        held.append(found.low <= -0.05 <= found.high)
    assert sum(held) >= 108, "95 % are declared"


def test_the_declared_errors_are_those_of_what_the_judge_sees() -> None:
    pairs = verdicts(won=20, lost=20, both=440, neither=20)
    seen = paired(METRIC, pairs, margin=0.02, rule=RULE)
    told = paired(METRIC, pairs, margin=0.02, rule=RULE, discernment=discernment(100, 0.9, 0.8))
    errs = [operating_of(of, RULE, margin=0.02).equal_refused for of in (seen, told)]
    assert errs[0] < errs[1]
