"""Gates are absolute; a candidate that is worse than production never replaces it."""

from __future__ import annotations

import pytest

from tuneloop.retraining.decision import Compared, decide


def compared(verdict: str, difference: float = 0.0) -> Compared:
    return Compared(verdict=verdict, reason="correct differs", difference=difference)


@pytest.mark.parametrize("verdict", ["failed", "refused"])
@pytest.mark.parametrize("production", [None, compared("better", 0.5)])
def test_a_missed_gate_refuses_however_good_the_comparison(
    verdict: str, production: Compared | None
) -> None:
    decision = decide(gates=verdict, gates_reason="format is 0.5", production=production)
    assert not decision.deploy
    assert "format is 0.5" in decision.reason


@pytest.mark.parametrize(
    ("production", "deploy"),
    [
        (None, True),
        (compared("better", 0.1), True),
        (compared("not_worse", -0.001), True),
        (compared("worse", -0.1), False),
        (compared("inconclusive", 0.0), True),
        (compared("inconclusive", 0.04), True),
        (compared("inconclusive", -0.02), False),
    ],
)
def test_against_production(production: Compared | None, deploy: bool) -> None:
    decision = decide(gates="passed", gates_reason="", production=production)
    assert decision.deploy == deploy
    assert decision.reason


def test_an_unproven_candidate_says_so() -> None:
    decision = decide(gates="passed", gates_reason="", production=compared("inconclusive", 0.01))
    assert "too few to prove" in decision.reason
