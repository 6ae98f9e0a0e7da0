"""The gradual move of an endpoint from one bundle to another: what was seen, what to do next.

Plan and evidence in, verdict with its reason out; nothing here reads a clock, a table or a file.
Every guard is a share of bad answers, so one sequential test (`sequential`) serves them all. A
candidate that is worse in nothing is rolled back with a chance of at most the plan's `alpha`, over
all guards, steps and looks together: each guard gets an equal part of it (Bonferroni).

A unit of evidence is a conversation, counted once, by its first answer in the rollout: its later
requests depend on it, and routing is sticky. An outcome enters when it is final, in the order in
which the conversations began, and does not change afterwards; this keeps the e-values valid while
every look computes them afresh. What is measured on a sample only (a judge) is sampled without
regard to the bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tuneloop.deployment.rollout_plan import GuardName, RolloutPlan, Stage
from tuneloop.deployment.sequential import (
    PAIR_SHARE,
    BadAnswer,
    Split,
    harm_e_values,
    routing_e_value,
)

Action = Literal["hold", "promote", "roll_back", "finish"]
GuardOutcomes = Mapping[GuardName, bool]
"""Guard → whether the answer was bad; guards that could not be measured on it are absent."""

ROUTING_PROOF = 1_000.0
"""The e-value at which the traffic is not divided as declared; one false alarm in 1,000 rollouts"""


# What was seen


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One conversation's first answer in the rollout; in shadow both bundles' first answers."""

    step: int
    """of the stage in which it began"""
    share: float
    """the probability of going to the candidate under the route that answered it"""
    candidate: GuardOutcomes | None = None
    """None: the candidate was not asked"""
    production: GuardOutcomes | None = None
    """None: production was not asked"""

    @property
    def is_pair(self) -> bool:
        """Whether both answered: the traffic was copied, not divided."""
        return self.candidate is not None and self.production is not None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Answers of one bundle in the current step on which a guard was measured."""

    bad: int
    n: int

    def __str__(self) -> str:
        return f"{self.bad} of {self.n} ({self.bad / max(self.n, 1):.1%})"


@dataclass(frozen=True, kw_only=True)
class GuardEvidence:
    """What one guard has seen."""

    name: GuardName
    candidate: Counted
    production: Counted
    found: int
    """bad answers of the candidate that count in the test, over the whole rollout"""
    expected: float
    """the most that an equal candidate would have had of the same bad answers, on average"""
    e_value: float
    """against "not worse", after all that was seen"""
    highest: float
    """the largest e-value so far: what was once proven stays so"""

    @property
    def fewest(self) -> int:
        """Measured conversations of the bundle that has fewer."""
        return min(self.candidate.n, self.production.n)

    def __str__(self) -> str:
        return (
            f"{self.name}: in this step {self.candidate} conversations of the candidate are bad "
            f"and {self.production} of production; in the whole rollout {self.found} count against "
            f"the candidate, where an equal one would have {self.expected:.1f}"
        )


@dataclass(frozen=True, kw_only=True)
class StageEvidence:
    """Everything that a decision is taken on."""

    guards: tuple[GuardEvidence, ...]
    """one for each guard that the stage can measure"""
    candidate: int
    """conversations of the candidate in this step, measured or not"""
    conversations: int
    """conversations of both in this step; in shadow the pairs"""
    routing_e_value: float
    """against "the traffic is divided as declared", over all canary steps"""
    hours: float
    """time in this step, without pauses"""


def weigh(
    plan: RolloutPlan, stage: Stage, observations: Sequence[Observation], *, hours: float
) -> StageEvidence:
    """The evidence of a rollout from its start to now; `hours` is the time in this step."""
    here = [seen for seen in observations if seen.step == stage.step]
    return StageEvidence(
        guards=tuple(
            _weigh_guard(plan, guard.name, observations, here) for guard in plan.measured_in(stage)
        ),
        candidate=sum(seen.candidate is not None for seen in here),
        conversations=len(here),
        routing_e_value=routing_e_value(_splits(observations)),
        hours=hours,
    )


def _weigh_guard(
    plan: RolloutPlan,
    name: GuardName,
    observations: Sequence[Observation],
    here: Sequence[Observation],
) -> GuardEvidence:
    bad_answers = [bad for seen in observations if (bad := _bad_answer(seen, name))]
    values = [1.0, *harm_e_values(bad_answers, steps=len(plan.stages) - 1)]
    return GuardEvidence(
        name=name,
        candidate=_count(name, (seen.candidate for seen in here)),
        production=_count(name, (seen.production for seen in here)),
        found=sum(bad.candidate for bad in bad_answers),
        expected=sum(bad.share for bad in bad_answers),
        e_value=values[-1],
        highest=max(values),
    )


def _bad_answer(seen: Observation, name: GuardName) -> BadAnswer | None:
    """What an observation tells the test; a pair speaks only if exactly one answer was bad."""
    candidate = seen.candidate.get(name) if seen.candidate is not None else None
    production = seen.production.get(name) if seen.production is not None else None
    if seen.is_pair and (candidate is None or production is None or candidate == production):
        return None
    if not (candidate or production):
        return None
    share = PAIR_SHARE if seen.is_pair else seen.share
    return BadAnswer(candidate=bool(candidate), share=share, step=seen.step)


def _count(name: GuardName, outcomes: Iterable[GuardOutcomes | None]) -> Counted:
    measured = [outcome[name] for outcome in outcomes if outcome is not None and name in outcome]
    return Counted(bad=sum(measured), n=len(measured))


def _splits(observations: Iterable[Observation]) -> list[Split]:
    counts: dict[float, list[int]] = {}
    for seen in observations:
        if not seen.is_pair:
            of_share = counts.setdefault(seen.share, [0, 0])
            of_share[0] += seen.candidate is not None
            of_share[1] += 1
    return [
        Split(share=share, candidate=candidate, conversations=n)
        for share, (candidate, n) in counts.items()
    ]


# What to do


@dataclass(frozen=True, kw_only=True)
class StageVerdict:
    """What to do with a rollout now, and why."""

    action: Action
    reason: str
    needs_person: bool = False
    """The rules cannot go on alone; somebody has to look."""


def decide(plan: RolloutPlan, stage: Stage, evidence: StageEvidence) -> StageVerdict:
    """Proven harm goes back, anything in doubt stays, the rest moves on."""
    _refuse_strange(plan, stage, evidence)
    worst = max(evidence.guards, key=lambda guard: guard.highest)
    if worst.highest >= plan.proof:
        return StageVerdict(
            action="roll_back",
            reason=f"{worst} (e-value {worst.highest:.4g}, proof from {plan.proof:.4g})",
        )
    if evidence.routing_e_value >= ROUTING_PROOF:
        return StageVerdict(action="hold", reason=_misrouted(stage, evidence), needs_person=True)
    if doubt := _doubt(plan, stage, evidence):
        late = evidence.hours >= plan.maximum_step_hours
        if late:
            doubt += f"; after {evidence.hours:.4g} hours in this step a person should decide"
        return StageVerdict(action="hold", reason=doubt, needs_person=late)
    following = plan.after(stage)
    return StageVerdict(
        action="finish" if following.name == "full" else "promote",
        reason=f"{stage} → {following}: no harm seen in {evidence.candidate} conversations of the "
        f"candidate ({', '.join(guard.name for guard in evidence.guards)})",
    )


def _doubt(plan: RolloutPlan, stage: Stage, evidence: StageEvidence) -> str:
    """Why this stage cannot be left yet; empty when it can."""
    minimum = plan.minimum(stage)
    fewest = min(evidence.guards, key=lambda guard: guard.fewest)
    if fewest.fewest < minimum:
        bundle = "the candidate" if fewest.candidate.n == fewest.fewest else "production"
        return f"{stage}: {fewest.fewest} of {minimum} conversations of {bundle} ({fewest.name})"
    suspect = max(evidence.guards, key=lambda guard: guard.e_value)
    if suspect.e_value >= plan.hold_at:
        return (
            f"{suspect} (e-value {suspect.e_value:.4g}, suspicion from {plan.hold_at:.4g}, "
            f"proof from {plan.proof:.4g})"
        )
    return ""


def _misrouted(stage: Stage, evidence: StageEvidence) -> str:
    return (
        f"{stage}: {evidence.candidate} of {evidence.conversations} conversations went to the "
        f"candidate; the traffic is not divided as the route declares "
        f"(e-value {evidence.routing_e_value:.4g}), or answers of one bundle are not captured, "
        f"so no guard can be trusted"
    )


def _refuse_strange(plan: RolloutPlan, stage: Stage, evidence: StageEvidence) -> None:
    if stage not in plan.stages[:-1]:
        raise ValueError(f"expected a stage of the plan before full, got {stage!r}")
    wanted = [guard.name for guard in plan.measured_in(stage)]
    given = [guard.name for guard in evidence.guards]
    if wanted != given:
        raise ValueError(f"expected evidence on {wanted}, got {given}")
