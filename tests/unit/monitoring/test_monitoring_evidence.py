"""How sure an alert is: bounds, the level of a look, and what all monitors together come to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, t

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.monitoring import false_alarms
from tuneloop.monitoring.bounds import bounds, effective_cases, exact_share
from tuneloop.monitoring.monitors import table
from tuneloop.monitoring.sketches import LogHistogram, Mean

LEVEL = 2e-4


@pytest.mark.parametrize("limit", [0.02, 0.07, 0.5])
@pytest.mark.parametrize("n", [30, 100, 1_000])
def test_a_share_at_its_limit_passes_it_no_more_often_than_declared(limit: float, n: int) -> None:
    hits = np.arange(n + 1)
    chance = binom.pmf(hits, n, limit)
    alerts = [
        bounds(intervals.share(int(k), n), LEVEL, unit="share")[0] > limit if p > 1e-12 else False
        for k, p in zip(hits, chance, strict=True)
    ]
    assert 0 <= chance[alerts].sum() <= LEVEL


def test_bounds_agree_with_the_published_example() -> None:
    # 15 of 148: 0.0578 to 0.1617 (Newcombe 1998, Statistics in Medicine 17, table I, method 5).
    low, high = exact_share(15 / 148, 148, 0.025)
    assert (round(low, 4), round(high, 4)) == (0.0578, 0.1617)


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 31), (15, 30), (30, 30), (700, 10_000)])
def test_the_cases_behind_a_share_are_found_in_its_interval(hits: int, n: int) -> None:
    assert effective_cases(intervals.share(hits, n)) == pytest.approx(n)


def test_a_mean_has_students_bound_and_a_percentile_that_of_its_ranks() -> None:
    values = np.random.default_rng(3).lognormal(0, 0.5, 80)
    mean, spread = Mean(), LogHistogram()
    mean.add(values)
    spread.add(values)
    assert mean.figure is not None
    low, high = bounds(mean.figure, LEVEL, unit="tokens")
    half = t.isf(LEVEL, 79) * values.std(ddof=1) / math.sqrt(80)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))
    p95 = spread.quantile(0.95)
    assert p95 is not None
    rank = intervals.quantile_ranks(80, 0.95, confidence=1 - 2 * LEVEL)[0]
    assert bounds(p95, LEVEL, unit="ms")[0] == pytest.approx(sorted(values)[rank], rel=0.01)


def test_what_is_known_for_certain_has_no_bounds_around_it() -> None:
    certain = Figure(value=0.3, low=0.3, high=0.3, n=9)
    assert bounds(certain, LEVEL, unit="share") == (0.3, 0.3)


def test_all_looks_of_a_month_together_have_the_declared_rate() -> None:
    model = ModelSettings(name="desk", base="tiny", data=DataSettings(sources=("a.jsonl",)))
    for task in ({}, {"kind": "prose"}):
        levels = table.levels(model, task)
        looks = {"hour": 365.25 * 2, "day": 365.25 / 12, "week": 365.25 / 12 / 7}
        total = sum(
            levels[name] * looks[monitor.every]
            for name, monitor in table.chosen(task=task).items()
            if isinstance(monitor, table.Monitor)
        )
        assert total == pytest.approx(model.monitors.false_alarms_per_month)
    assert table.levels(model, {})["errors"] < table.levels(model, {})["accuracy"]


def test_whoever_looks_more_often_must_be_surer_each_time() -> None:
    assert false_alarms.looks_a_month("day", "daily") == pytest.approx(30.4375)
    assert false_alarms.looks_a_month("day", "0 * * * *") == pytest.approx(30.4375 * 24, rel=0.01)
    assert false_alarms.looks_a_month("week", "30 6 * * mon") == pytest.approx(4.35, rel=0.03)
    assert false_alarms.looks_a_month("week", "never") == pytest.approx(4.35, rel=0.01)
    assert false_alarms.looks_a_month("day", "0 0 30 2 *") == pytest.approx(30.4375)
    hourly = false_alarms.level(0.1, monitors=10, looks=730)
    assert hourly == pytest.approx(0.1 / 7_300)
    assert false_alarms.level(30, monitors=1, looks=1) == pytest.approx(0.025), (
        "never inside the 95 % interval"
    )
