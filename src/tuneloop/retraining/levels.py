"""How much of the loop runs on its own: what each level allows, and which one is reached.

| level | the worker may | a person |
|---|---|---|
| 1 manual | measure, ask golden suites, say what it would do | starts every cycle, deploys |
| 2 automated evaluation | the same: at 2 its measurements can be relied on | the same |
| 3 monitored retraining | also start a cycle when a trigger says so | judges it, deploys |
| 4 end to end | also begin the rollout, once its deployment is approved | approves the deployment |

The level that is declared decides what the worker does; the level that is reached says how much of
what such a level relies on is really there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuneloop.modelfile import ModelSettings
from tuneloop.retraining.triggers import RetrainDecision

TITLES = {
    0: "nothing in production",
    1: "manual",
    2: "automated evaluation",
    3: "monitored retraining",
    4: "end to end",
}
HIGHEST = 4


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the worker may do on its own."""

    may_start_cycle: bool
    """When a trigger says so; a cycle that a person asked for it runs at every level."""
    may_begin_rollout: bool
    """Once its deployment is approved."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One thing that a level relies on."""

    level: int
    what: str
    """For example "a golden suite"."""
    met: bool
    found: str
    """What there is, for people: "missing", "one only"."""

    def __str__(self) -> str:
        return f"{self.what}: {self.found}"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The level that is declared, the one that is reached, and what the next one needs."""

    declared: int
    level: int
    """The highest whose requirements, and those of all below, are met."""
    title: str
    next_needs: tuple[str, ...]
    """What is missing for the level after it; empty at the highest."""

    def __str__(self) -> str:
        told = f"level {self.level} of {HIGHEST} ({self.title}), declared {self.declared}"
        if not self.next_needs:
            return told
        return f"{told}; level {self.level + 1} needs: {'; '.join(self.next_needs)}"


def allowed(model: ModelSettings) -> Allowed:
    """What the worker may do on its own at the level of the model file.

    Level 4 begins a rollout only where `approvals.deploy` says whose approval it takes: without
    that rule nobody could have approved it.
    """
    level = model.automation.level
    return Allowed(
        may_start_cycle=level >= 3,
        may_begin_rollout=level >= 4 and model.approvals.deploy is not None,
    )


def starts_cycle(decision: RetrainDecision, model: ModelSettings) -> bool:
    """Whether the worker begins a cycle on this decision."""
    return decision.action == "retrain" and allowed(model).may_start_cycle


def consequence(decision: RetrainDecision, model: ModelSettings) -> str:
    """What the worker does about a decision, for people."""
    level = model.automation.level
    at = f"automation level {level} ({TITLES[level]})"
    if decision.action == "ask":
        return f"{at}: the worker does nothing; a person is asked to act"
    if decision.action == "do_not":
        return f"{at}: the worker does nothing"
    if not starts_cycle(decision, model):
        return f"{at}: the worker starts no cycle; do it with: tuneloop cycle start"
    rest = (
        "begins the rollout once its deployment is approved"
        if allowed(model).may_begin_rollout
        else "stops before anything is deployed, for a person to judge the evaluation"
    )
    return f"{at}: the worker starts a cycle and {rest}"


def reached(requirements: Sequence[Requirement], *, declared: int) -> Reached:
    """The level that the requirements allow, whatever is declared."""
    unmet = [requirement.level for requirement in requirements if not requirement.met]
    level = min(unmet, default=HIGHEST + 1) - 1
    missing = [
        requirement
        for requirement in requirements
        if requirement.level == level + 1 and not requirement.met
    ]
    return Reached(
        declared=declared,
        level=level,
        title=TITLES[level],
        next_needs=tuple(str(requirement) for requirement in missing),
    )
