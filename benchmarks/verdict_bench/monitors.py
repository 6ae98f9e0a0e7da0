"""False alarms of monitors over a simulated quarter, and what they find.

A false alarm is an alert that opens (or opens again) while nothing is wrong. The declared rate is
the default of `monitors.false_alarms_per_month`, over all monitors together; measured is the mean a
month over quarters. `point` is peers' rule: a value beyond its limit, or beyond the margin
around the first window of 30 requests, is an alert. The power is the share of planted changes that
their monitor alerts on within four weeks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from tuneloop.monitoring import alerts
from tuneloop.monitoring.measurement import Measurement
from verdict_bench import requests
from verdict_bench.quarter import DAYS, MONTHS, REFERENCES, SETTINGS, Watch, World
from verdict_bench.scenario import Random, Scenario, mean

Worlds = Callable[[int], World]
"""What each day is like."""
_STEADY = World(requests=300)
_TESTS_FIRST = World(requests=40, tokens=15, refusals=0.5, escalations=0.3)
UNCHANGED: Mapping[str, Worlds] = {
    "unchanged, 5 requests a day": lambda _: World(requests=5),
    "unchanged, 30 a day": lambda _: World(requests=30),
    "unchanged, 300 a day": lambda _: _STEADY,
    "at every limit, 30 a day": lambda _: World(
        requests=30, accuracy=0.88, format=0.93, edits=0.15, novel=0.20, errors=0.05
    ),
    "days differ, 60 a day": lambda _: World(requests=60, days_differ=0.3),
    "40 test messages first, then 300 a day": lambda day: _STEADY if day else _TESTS_FIRST,
}
"""Nothing is wrong in any of them."""
PLANTED: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "declared form 98.5 → 85 %": ("format_compliance", {"format": 0.85}),
    "accuracy 94 → 75 %": ("accuracy", {"accuracy": 0.75}),
    "edits 6 → 30 %": ("edit_rate", {"edits": 0.30}),
    "errors 0.5 → 10 %": ("errors", {"errors": 0.10}),
    "refusals 4 → 15 %": ("refusals", {"refusals": 0.15}),
    "escalations 2 → 10 %": ("escalations", {"escalations": 0.10}),
    "the judge's score 0.85 → 0.70": ("judge_quality", {"judge": 0.70}),
    "answers half as long again": ("output_length", {"tokens": 90.0}),
    "p95 latency × 3": ("latency_p95", {"latency_ms": 1_200.0}),
    "tokens' probability 0.92 → 0.78": ("confidence", {"logprob": -0.25}),
    "novel prompts 8 → 35 %": ("novelty", {"novel": 0.35}),
    "a third of the prompts unlike all others": ("embedding_drift", {"other_prompts": 0.33}),
}
"""What is planted after nine weeks, and the monitor that should speak up."""
PLANTED_ON, FOUND_WITHIN = 63, 28
SIZES = (5, 30, 300)
_TOGETHER = "all kinds, the hourly ones too, 300 a day"


def scenarios() -> Iterator[Scenario]:
    """Quarters in which nothing is wrong, and in which something is."""
    declared = SETTINGS.false_alarms_per_month
    for name, worlds in UNCHANGED.items():
        for ours, times in ((True, 0.5), (False, 0.05)):
            what = f"monitors: {name}: alerts a month"
            yield Scenario(
                name=what if ours else f"point: {what}",
                run=lambda rng, worlds=worlds, ours=ours: _alarms(worlds, rng, peers=not ours),
                declared=declared if ours else None,
                kind="ours" if ours else "peers",
                times=times,
                figure=mean,
            )
    yield Scenario(
        name=f"monitors: {_TOGETHER}: alerts a month",
        run=_all_together,
        declared=declared,
        times=0.25,
        figure=mean,
    )
    for name, (monitor, changed) in PLANTED.items():
        for size in SIZES:
            yield Scenario(
                name=f"monitors: {name}, {size} a day: found within four weeks",
                run=lambda rng, monitor=monitor, changed=changed, size=size: _finds(
                    monitor, changed, size, rng
                ),
                kind="power",
                times=0.1,
            )


def opened(looks: Iterator[tuple[int, Measurement]]) -> list[tuple[int, str]]:
    """Day and monitor of every alert that opens, or opens again."""
    found: list[tuple[int, str]] = []
    since: dict[str, int | None] = {}
    resolved: dict[str, int] = {}
    for day, measurement in looks:
        name = measurement.monitor
        before = resolved.get(name)
        lately = before is not None and timedelta(days=day - before) < alerts.SAME_ALERT_WITHIN
        step = alerts.change(
            measurement, unresolved=since.get(name) is not None, just_resolved=lately
        )
        if step in ("opened", "reopened"):
            since[name] = day
            found.append((day, name))
        elif step == "resolved":
            since[name] = None
            resolved[name] = day
    return found


def _watch(rng: Random, *, peers: bool = False, only: Sequence[str] | None = None) -> Watch:
    return Watch(rng, peers=peers, only=only, number=int(rng.integers(REFERENCES)))


def _alarms(worlds: Worlds, rng: Random, *, peers: bool = False) -> float:
    return len(opened(_watch(rng, peers=peers).looks(worlds))) / MONTHS


def _all_together(rng: Random) -> float:
    hourly = requests.silences(requests.QUIET["40 requests an hour"], rng)
    hourly += requests.floods(0.0, rng)
    return _alarms(lambda _: _STEADY, rng) + hourly / MONTHS


def _finds(monitor: str, changed: Mapping[str, float], size: int, rng: Random) -> bool:
    usual = World(requests=size)
    other = replace(usual, **changed)
    looks = _watch(rng, only=[monitor]).looks(lambda day: usual if day < PLANTED_ON else other)
    told = (day for day, one in looks if day >= PLANTED_ON and one.verdict == "alert")
    return next(told, DAYS + FOUND_WITHIN) - PLANTED_ON < FOUND_WITHIN
