"""Latency under a declared load (E11): an open loop, so that waiting is counted.

Requests are sent at their scheduled times whether or not earlier ones were answered, as clients
that do not know of each other do, and every time is measured from the schedule. A closed loop,
which sends the next request when the last one is answered, hides what a slow server does to those
who wait (Schroeder, Wierman & Harchol-Balter 2006, "Open Versus Closed: A Cautionary Tale", NSDI).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tuneloop.deployment.smoke import Probe
from tuneloop.errors import UsageError
from tuneloop.gateway.answers import EventReader, Facts
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.requests import CHAT, parse, upstream_body
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream import Request, Upstream
from tuneloop.intervals import Figure, order_statistic, quantile
from tuneloop.registry.routes import Target


@dataclass(frozen=True, kw_only=True)
class Load:
    """How clients arrive."""

    rate_per_second: float
    seconds: float
    """How long requests are sent; the answers may take longer."""
    seed: int = 0
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("rate_per_second", "seconds", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"Expected {name} above 0, got {getattr(self, name):g}.")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One request; seconds from its scheduled time."""

    first_token_seconds: float | None
    seconds: float
    tokens: int
    error: str | None


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What a load measured; milliseconds from the scheduled time of a request."""

    rate_per_second: float
    requests: int
    errors: int
    """Requests without a whole answer; they are in no percentile."""
    first_token_ms: Mapping[str, Figure]
    """p50, p95, p99"""
    latency_ms: Mapping[str, Figure]
    """p50, p95, p99"""
    tokens_per_second: float | None
    """Median over answers of the tokens after the first by the time that they took."""


def arrivals(load: Load) -> list[float]:
    """Times of a Poisson process in seconds from the start; the same for the same seed."""
    draw = random.Random(load.seed)
    times, now = [], 0.0
    while (now := now + draw.expovariate(load.rate_per_second)) < load.seconds:
        times.append(now)
    return times


def measure(target: Target, probes: Sequence[Probe], load: Load) -> LoadReport:
    """Ask a model server under a load, streaming.

    Raises:
        UsageError: there is nothing to ask.
    """
    if not probes:
        raise UsageError(
            "There are no questions to ask.", remedy="Evaluate the bundle first: tuneloop evaluate"
        )
    return report(load, asyncio.run(_measure(target, probes, load)))


def report(load: Load, timings: Sequence[Timing]) -> LoadReport:
    """The figures of many requests."""
    good = [one for one in timings if one.error is None]
    firsts = [one.first_token_seconds for one in good if one.first_token_seconds is not None]
    speeds = [
        (one.tokens - 1) / (one.seconds - one.first_token_seconds)
        for one in good
        if one.first_token_seconds is not None
        and one.tokens > 1
        and one.seconds > one.first_token_seconds
    ]
    return LoadReport(
        rate_per_second=load.rate_per_second,
        requests=len(timings),
        errors=len(timings) - len(good),
        first_token_ms=_percentiles(firsts),
        latency_ms=_percentiles([one.seconds for one in good]),
        tokens_per_second=round(order_statistic(speeds, 0.5), 2) if speeds else None,
    )


def _percentiles(seconds: Sequence[float]) -> dict[str, Figure]:
    milliseconds = [round(one * 1_000, 1) for one in seconds]
    return {f"p{p}": quantile(milliseconds, p / 100) for p in (50, 95, 99) if milliseconds}


async def _measure(target: Target, probes: Sequence[Probe], load: Load) -> list[Timing]:
    sweep = Sweep(asyncio.get_running_loop())
    upstream = Upstream(sweep, silence_timeout_seconds=load.timeout_seconds)
    start = time.perf_counter()
    tasks = []
    for number, at in enumerate(arrivals(load)):
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        request = _request(target, probes[number % len(probes)], load)
        tasks.append(asyncio.create_task(_ask(upstream, request, start + at)))
    timings = await asyncio.gather(*tasks)
    await upstream.close()
    sweep.close()
    return list(timings)


def _request(target: Target, probe: Probe, load: Load) -> Request:
    body: dict[str, Any] = {
        "model": target.served_name,
        "messages": [dict(message) for message in probe.messages],
        "stream": True,
    }
    call = parse(CHAT, msgspec.json.encode(body), {})
    return Request(
        target=target,
        path=CHAT.path,
        body=upstream_body(call, target),
        total_seconds=load.timeout_seconds,
    )


async def _ask(upstream: Upstream, request: Request, scheduled: float) -> Timing:
    facts, first, error = Facts(), None, None
    reader = EventReader("", facts, show_usage=False)
    try:
        async with upstream.stream(request) as events:
            if (refusal := await events.refusal()) is not None:
                error = f"status_{refusal.status}"
            while error is None and not reader.done and (piece := await events.read()) is not None:
                reader.feed(piece)
                if first is None and facts.has_output:
                    first = time.perf_counter() - scheduled
    except ApiError as e:
        error = e.code
    if error is None and facts.finish_reason is None:
        error = "truncated"
    return Timing(
        first_token_seconds=first,
        seconds=time.perf_counter() - scheduled,
        tokens=facts.completion_tokens or 0,
        error=error,
    )
