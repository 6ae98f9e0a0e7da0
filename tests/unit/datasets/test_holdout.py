"""The share that is held out where it is left to gates and decision."""

from __future__ import annotations

import pytest

from tuneloop.datasets.holdout import Need, likely_share

GATES = Need(of="gates", minimum=50, counts=lambda row: True)
DECISION = Need(of="the decision", minimum=200, counts=lambda row: True, useful_from=50)


@pytest.mark.parametrize(
    ("rows", "for_gates", "with_decision"),
    [
        (100, 0.1, 0.1),  # a quarter would serve nobody
        (300, 0.17, 0.25),  # too few for the decision, and each case helps
        (1_000, 0.1, 0.2),
        (5_000, 0.1, 0.1),
    ],
)
def test_as_much_as_helps_and_no_more(rows: int, for_gates: float, with_decision: float) -> None:
    assert likely_share(rows, [GATES]) == for_gates
    assert likely_share(rows, [GATES, DECISION]) == with_decision
