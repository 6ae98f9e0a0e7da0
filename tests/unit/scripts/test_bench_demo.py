"""What `make bench-demo` makes of the records that a demo leaves."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "bench_demo.py"


def cycle(run: str | None, *, seconds: float) -> dict[str, Any]:
    steps: dict[str, Any] = {"prepare": {"seconds": 1.0}}
    if run is not None:
        steps["train"] = {"seconds": seconds, "run": run}
    return {"steps": steps}


def training_seconds(cycles: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[float]:
    found = runpy.run_path(str(SCRIPT), run_name="imported")["of_cycles"](cycles, runs)
    return [row["training_seconds"] for row in found]


def test_a_failed_run_of_no_cycle_is_not_asked_how_long_it_took() -> None:
    runs = [{"id": "a", "record": {"train_seconds": 9.5}}, {"id": "b", "record": {}}]
    assert training_seconds([cycle("a", seconds=12.0)], runs) == [9.5]


def test_a_run_counts_in_the_first_cycle_that_names_it() -> None:
    runs = [{"id": run, "record": {"train_seconds": 9.5}} for run in ("a", "b")]
    cycles = [
        cycle("a", seconds=12.0),
        cycle("a", seconds=0.1),
        cycle("b", seconds=12.0),
        cycle(None, seconds=0.0),
    ]
    assert training_seconds(cycles, runs) == [9.5, 0, 9.5, 0]
