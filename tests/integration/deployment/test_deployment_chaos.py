"""The faults of `make chaos` that take a whole `tuneloop up`, each of them, small."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

from chaos.desk import tiny_model
from chaos.faults import DESK
from chaos.trial import SMALL, Fault, Place, play


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("fault", DESK, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_doubled_or_unexpected(fault: Fault, tmp_path: Path, model: Path) -> None:
    outcome = play(fault, Place(folder=tmp_path / "place", size=SMALL, model=lambda: model))
    assert outcome.problems == []
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.captured > 0
