"""Rollouts on simulated traffic, through the real rules: false alarms, detection, what it takes.

    python benchmarks/bench_rollout.py

Every rollout is decided by `tuneloop.deployment.rollout.decide`, looked at after every 20
conversations, from its first step to its end: rolled back, finished, or held for a person after 48
hours in a step (at 600 conversations an hour). Loss is measured against a fixed-size test of two
proportions (one-sided, pooled z) planned for 80 % power at the same error level, and against what
happens to that test's error when it is peeked at as often. Seeds are fixed: the same code gives the
same figures. The last line is one JSON object, also written to benchmarks/results/rollout.json.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from simulated_rollouts import (
    LOOK_EVERY,
    PER_HOUR,
    Daily,
    Ending,
    FromShare,
    Steady,
    Traffic,
    simulate,
)
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from tuneloop import intervals
from tuneloop.deployment.rollout import StageVerdict
from tuneloop.deployment.rollout_plan import Guard, GuardName, RolloutPlan, ShadowStep

RESULTS = Path(__file__).resolve().parent / "results" / "rollout.json"
POWER = 0.8
NULL_ROLLOUTS = 2_000
LOSS_ROLLOUTS = 300
FIXED_RUNS = 20_000
MINIMUM_SAMPLES = (100, 200, 400)
ALPHA = 0.05
GUARDS = 4
"""declared, so that each has a quarter of alpha; the losses are those of one of them"""
LOSSES = tuple(
    (name, base, points)
    for name, base in (("format", 0.02), ("accuracy", 0.10))
    for points in (0.02, 0.05, 0.10)
)


# What is measured


def false_rollbacks() -> dict[str, Any]:
    """Rollouts of a candidate that is exactly as good, by the kind of traffic."""
    one = RolloutPlan(guards=(Guard(name="format"),), alpha=ALPHA)
    names: tuple[GuardName, ...] = ("errors", "format", "edits", "judge")
    four = RolloutPlan(guards=tuple(Guard(name=name) for name in names), alpha=ALPHA)
    hours = 10_000 / PER_HOUR
    endless = replace(one, steps=(0.5,), minimum_samples=10**6, maximum_step_hours=hours)
    cases = {
        "1 % bad": (one, Steady((0.01,))),
        "2 % bad": (one, Steady((0.02,))),
        "10 % bad": (one, Steady((0.10,))),
        "1 % to 10 % bad over the day": (one, Daily(0.01, 0.10)),
        "2 % bad, 20 % from the second step on": (one, FromShare(0.25, before=0.02, after=0.20)),
        "four guards, 0.5, 2, 5 and 10 % bad": (four, Steady((0.005, 0.02, 0.05, 0.10))),
        "10 % bad, 500 looks and never promoted": (endless, Steady((0.10,))),
    }
    found = {}
    for seed, (name, (plan, rates)) in enumerate(cases.items()):
        endings = _many(plan, Traffic(production=rates, candidate=rates), NULL_ROLLOUTS, seed)
        back = sum(one.verdict.action == "roll_back" for one in endings)
        held = sum(one.verdict.needs_person for one in endings)
        figure = intervals.share(back, len(endings))
        found[name] = {
            "rolled_back": _rounded(figure.as_list()),
            "held_for_a_person": round(held / len(endings), 4),
            "conversations_median": statistics.median(one.conversations for one in endings),
        }
        print(f"{name:40} {figure.value:.4f} ({figure.low:.4f}-{figure.high:.4f})", flush=True)
    return found


def detection() -> dict[str, Any]:
    """Rollouts of a worse candidate, by loss and by minimum of samples a step."""
    traffic = {_called(*loss): _worse(*loss[1:]) for loss in LOSSES}
    traffic["format +10 points from 2 %, only from half the traffic on"] = Traffic(
        production=Steady((0.02,)), candidate=FromShare(0.5, before=0.02, after=0.12)
    )
    return {
        name: _by_minimum(
            name,
            {
                minimum: _many(_plan(minimum), one, LOSS_ROLLOUTS, 100)
                for minimum in MINIMUM_SAMPLES
            },
        )
        for name, one in traffic.items()
    }


def in_shadow() -> dict[str, Any]:
    """The paired variant: what a shadow step finds before the candidate serves anybody."""
    found = {}
    for loss in LOSSES:
        endings = {}
        for minimum in MINIMUM_SAMPLES:
            shadow = ShadowStep(minimum_pairs=minimum)
            plan = replace(_plan(1), steps=(0.5,), shadow=shadow)
            every = _many(plan, _worse(*loss[1:]), LOSS_ROLLOUTS, 200)
            # What only a later canary found is no find of the shadow.
            endings[minimum] = [
                one if one.stage.name == "shadow" else replace(one, verdict=_PROMOTED)
                for one in every
            ]
        found[_called(*loss)] = _by_minimum(_called(*loss), endings)
    return found


def fixed_size() -> dict[str, Any]:
    """The fixed-size test at the same error level, and ours at the same even split."""
    found = {}
    for name, base, points in LOSSES:
        needed = _fixed_n(base, points)
        hours = 40 * needed / PER_HOUR
        plan = replace(_plan(10**6), steps=(0.5,), maximum_step_hours=hours)
        endings = _many(plan, _worse(base, points), LOSS_ROLLOUTS, 300)
        by_then = sum(
            one.verdict.action == "roll_back" and one.conversations <= 2 * needed for one in endings
        )
        found[_called(name, base, points)] = one = {
            "conversations": 2 * needed,
            "error_when_peeked_at": _rounded(_peeked(base, needed).as_list()),
            "sequential": _summary(endings),
            "sequential_by_then": round(by_then / len(endings), 4),
        }
        print(
            f"{_called(name, base, points):32} fixed {2 * needed:6,}, ours "
            f"{_told(one['sequential'])}, fixed peeked at: error {one['error_when_peeked_at'][0]}",
            flush=True,
        )
    return found


def main() -> None:
    """Print the tables and the JSON line."""
    began = time.perf_counter()
    print(f"False rollbacks of an equal candidate, of {NULL_ROLLOUTS:,} rollouts")
    false = false_rollbacks()
    print(f"\nFound losses, one of {GUARDS} guards, by minimum of samples a step")
    found = detection()
    print("\nFound by the shadow step, by minimum of pairs")
    paired = in_shadow()
    print(f"\nConversations at an even split, {POWER:.0%} power, alpha {ALPHA / GUARDS}")
    fixed = fixed_size()
    worst = max(one["rolled_back"][0] for one in false.values())
    result = {
        "false_rollback_rate": worst,
        "false_rollbacks": false,
        "detection": found,
        "shadow": paired,
        "fixed_size": fixed,
        "alpha": ALPHA,
        "guards": GUARDS,
        "steps": RolloutPlan(guards=(Guard(name="format"),)).steps,
        "look_every": LOOK_EVERY,
        "seconds": round(time.perf_counter() - began, 1),
    }
    text = json.dumps(result)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)


_PROMOTED = StageVerdict(action="promote", reason="left the shadow step")


def _plan(minimum: int) -> RolloutPlan:
    """One guard with the part of alpha that it has among `GUARDS`."""
    return RolloutPlan(
        guards=(Guard(name="format"),), alpha=ALPHA / GUARDS, minimum_samples=minimum
    )


def _worse(base: float, points: float) -> Traffic:
    return Traffic(production=Steady((base,)), candidate=Steady((base + points,)))


def _called(name: str, base: float, points: float) -> str:
    return f"{name} +{100 * points:.0f} points from {100 * base:.0f} %"


def _many(plan: RolloutPlan, traffic: Traffic, count: int, seed: int) -> list[Ending]:
    seeds = np.random.SeedSequence(seed).spawn(count)
    return list(_pool().map(partial(_one, plan, traffic), seeds, chunksize=50))


def _one(plan: RolloutPlan, traffic: Traffic, seed: np.random.SeedSequence) -> Ending:
    return simulate(plan, traffic, np.random.default_rng(seed))


@cache
def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor()


def _by_minimum(name: str, endings: dict[int, list[Ending]]) -> dict[str, Any]:
    found = {str(minimum): _summary(some) for minimum, some in endings.items()}
    print(f"{name:56}", "; ".join(f"{m}: {_told(one)}" for m, one in found.items()), flush=True)
    return found


def _summary(endings: Sequence[Ending]) -> dict[str, Any]:
    """How many were rolled back, and what it took; numbers of conversations are [p50, p90]."""
    back = [one for one in endings if one.verdict.action == "roll_back"]
    return {
        "rolled_back": _rounded(intervals.share(len(back), len(endings)).as_list()),
        "held_for_a_person": round(sum(e.verdict.needs_person for e in endings) / len(endings), 4),
        "conversations": _p50_p90([one.conversations for one in back]),
        "of_the_candidate": _p50_p90([one.candidate for one in back]),
    }


def _told(summary: dict[str, Any]) -> str:
    rate, total, own = (summary[k] for k in ("rolled_back", "conversations", "of_the_candidate"))
    return f"{rate[0]:.3f} after {total[0]:,} ({own[0]:,} own)" if total else "0.000"


def _p50_p90(values: Sequence[int]) -> list[int]:
    return [int(q) for q in np.quantile(values, [0.5, 0.9])] if values else []


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _fixed_n(base: float, points: float) -> int:
    """Conversations of each bundle (Fleiss, Levin and Paik 2003, section 4.2, without the
    correction for continuity)."""
    return math.ceil(
        samplesize_proportions_2indep_onetail(
            points, base, POWER, alpha=ALPHA / GUARDS, alternative="larger"
        )
    )


def _peeked(base: float, needed: int) -> intervals.Figure:
    """The error of the fixed-size test when it is looked at after every 20 conversations."""
    rng = np.random.default_rng(400)
    half = LOOK_EVERY // 2
    looks = max(1, needed // half)
    n = half * np.arange(1, looks + 1)  # (looks,) conversations of each bundle
    crossed = np.zeros(FIXED_RUNS, dtype=np.bool_)
    for part in np.array_split(np.arange(FIXED_RUNS), 20):
        ours, theirs = np.cumsum(rng.binomial(half, base, (2, len(part), looks)), axis=2)
        pooled = (ours + theirs) / (2 * n)
        spread = np.sqrt(np.maximum(pooled * (1 - pooled) * 2 / n, 1e-12))
        z = (theirs - ours) / n / spread  # (runs, looks)
        crossed[part] = (z > NormalDist().inv_cdf(1 - ALPHA / GUARDS)).any(axis=1)
    return intervals.share(int(crossed.sum()), FIXED_RUNS)


if __name__ == "__main__":
    main()
