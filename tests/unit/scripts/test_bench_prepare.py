"""What `make bench-prepare` plants, and how it counts what is found of it."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return runpy.run_path(str(BENCHMARKS / "bench_prepare.py"), run_name="imported")


@pytest.mark.parametrize(
    ("removed", "recall", "precision"),
    [
        ([1, 4], 1.0, 1.0),
        ([0, 3], 1.0, 1.0),  # either of two may stay
        ([0, 1], 0.5, 0.5),  # not both
        ([2], 0.0, 0.0),
        ([], 0.0, 1.0),
    ],
)
def test_all_but_one_of_a_request_are_to_be_removed(
    bench: dict[str, Any], removed: list[int], recall: float, precision: float
) -> None:
    assert bench["quality"](removed, [7, 7, 8, 9, 9]) == (recall, precision)


def test_copies_have_the_answer_of_their_original_and_near_misses_another(
    bench: dict[str, Any],
) -> None:
    made = bench["rows"](2_000)
    assert len(made) == 2_000 and len({row.text for row in made}) > 1_900
    sizes = Counter(row.request for row in made)
    assert Counter(sizes.values()) == {1: 1_600, 2: 200}
    answers = {(row.request, row.intent, row.article) for row in made}
    assert len(answers) == len(sizes)
    assert made == bench["rows"](2_000), "the same rows in every run"
