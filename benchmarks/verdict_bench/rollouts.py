"""Rollouts in which clients give up and model servers refuse.

Each scenario says how often it was rolled back. `declared`: the most that an equal candidate may
be (the plan's alpha, over all guards, steps and looks); None where the candidate is worse, and the
share that was rolled back is the power.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from simulated_endings import PLAN, SHADOWED, Endings, simulate

from tuneloop import intervals
from tuneloop.deployment.rollout_plan import RolloutPlan

NOTHING: Endings = {}
EQUAL: dict[str, tuple[RolloutPlan, Endings, Endings]] = {
    f"rollout: equal, {what} in both arms": (plan, endings, endings)
    for what, plan, endings in (
        ("20 % give up after the limit", PLAN, {"gave_up": 0.20}),
        ("20 % leave before the limit", PLAN, {"left_early": 0.20}),
        ("20 % refused with 400", PLAN, {"refused_400": 0.20}),
        (
            "2 % of each: given up, 400, 429, 502",
            PLAN,
            dict.fromkeys(("gave_up", "refused_400", "refused_429", "broken_502"), 0.02),
        ),
        ("5 % failed over", PLAN, {"failed_over": 0.05}),
        ("10 % refused with 429, shadow first", SHADOWED, {"refused_429": 0.10}),
        ("20 % of the client's own errors", PLAN, {"clients_own_400": 0.20}),
    )
}
WORSE: dict[str, tuple[RolloutPlan, Endings, Endings]] = {
    f"rollout: {what}": (plan, NOTHING, endings)
    for what, plan, endings in (
        ("20 % give up after the limit", PLAN, {"gave_up": 0.20}),
        ("20 % leave before the limit", PLAN, {"left_early": 0.20}),
        ("20 % refused with 400", PLAN, {"refused_400": 0.20}),
        ("20 % too long for its window", PLAN, {"too_long": 0.20}),
        ("5 % give up after the limit", PLAN, {"gave_up": 0.05}),
        ("5 % refused with 429", PLAN, {"refused_429": 0.05}),
        ("20 % too long for its window, shadow first", SHADOWED, {"too_long": 0.20}),
    )
}


def scenarios(runs: int, *, processes: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and `{"declared", "measured": [share rolled back, low, high], "n"}` of each."""
    for seed, (name, (plan, production, candidate)) in enumerate((EQUAL | WORSE).items()):
        one = partial(rolled_back, plan, production, candidate)
        seeds = [(seed, run) for run in range(runs)]
        if processes > 1:
            with ProcessPoolExecutor(processes) as pool:
                found = list(pool.map(one, seeds, chunksize=20))
        else:
            found = [one(seed) for seed in seeds]
        figure = intervals.share(sum(found), runs)
        yield (
            name,
            {
                "declared": plan.alpha if name in EQUAL else None,
                "measured": [round(value, 4) for value in figure.as_list()[:3]],
                "n": runs,
            },
        )


def rolled_back(
    plan: RolloutPlan, production: Endings, candidate: Endings, seed: tuple[int, int]
) -> bool:
    """Whether one rollout was."""
    rng = np.random.default_rng(seed)
    ending = simulate(plan, production=production, candidate=candidate, rng=rng)
    return ending.verdict.action == "roll_back"
