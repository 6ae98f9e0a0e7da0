"""Rollouts on simulated traffic: every decision is taken by the real rules.

The traffic is numbers: how often each bundle's answers are bad. The counting between two looks is
numpy's; the e-values, the evidence and the verdicts are tuneloop's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tuneloop.deployment.rollout import Counted, GuardEvidence, StageEvidence, StageVerdict, decide
from tuneloop.deployment.rollout_plan import RolloutPlan, Stage
from tuneloop.deployment.sequential import (
    PAIR_SHARE,
    BadAnswer,
    Split,
    harm_e_values,
    routing_e_value,
)

LOOK_EVERY = 20
PER_HOUR = 600
COMMON = 0.5
"""of production's bad answers, that an equal candidate gives as well (same request, in shadow)"""


class Rates(Protocol):
    """How often answers are bad."""

    def __call__(self, index: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) position of the conversation, (n,) share of the candidate → (guards, n) chances."""


@dataclass(frozen=True)
class Steady:
    """The same all day, one rate a guard."""

    rates: tuple[float, ...]

    def __call__(self, index: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.repeat(np.array(self.rates)[:, None], len(index), axis=1)


@dataclass(frozen=True)
class Daily:
    """Swings over the day between two values."""

    low: float
    high: float

    def __call__(self, index: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        wave = (1 - np.cos(2 * np.pi * index / (24 * PER_HOUR))) / 2
        return (self.low + (self.high - self.low) * wave)[None, :]


@dataclass(frozen=True)
class FromShare:
    """Jumps exactly when the candidate's share reaches `start`."""

    start: float
    before: float
    after: float

    def __call__(self, index: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(share >= self.start, self.after, self.before)[None, :]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """How often each bundle's answers are bad."""

    production: Rates
    candidate: Rates


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one rollout ended."""

    verdict: StageVerdict
    stage: Stage
    conversations: int
    candidate: int
    """conversations that the candidate answered"""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some conversations in order; in shadow, pairs."""

    candidate: NDArray[np.int64]
    """(n,) answers of the candidate"""
    production: NDArray[np.int64]
    candidate_bad: NDArray[np.bool_]
    """(guards, n)"""
    production_bad: NDArray[np.bool_]


def simulate(plan: RolloutPlan, traffic: Traffic, rng: np.random.Generator) -> Ending:
    """One rollout from its first conversation to its end."""
    bad: list[list[BadAnswer]] = [[] for _ in plan.guards]
    splits: list[Split] = []
    asked = answered = 0
    for stage in plan.stages[:-1]:
        verdict, split = _stage(plan, stage, traffic, rng, bad=bad, splits=splits, began=asked)
        asked += split.conversations
        answered += split.candidate
        if stage.name == "canary":
            splits.append(split)
        if verdict.action != "promote":
            break
    return Ending(verdict=verdict, stage=stage, conversations=asked, candidate=answered)


def _stage(
    plan: RolloutPlan,
    stage: Stage,
    traffic: Traffic,
    rng: np.random.Generator,
    *,
    bad: list[list[BadAnswer]],
    splits: Sequence[Split],
    began: int,
) -> tuple[StageVerdict, Split]:
    """One stage until it is left; adds to `bad` what the stage saw."""
    needed = plan.minimum(stage) / (stage.share or 1.0)
    size = LOOK_EVERY * round(min(1.3 * needed, 4_000) / LOOK_EVERY + 1)
    before = Counts.none(len(plan.guards))
    known: Sequence[float] = []
    while True:
        n = before.conversations
        block = _block(stage, traffic, rng, index=np.arange(began + n, began + n + size))
        values = _values(plan, stage, block, bad)
        for counts, weights in zip(_at_looks(block, before), values, strict=True):
            if _nothing_new(plan, stage, counts, highest := [w.highest for w in weights], known):
                continue
            known = highest
            evidence = _evidence(plan, stage, counts, weights, splits)
            verdict = decide(plan, stage, evidence)
            if verdict.action != "hold" or verdict.needs_person:
                split = Split(
                    share=stage.share,
                    candidate=counts.candidate,
                    conversations=counts.conversations,
                )
                for answers, weight in zip(bad, weights, strict=True):
                    del answers[weight.bad :]  # the rest of the block never happened
                return verdict, split
        before = counts


class Weight(NamedTuple):
    """What one guard's test says at one look."""

    e_value: float
    highest: float
    found: int
    expected: float
    bad: int
    """answers that count in the test so far"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one look counts in its stage."""

    conversations: int
    candidate: int
    production: int
    candidate_bad: Sequence[int]
    """(guards,)"""
    production_bad: Sequence[int]

    @classmethod
    def none(cls, guards: int) -> Counts:
        """Nothing yet."""
        zeros = [0] * guards
        return cls(
            conversations=0, candidate=0, production=0, candidate_bad=zeros, production_bad=zeros
        )


def _nothing_new(
    plan: RolloutPlan,
    stage: Stage,
    counts: Counts,
    highest: Sequence[float],
    known: Sequence[float],
) -> bool:
    """Whether a look would find what the last one found: no new high, too few, and still in time.

    A look costs more than the conversations between two, and most are of this kind.
    """
    return (
        highest == known
        and min(counts.candidate, counts.production) < plan.minimum(stage)
        and counts.conversations < plan.maximum_step_hours * PER_HOUR
    )


def _at_looks(block: Block, before: Counts) -> Iterable[Counts]:
    ends = np.arange(LOOK_EVERY, len(block.candidate) + 1, LOOK_EVERY) - 1
    candidate = before.candidate + np.cumsum(block.candidate)[ends]
    production = before.production + np.cumsum(block.production)[ends]
    candidate_bad = np.cumsum(block.candidate_bad, axis=1)[:, ends].T + before.candidate_bad
    production_bad = np.cumsum(block.production_bad, axis=1)[:, ends].T + before.production_bad
    columns = (ends, candidate, production, candidate_bad, production_bad)
    for end, c, p, c_bad, p_bad in zip(*(column.tolist() for column in columns), strict=True):
        yield Counts(
            conversations=before.conversations + end + 1,
            candidate=c,
            production=p,
            candidate_bad=c_bad,
            production_bad=p_bad,
        )


def _values(
    plan: RolloutPlan, stage: Stage, block: Block, bad: list[list[BadAnswer]]
) -> list[tuple[Weight, ...]]:
    """(looks, guards); `bad` grows by the block."""
    share = PAIR_SHARE if stage.name == "shadow" else stage.share
    kinds = [BadAnswer(candidate=one, share=share, step=stage.step) for one in (False, True)]
    columns = []
    for guard, known in enumerate(bad):
        theirs, ours = block.candidate_bad[guard], block.production_bad[guard]
        speaks = theirs ^ ours
        count = len(known) + np.cumsum(speaks)[LOOK_EVERY - 1 :: LOOK_EVERY]
        known += [kinds[one] for one in theirs[speaks].tolist()]
        values = np.array([1.0, *harm_e_values(known, steps=len(plan.stages) - 1)])
        found = np.cumsum([0, *(one.candidate for one in known)])[count]
        expected = np.cumsum([0.0, *(one.share for one in known)])[count]
        at = np.minimum(count, len(values) - 1)  # the test ended where harm was beyond doubt
        highest = np.maximum.accumulate(values)[at]
        column = (values[at], highest, found, expected, count)
        columns.append([Weight(*row) for row in zip(*(c.tolist() for c in column), strict=True)])
    return list(zip(*columns, strict=True))


def _evidence(
    plan: RolloutPlan,
    stage: Stage,
    counts: Counts,
    weights: Sequence[Weight],
    splits: Sequence[Split],
) -> StageEvidence:
    guards = [
        GuardEvidence(
            name=guard.name,
            candidate=Counted(bad=counts.candidate_bad[i], n=counts.candidate),
            production=Counted(bad=counts.production_bad[i], n=counts.production),
            found=weight.found,
            expected=weight.expected,
            e_value=weight.e_value,
            highest=weight.highest,
        )
        for i, (guard, weight) in enumerate(zip(plan.guards, weights, strict=True))
    ]
    now = Split(share=stage.share, candidate=counts.candidate, conversations=counts.conversations)
    divided = [*splits, now] if stage.name == "canary" else splits
    return StageEvidence(
        guards=tuple(guards),
        candidate=counts.candidate,
        conversations=counts.conversations,
        routing_e_value=routing_e_value(divided),
        hours=counts.conversations / PER_HOUR,
    )


def _block(
    stage: Stage, traffic: Traffic, rng: np.random.Generator, *, index: NDArray[np.int64]
) -> Block:
    share = np.full(len(index), stage.share)
    ours, theirs = traffic.production(index, share), traffic.candidate(index, share)
    if stage.name == "shadow":
        everyone = np.ones(len(index), dtype=np.int64)
        both = COMMON * ours
        drawn = rng.random(ours.shape)
        only_ours = (both <= drawn) & (drawn < ours)
        only_theirs = (ours <= drawn) & (drawn < ours + theirs - both)
        return Block(
            candidate=everyone,
            production=everyone,
            candidate_bad=(drawn < both) | only_theirs,
            production_bad=(drawn < both) | only_ours,
        )
    chosen = rng.random(len(index)) < stage.share
    bad = rng.random(ours.shape) < np.where(chosen, theirs, ours)
    return Block(
        candidate=chosen.astype(np.int64),
        production=(~chosen).astype(np.int64),
        candidate_bad=bad & chosen,
        production_bad=bad & ~chosen,
    )
