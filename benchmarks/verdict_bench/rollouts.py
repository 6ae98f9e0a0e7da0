"""Rollouts in which clients give up and model servers refuse.

The declared rate is that of equal candidates that are sent back (the plan's alpha, over all guards,
steps and looks); the share of worse ones is the power. Peers see the status alone: `point` sends a
candidate back when more than 1 % of its answers are 5xx (the success rate of 99 % of canary
controllers), `z test` when it has significantly more of them than production, at any look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from simulated_endings import CANDIDATE, PLAN, SHADOWED, Endings, Row, canary_rows, simulate
from statsmodels.stats.proportion import proportions_ztest

from tuneloop.deployment.rollout_plan import RolloutPlan
from verdict_bench.scenario import Random, Scenario

NOTHING: Endings = {}
EACH = dict.fromkeys(("gave_up", "refused_400", "refused_429", "broken_502"), 0.02)
EQUAL: Mapping[str, tuple[RolloutPlan, Endings]] = {
    "20 % give up after the limit": (PLAN, {"gave_up": 0.20}),
    "20 % leave before the limit": (PLAN, {"left_early": 0.20}),
    "20 % refused with 400": (PLAN, {"refused_400": 0.20}),
    "2 % of each: given up, 400, 429, 502": (PLAN, EACH),
    "5 % failed over": (PLAN, {"failed_over": 0.05}),
    "10 % refused with 429, shadow first": (SHADOWED, {"refused_429": 0.10}),
    "20 % of the client's own errors": (PLAN, {"clients_own_400": 0.20}),
}
WORSE: Mapping[str, tuple[RolloutPlan, Endings]] = {
    "20 % give up after the limit": (PLAN, {"gave_up": 0.20}),
    "20 % leave before the limit": (PLAN, {"left_early": 0.20}),
    "20 % refused with 400": (PLAN, {"refused_400": 0.20}),
    "20 % refused with 413": (PLAN, {"refused_413": 0.20}),
    "20 % too long for its window": (PLAN, {"too_long": 0.20}),
    "5 % give up after the limit": (PLAN, {"gave_up": 0.05}),
    "5 % refused with 429": (PLAN, {"refused_429": 0.05}),
    "20 % too long for its window, shadow first": (SHADOWED, {"too_long": 0.20}),
}
PEERS_FAILURES = 0.01
_LEVEL = 0.05
_FEW = 0.25


def scenarios() -> Iterator[Scenario]:
    """Candidates that are equal, and that are worse."""
    for name, (plan, endings) in EQUAL.items():
        yield from _of(f"rollout: equal, {name} in both arms: sent back", plan, endings, endings)
    for name, (plan, endings) in WORSE.items():
        yield from _of(f"rollout: {name}: sent back", plan, NOTHING, endings)


def _of(
    what: str, plan: RolloutPlan, production: Endings, candidate: Endings
) -> Iterator[Scenario]:
    equal = production == candidate

    def sent_back(rng: Random) -> bool:
        ending = simulate(plan, production=production, candidate=candidate, rng=rng)
        return ending.verdict.action == "roll_back"

    yield Scenario(
        name=what,
        run=sent_back,
        declared=plan.alpha if equal else None,
        kind="ours" if equal else "power",
        times=1.0 if equal else _FEW,
    )
    for name, harmful in (("point", _beyond_the_point), ("z test", _significantly_more)):
        yield Scenario(
            name=f"{name}: {what}",
            run=lambda rng, harmful=harmful: any(
                map(harmful, canary_rows(plan, production, candidate, rng))
            ),
            kind="peers",
            times=_FEW,
        )


Harmful = Callable[[Sequence[Row]], bool]
"""Whether what was answered up to a look sends the candidate back."""


def _beyond_the_point(rows: Sequence[Row]) -> bool:
    failed, n = _failed(rows, candidate=True)
    return failed > PEERS_FAILURES * n


def _significantly_more(rows: Sequence[Row]) -> bool:
    counts = np.array([_failed(rows, candidate=who) for who in (True, False)])  # (2, failed and n)
    if counts[:, 1].min() == 0 or counts[:, 0].sum() in (0, counts[:, 1].sum()):
        return False
    z, p_value = proportions_ztest(counts[:, 0], counts[:, 1])
    return bool(z > 0 and p_value < _LEVEL)


def _failed(rows: Sequence[Row], *, candidate: bool) -> tuple[int, int]:
    status = [row["status"] for row in rows if (row["bundle"] == CANDIDATE) == candidate]
    return sum(code >= 500 for code in status), len(status)
