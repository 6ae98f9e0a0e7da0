"""The figures of a load: nothing lost looks fast, and a ratio's interval keeps its promise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tuneloop.deployment.load import BLOCKS, Load, arrivals
from tuneloop.deployment.load_figures import FIGURES, RATIOS, Timing, ratios, report

TIMEOUT = 60.0
ANSWER = Timing(first_token_seconds=0.1, seconds=0.5, tokens=9, error=None)
LOST = Timing(first_token_seconds=None, seconds=0.001, tokens=0, error="status_503")


def timings(seconds: Sequence[float]) -> list[Timing]:
    return [replace(ANSWER, first_token_seconds=one / 2, seconds=one, tokens=11) for one in seconds]


def test_percentiles_of_times_and_of_speed() -> None:
    found = report(timings([one / 100 for one in range(1, 101)]), timeout_seconds=TIMEOUT)
    assert (found.requests, found.errors) == (100, 0)
    assert set(found.figures) == set(FIGURES)
    assert found.figures["latency_p50_ms"].value == 500.0
    assert found.figures["latency_p95_ms"].value == 950.0
    assert found.figures["first_token_p99_ms"].value == 495.0
    # Ten tokens in half the time of the answer; the slowest took half a second for them.
    assert found.figures["tokens_per_second_p50"].value == pytest.approx(20 / 0.51, abs=0.01)
    assert found.figures["tokens_per_second_p1"].value == pytest.approx(20.0)
    assert found.figures["error_share"].value == 0.0
    p95 = found.figures["latency_p95_ms"]
    assert p95.low < p95.value < p95.high
    # Of 100 requests the slowest may well be faster than the true 99 % quantile.
    assert set(found.coverage) == {"first_token_p99_ms", "latency_p99_ms", "tokens_per_second_p1"}
    assert 0.6 < found.coverage["latency_p99_ms"] < 0.65
    many = report(timings([one / 100 for one in range(1, 601)]), timeout_seconds=TIMEOUT)
    assert not many.coverage


def test_a_server_that_lets_its_slow_requests_go_does_not_look_fast() -> None:
    found = report([*[ANSWER] * 94, *[LOST] * 6], timeout_seconds=TIMEOUT)
    assert found.errors == 6
    assert found.figures["error_share"].value == 0.06
    assert found.figures["latency_p50_ms"].value == 500.0
    assert found.figures["latency_p95_ms"].value == TIMEOUT * 1_000
    assert found.figures["first_token_p95_ms"].value == TIMEOUT * 1_000
    assert found.figures["tokens_per_second_p50"].n == 94


def test_nothing_asked_gives_no_figure() -> None:
    assert report([], timeout_seconds=TIMEOUT).figures == {}
    assert ratios([], timings([1.0]), timeout_seconds=TIMEOUT) == {}


def test_twice_as_slow_is_a_ratio_of_two() -> None:
    times = [one / 100 for one in range(1, 201)]
    found = ratios(timings([2 * one for one in times]), timings(times), timeout_seconds=TIMEOUT)
    assert set(found) == set(RATIOS)
    assert found["latency_p95_ratio"].value == pytest.approx(2.0)
    assert found["latency_p50_ratio"].low > 1.0, "so much of a difference cannot be chance"
    assert found["tokens_per_second_p50_ratio"].value == pytest.approx(0.5, abs=0.01)
    for figure in found.values():
        assert figure.low <= figure.value <= figure.high and figure.n == 200


def test_the_interval_of_a_ratio_holds_the_truth_at_least_as_often_as_it_says() -> None:
    draw = random.Random(3)

    def sample() -> list[Timing]:
        return timings([draw.lognormvariate(-1.0, 0.7) for _ in range(150)])

    repeats = 200
    held = 0
    for _ in range(repeats):
        figure = ratios(sample(), sample(), timeout_seconds=TIMEOUT)["latency_p95_ratio"]
        held += figure.low <= 1.0 <= figure.high
    assert held >= 0.95 * repeats


def test_a_load_is_the_same_in_blocks() -> None:
    load = Load(rate_per_second=50, seconds=40)
    assert len(load.blocks) == BLOCKS
    assert sum(block.seconds for block in load.blocks) == load.seconds
    times = [arrivals(block) for block in load.blocks]
    assert times[0] != times[1], "every block has its own arrivals"
    # 2,000 expected; five standard deviations are 224.
    assert abs(sum(map(len, times)) - 2_000) < 224
