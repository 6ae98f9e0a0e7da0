"""Simulated quarters: what all monitors together say where nothing is wrong, and where it is."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
EASY = "embedding_drift"
"""Is left out here: its references take seconds to calibrate."""


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        monitors, quarter = (
            import_module(f"verdict_bench.{name}") for name in ("monitors", "quarter")
        )
    return vars(quarter) | vars(monitors)


def _alarms(bench: dict[str, Any], quarters: int, *, peers: bool = False) -> int:
    worlds = bench["UNCHANGED"]["at every limit, 30 a day"]
    names = [name for name in bench["label_monitors"]() if name != EASY]
    return sum(
        len(
            bench["opened"](
                bench["Watch"](np.random.default_rng(seed), only=names, peers=peers).looks(worlds)
            )
        )
        for seed in range(quarters)
    )


def test_a_quarter_at_every_limit_is_quiet_and_a_point_beyond_it_is_not(
    bench: dict[str, Any],
) -> None:
    """0.1 a month are declared, so three quarters may have 0.9; the point alone makes dozens."""
    assert _alarms(bench, 3) <= 3
    assert _alarms(bench, 1, peers=True) >= 3


@pytest.mark.parametrize(
    ("monitor", "changed"), [("format_compliance", {"format": 0.85}), ("errors", {"errors": 0.15})]
)
def test_what_is_planted_is_found(
    bench: dict[str, Any], monitor: str, changed: dict[str, float]
) -> None:
    usual = bench["World"](requests=60)
    watch = bench["Watch"](np.random.default_rng(1), only=[monitor])
    worlds = [usual] * 63 + [replace(usual, **changed)] * 28
    opened = bench["opened"](watch.looks(lambda day: worlds[day]))
    assert [name for _, name in opened] == [monitor]
    assert 63 <= opened[0][0] <= 70
