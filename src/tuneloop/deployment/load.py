"""Latency under a declared load (E11): an open loop, so that waiting is counted.

Requests are sent at their scheduled times whether or not earlier ones were answered, as clients
that do not know of each other do, and every time is measured from the schedule. A closed loop,
which sends the next request when the last one is answered, hides what a slow server does to those
who wait (Schroeder, Wierman & Harchol-Balter 2006, "Open Versus Closed: A Cautionary Tale", NSDI).

Two bundles are asked in turns, in short blocks and in the order A B, B A, A B, B A, at the same
times and with the same questions: what else the machine does in these minutes meets both. They
are never asked together, which would double the load.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import msgspec

from tuneloop.deployment.load_figures import LoadComparison, Timing, ratios, report
from tuneloop.errors import UsageError
from tuneloop.gateway.answers import EventReader, Facts
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.requests import CHAT, parse, upstream_body
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream import Request, Upstream
from tuneloop.progress import Progress, Silent
from tuneloop.registry.routes import Target

Question = Sequence[Mapping[str, Any]]
"""The messages of a request, as a client sends them."""

BLOCKS = 4
"""Turns of each bundle."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How clients arrive."""

    rate_per_second: float
    seconds: float
    """How long requests are sent to each bundle; the answers may take longer."""
    seed: int = 0
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("rate_per_second", "seconds", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"Expected {name} above 0, got {getattr(self, name):g}.")

    @property
    def blocks(self) -> tuple[Load, ...]:
        """The load in turns; queues are empty again before the next one."""
        return tuple(
            replace(self, seconds=self.seconds / BLOCKS, seed=self.seed + number)
            for number in range(BLOCKS)
        )


def arrivals(load: Load) -> list[float]:
    """Times of a Poisson process in seconds from the start; the same for the same seed."""
    draw = random.Random(load.seed)
    times, now = [], 0.0
    while (now := now + draw.expovariate(load.rate_per_second)) < load.seconds:
        times.append(now)
    return times


def measure(
    bundle: Target,
    against: Target | None,
    questions: Sequence[Question],
    load: Load,
    *,
    progress: Progress = Silent(),
) -> LoadComparison:
    """Ask one model server, or two in turns, under a load, streaming.

    Raises:
        UsageError: there is nothing to ask.
    """
    if not questions:
        raise UsageError(
            "There are no questions to ask.", remedy="Evaluate the bundle first: tuneloop evaluate"
        )
    targets = [bundle] if against is None else [bundle, against]
    timings = asyncio.run(_measure(targets, questions, load, progress))
    patience = load.timeout_seconds
    return LoadComparison(
        rate_per_second=load.rate_per_second,
        seconds=load.seconds,
        bundle=report(timings[0], timeout_seconds=patience),
        against=report(timings[1], timeout_seconds=patience) if against else None,
        ratios=ratios(*timings, timeout_seconds=patience) if against else {},
    )


async def _measure(
    targets: Sequence[Target], questions: Sequence[Question], load: Load, progress: Progress
) -> list[list[Timing]]:
    """(targets, requests): every target's timings."""
    sweep = Sweep(asyncio.get_running_loop())
    upstream = Upstream(sweep, silence_timeout_seconds=load.timeout_seconds)
    timings: list[list[Timing]] = [[] for _ in targets]
    asked = [cycle(questions) for _ in targets]
    try:
        for number, block in enumerate(load.blocks):
            order = range(len(targets)) if number % 2 == 0 else reversed(range(len(targets)))
            for place in order:
                timings[place] += await _block(upstream, targets[place], asked[place], block)
            progress.update(number + 1, BLOCKS, f"{load.rate_per_second:g} a second")
    finally:
        await upstream.close()
        sweep.close()
    return timings


async def _block(
    upstream: Upstream, target: Target, questions: Iterator[Question], load: Load
) -> list[Timing]:
    # A server that has just started, or was idle for a while, is slow once: that counts for nobody.
    await _ask(upstream, _request(target, next(questions), load), time.perf_counter())
    start, tasks = time.perf_counter(), []
    for at in arrivals(load):
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        request = _request(target, next(questions), load)
        tasks.append(asyncio.create_task(_ask(upstream, request, start + at)))
    return list(await asyncio.gather(*tasks))


def _request(target: Target, question: Question, load: Load) -> Request:
    body: dict[str, Any] = {
        "model": target.served_name,
        "messages": [dict(message) for message in question],
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
