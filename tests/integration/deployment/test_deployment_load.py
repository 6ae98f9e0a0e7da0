"""Latency under load is measured from the schedule, so waiting counts; two bundles take turns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import pytest

from tuneloop.deployment.load import BLOCKS, Load, arrivals, measure
from tuneloop.errors import UsageError
from tuneloop.registry.routes import Target
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

QUESTIONS = [[{"role": "user", "content": text}] for text in ("Hi", "Ho", "Why?")]
LOAD = Load(rate_per_second=40, seconds=1.0)
REQUESTS = sum(len(arrivals(block)) for block in LOAD.blocks)


def target(upstream: ScriptedUpstream) -> Target:
    return Target(base_url=upstream.base_url, served_name="m", system="Be brief.")


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
        found = measure(target(upstream), None, QUESTIONS, LOAD)
    assert found.against is None and found.ratios == {}
    assert (found.bundle.requests, found.bundle.errors) == (REQUESTS, 0)
    figures = found.bundle.figures
    first, whole = figures["first_token_p50_ms"], figures["latency_p50_ms"]
    assert 100 <= first.value <= whole.value - 150
    assert first.n == REQUESTS
    assert figures["tokens_per_second_p50"].value < 12


def test_two_bundles_are_asked_the_same_in_turns() -> None:
    heard: list[tuple[str, str]] = []

    def answering(name: str, reply: Reply) -> Callable[[Received], Reply]:
        def script(received: Received) -> Reply:
            system, question = received.body["messages"]
            assert system["content"] == "Be brief."
            heard.append((name, question["content"]))
            return reply

        return script

    slow, fast = Reply(delay_seconds=0.1), Reply(delay_seconds=0.02)
    with (
        ScriptedUpstream(answering("new", slow)) as new,
        ScriptedUpstream(answering("old", fast)) as old,
    ):
        found = measure(target(new), target(old), QUESTIONS, LOAD)
    order = [name for name, _ in groupby(name for name, _ in heard)]
    # new old | old new | new old | old new: what meets in the middle is one run of one name.
    assert order == ["new", "old", "new", "old", "new"] and BLOCKS == 4
    asked = {name: sorted(q for one, q in heard if one == name) for name in ("new", "old")}
    assert asked["new"] == asked["old"]
    assert len(asked["new"]) == REQUESTS + BLOCKS, "the first of each block is not measured"
    assert found.against is not None and found.against.requests == REQUESTS
    assert found.ratios["latency_p50_ratio"].low > 1.0


def test_failures_count_as_the_longest_wait() -> None:
    def script(received: Received) -> Reply:
        return Reply(status=503, text="busy")

    with ScriptedUpstream(script) as upstream:
        found = measure(target(upstream), None, QUESTIONS, LOAD).bundle
    assert found.errors == found.requests == REQUESTS
    assert found.figures["latency_p50_ms"].value == LOAD.timeout_seconds * 1_000
    assert found.figures["error_share"].value == 1.0
