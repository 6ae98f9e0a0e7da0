"""What a rollout declares before it starts: guards, steps, how much is enough, how sure is sure.

shadow (a copy of the traffic) → canary, one step a share → full
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import msgspec

from tuneloop.errors import DeploymentError
from tuneloop.hashing import digest_json

GuardName = Literal["errors", "format", "latency", "length", "aborts", "edits", "judge"]
StageName = Literal["shadow", "canary", "full"]

_REMEDY = "Correct the rollout's plan and start it again."


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One thing that may not get worse: the share of answers that are bad in this sense."""

    name: GuardName
    above: float | None = None
    """latency in ms, length in tokens: answers above are bad, e.g. production's p95; errors in ms:
    a request that its client gave up after a longer wait has failed (None: it says nothing)"""
    below: float | None = None
    """length in tokens: answers below are bad"""

    def __post_init__(self) -> None:
        above, below = self.above is not None, self.below is not None
        wanted, fits = {
            "errors": ("`above` or no limit", not below),
            "latency": ("`above` alone", above and not below),
            "length": ("`above`, `below` or both", above or below),
        }.get(self.name, ("no limit", not above and not below))
        given = f"above={self.above}, below={self.below}"
        _expect(fits, f"guard {self.name!r}: expected {wanted}, got {given}")

    def is_bad(self, value: float) -> bool:
        """Whether a measured value is bad: ms, tokens, or 1 for a bad answer of the other kinds."""
        if self.above is None and self.below is None:
            return bool(value)
        too_much = self.above is not None and value > self.above
        return too_much or (self.below is not None and value < self.below)

    @property
    def in_shadow(self) -> bool:
        """Whether it can be measured on answers that nobody sees, waits for, or scores."""
        return self.name not in ("aborts", "edits", "judge")


@dataclass(frozen=True, kw_only=True)
class ShadowStep:
    """Both bundles answer; clients see production's answers only."""

    share: float = 1.0
    """of the conversations, that are copied to the candidate"""
    minimum_pairs: int = 200
    """conversations that both must have answered"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a rollout is."""

    name: StageName
    step: int
    """position among the plan's stages, from 0"""
    share: float
    """of the conversations, that the candidate answers"""

    def __str__(self) -> str:
        return f"{self.name} {self.share:.4g}" if self.name == "canary" else self.name


@dataclass(frozen=True, kw_only=True)
class RolloutPlan:
    """Everything that decides a rollout, fixed before it starts."""

    guards: tuple[Guard, ...]
    shadow: ShadowStep | None = None
    """None: no shadow, the first step is a canary"""
    steps: tuple[float, ...] = (0.05, 0.25, 0.5)
    """the candidate's share of the conversations in each canary step"""
    minimum_samples: int = 200
    """conversations of each bundle, in each canary step, on which every guard was measured"""
    alpha: float = 0.05
    """the most that the chance of a false rollback may be, over all guards, steps and looks"""
    hold_at: float = 2.0
    """e-value from which a guard is under suspicion: nobody is promoted on suspicion"""
    edit_minutes: float = 60.0
    """how long people have to correct an answer before it counts as one that they left as it was"""
    maximum_step_hours: float = 48.0
    """after this long in one step a person is asked to decide"""

    def __post_init__(self) -> None:
        names = self.guard_names
        _expect(bool(names), "expected at least one guard")
        _expect(len(set(names)) == len(names), f"expected each guard once, got {list(names)}")
        ascending = all(lower < higher for lower, higher in pairwise((0.0, *self.steps, 1.0)))
        _expect(
            bool(self.steps) and ascending,
            f"expected steps that rise between 0 and 1, such as (0.05, 0.25, 0.5), "
            f"got {self.steps}",
        )
        _at_least_one("minimum_samples", self.minimum_samples)
        _within("alpha", self.alpha, low=1e-6, high=0.5)
        _within("hold_at", self.hold_at, low=1.0, high=self.proof)
        _within("edit_minutes", self.edit_minutes, low=0.0, high=10_000.0)
        _within("maximum_step_hours", self.maximum_step_hours, low=0.01, high=10_000.0)
        if self.shadow:
            _expect(
                any(guard.in_shadow for guard in self.guards),
                f"expected a guard that shadow can measure, got {list(names)}",
            )
            _within("shadow.share", self.shadow.share, low=1e-6, high=1.0)
            _at_least_one("shadow.minimum_pairs", self.shadow.minimum_pairs)

    @property
    def guard_names(self) -> tuple[GuardName, ...]:
        """In the order of their declaration."""
        return tuple(guard.name for guard in self.guards)

    @property
    def proof(self) -> float:
        """The e-value at which a guard's harm is proven."""
        return len(self.guards) / self.alpha

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """From the first to `full`."""
        named: list[tuple[StageName, float]] = [("shadow", 0.0)] if self.shadow else []
        named += [("canary", share) for share in self.steps]
        named.append(("full", 1.0))
        return tuple(
            Stage(name=name, step=step, share=share) for step, (name, share) in enumerate(named)
        )

    def after(self, stage: Stage) -> Stage:
        """The stage that a promotion leads to."""
        return self.stages[stage.step + 1]

    def measured_in(self, stage: Stage) -> tuple[Guard, ...]:
        """The guards that this stage can measure."""
        return tuple(g for g in self.guards if stage.name != "shadow" or g.in_shadow)

    def minimum(self, stage: Stage) -> int:
        """Conversations of each bundle that the stage needs."""
        if stage.name == "shadow" and self.shadow:
            return self.shadow.minimum_pairs
        return self.minimum_samples

    @property
    def digest(self) -> str:
        """The plan's identity, by which it is locked."""
        return digest_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The plan in JSON's types, complete."""
        # Through the types once, so that 48 and 48.0 hours are the same plan.
        typed = msgspec.convert(msgspec.to_builtins(self), type(self))
        plain: dict[str, Any] = msgspec.to_builtins(typed)
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RolloutPlan:
        """The plan that `to_json` wrote.

        Raises:
            DeploymentError: a field is missing, has the wrong type or a value that cannot be.
        """
        try:
            return msgspec.convert(data, cls)
        except msgspec.ValidationError as e:
            raise DeploymentError(f"Rollout plan: {e}.", remedy=_REMEDY) from e


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise DeploymentError(f"Rollout plan: {message}.", remedy=_REMEDY)


def _within(field: str, value: float, *, low: float, high: float) -> None:
    _expect(low <= value <= high, f"{field}: expected {low:g} to {high:g}, got {value:g}")


def _at_least_one(field: str, value: int) -> None:
    _expect(value >= 1, f"{field}: expected 1 or more, got {value}")
