"""Latency under load is measured from the schedule, so waiting counts."""

from __future__ import annotations

import pytest

from tuneloop.deployment.load import Load, arrivals, measure
from tuneloop.deployment.smoke import Probe
from tuneloop.errors import UsageError
from tuneloop.registry.routes import Target
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

PROBES = [Probe(messages=({"role": "user", "content": "Hi"},), evaluated="", base=None)]
LOAD = Load(rate_per_second=40, seconds=1.0)


def test_arrivals_are_a_poisson_process_and_the_same_for_a_seed() -> None:
    times = arrivals(Load(rate_per_second=50, seconds=100))
    # 5,000 expected; five standard deviations are 354.
    assert abs(len(times) - 5_000) < 354
    assert times == sorted(times) == arrivals(Load(rate_per_second=50, seconds=100))
    assert times != arrivals(Load(rate_per_second=50, seconds=100, seed=1))
    with pytest.raises(UsageError, match="rate_per_second above 0"):
        Load(rate_per_second=0, seconds=1)


def test_first_token_and_whole_answer_are_told_apart() -> None:
    reply = Reply(pieces=("a", "b", "c"), delay_seconds=0.1, piece_delay_seconds=0.1)
    with ScriptedUpstream(reply) as upstream:
        report = measure(Target(base_url=upstream.base_url, served_name="m"), PROBES, LOAD)
    assert report.requests == len(arrivals(LOAD))
    assert report.errors == 0
    first, whole = report.first_token_ms["p50"], report.latency_ms["p50"]
    assert 100 <= first.value <= whole.value - 150
    assert first.n == report.requests
    assert report.tokens_per_second is not None
    assert report.tokens_per_second < 12


def test_failures_are_counted_and_in_no_percentile() -> None:
    def script(received: Received) -> Reply:
        return Reply(status=503, text="busy")

    with ScriptedUpstream(script) as upstream:
        report = measure(Target(base_url=upstream.base_url, served_name="m"), PROBES, LOAD)
    assert report.errors == report.requests == len(arrivals(LOAD))
    assert report.latency_ms == {}
