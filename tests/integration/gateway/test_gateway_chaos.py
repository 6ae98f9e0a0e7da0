"""The faults and attacks of `make chaos` that take a gateway, each of them, small."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

from chaos.faults import GATEWAY
from chaos.trial import SMALL, Fault, Place, play


def no_model() -> Path:
    raise AssertionError("none of these needs a model")


@pytest.mark.parametrize("fault", GATEWAY, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_doubled_or_unexpected(fault: Fault, tmp_path: Path) -> None:
    outcome = play(fault, Place(folder=tmp_path / "place", size=SMALL, model=no_model))
    assert outcome.problems == []
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.captured > 0
