"""Simulated quarters: what all monitors together say where nothing is wrong, and where it is."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "verdict_bench" / "monitors.py"
EASY = "embedding_drift"
"""Is left out here: its references take seconds to calibrate."""


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT), run_name="imported")


def _alarms(bench: dict[str, Any], quarters: int, *, peers: bool = False) -> int:
    world = bench["UNCHANGED"]["at every limit, 30 a day"]
    names = [name for name in bench["_monitors"]() if name != EASY]
    return sum(
        len(
            bench["opened"](
                bench["Watch"](np.random.default_rng(seed), only=names, peers=peers).looks(
                    lambda _: world
                )
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
