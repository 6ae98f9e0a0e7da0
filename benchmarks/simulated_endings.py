"""Rollouts whose requests end as they do in life: answered, slow, refused, given up.

The traffic is rows of the traffic tables, made by the seed. What they say of a bundle is read by
`tuneloop.deployment.outcomes.observe`, weighed by `weigh` and judged by `decide`: as the controller
does it, without its stores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import polars as pl

from tuneloop.deployment.outcomes import observe
from tuneloop.deployment.rollout import Observation, StageVerdict, decide, weigh
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan, ShadowStep, Stage
from tuneloop.deployment.rollouts import Rollout, RolloutEvent
from tuneloop.storage.spool import CLIENT_LEFT
from tuneloop.storage.traffic import Table, Traffic

Row = dict[str, Any]
Endings = Mapping[str, float]
"""Ending → the share of a bundle's requests that end so; the others are answered."""

SLOW_MS = 900.0
"""Production's 95th percentile: 5 % of all answers are slower."""
_ANSWER: Row = {
    "status": 200,
    "error": None,
    "failover_from": None,
    "response": "{}",
    "tool_calls": None,
    "completion_tokens": 9,
}
ENDINGS: Mapping[str, Row] = {
    "gave_up": {"status": CLIENT_LEFT, "error": "client_left", "latency_ms": 30_000.0},
    "left_early": {"status": CLIENT_LEFT, "error": "client_left", "latency_ms": 200.0},
    "refused_400": {"status": 400, "error": "upstream_error", "latency_ms": 5.0},
    "too_long": {"status": 400, "error": "context_length_exceeded", "latency_ms": 5.0},
    "refused_413": {"status": 413, "error": "upstream_error", "latency_ms": 5.0},
    "refused_429": {"status": 429, "error": "upstream_error", "latency_ms": 5.0},
    "broken_502": {"status": 502, "error": "upstream_reset", "latency_ms": 5.0},
    "failed_over": {"latency_ms": 300.0},
    "clients_own_400": {"status": 400, "error": "invalid_value", "latency_ms": 1.0},
}
GUARDS = (
    Guard(name="errors", above=SLOW_MS),
    Guard(name="format"),
    Guard(name="latency", above=SLOW_MS),
    Guard(name="aborts"),
)
PLAN = RolloutPlan(guards=GUARDS, steps=(0.25, 0.5), minimum_samples=100)
SHADOWED = replace(PLAN, shadow=ShadowStep(minimum_pairs=100))
LOOK_EVERY = 50
"""conversations"""
PER_HOUR = 600
_NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CANDIDATE, PRODUCTION = "new", "old"
_BEFORE = "before"
"""The bundle that stands in for production."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one rollout ended."""

    verdict: StageVerdict
    stage: Stage
    conversations: int


class _Rows:
    """The tables of a `Traffic` that a look reads, in memory."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {"interactions": [], "shadows": [], "feedback": []}

    def scan(
        self, table: Table, *, since: datetime | None = None, until: datetime | None = None
    ) -> pl.LazyFrame:
        """All rows of a table; those of a look lie in its time."""
        return pl.LazyFrame(self.tables[table], schema=_SCHEMAS[table], orient="row")


_COMMON = {
    "id": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "endpoint": pl.String,
    "bundle": pl.String,
    "status": pl.Int64,
    "error": pl.String,
    "response": pl.String,
    "tool_calls": pl.String,
    "latency_ms": pl.Float64,
    "completion_tokens": pl.Int64,
    "conversation": pl.String,
}
_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "interactions": _COMMON
    | {"failover_from": pl.String, "operation": pl.String, "tags": pl.String},
    "shadows": _COMMON | {"interaction": pl.String},
    "feedback": {"interaction": pl.String, "kind": pl.String, "time": pl.Datetime("us", "UTC")},
}


def simulate(
    plan: RolloutPlan, *, production: Endings, candidate: Endings, rng: np.random.Generator
) -> Ending:
    """One rollout from its first conversation to its end."""
    return _Rolling(plan, production, candidate, rng).ending()


def canary_rows(
    plan: RolloutPlan, production: Endings, candidate: Endings, rng: np.random.Generator
) -> Iterator[Sequence[Row]]:
    """Everything that was answered up to each look at which the candidate has the plan's minimum of
    samples, where nobody stops the canary."""
    rolling = _Rolling(plan, production, candidate, rng)
    rows: list[Row] = []
    for stage in plan.stages[:-1]:
        if stage.name == "canary":
            for _ in range(math.ceil(plan.minimum_samples / stage.share / LOOK_EVERY)):
                rows += rolling.asked(stage).tables["interactions"]
                if sum(row["bundle"] == CANDIDATE for row in rows) >= plan.minimum_samples:
                    yield rows


class _Rolling:
    """One rollout under way."""

    def __init__(
        self, plan: RolloutPlan, production: Endings, candidate: Endings, rng: np.random.Generator
    ) -> None:
        self._plan, self._rng = plan, rng
        self._endings = {PRODUCTION: production, CANDIDATE: candidate}
        self._asked = 0
        self._now = _NOON
        self._observations: list[Observation] = []
        self._events: list[RolloutEvent] = []

    def ending(self) -> Ending:
        """Step by step, a look after every `LOOK_EVERY` conversations."""
        for stage in self._plan.stages[:-1]:
            verdict = self._stage(stage)
            if verdict.action != "promote":
                break
        return Ending(verdict=verdict, stage=stage, conversations=self._asked)

    def _stage(self, stage: Stage) -> StageVerdict:
        where = {"step": stage.step, "share": stage.share, "status": "running"}
        self._events.append(RolloutEvent(event="promote", actor="", detail=where, at=self._now))
        self._now += timedelta(seconds=10)
        began = self._asked
        while True:
            # Every conversation is its own, so what was seen before stays as it was seen.
            self._observations += self._look(stage)
            hours = (self._asked - began) / PER_HOUR
            seen = weigh(self._plan, stage, self._observations, hours=hours)
            verdict = decide(self._plan, stage, seen)
            if verdict.action != "hold" or verdict.needs_person:
                return verdict

    def asked(self, stage: Stage) -> _Rows:
        """What is asked between two looks, and how it ends."""
        rows = _Rows()
        for _ in range(LOOK_EVERY):
            self._asked += 1
            self._now += timedelta(milliseconds=100)
            mine = stage.name == "canary" and self._rng.random() < stage.share
            asked = self._row(CANDIDATE if mine else PRODUCTION)
            rows.tables["interactions"].append(asked)
            copied = asked["error"] not in ("client_left", "invalid_value")
            if stage.name == "shadow" and copied:
                rows.tables["shadows"].append(self._row(CANDIDATE) | {"interaction": asked["id"]})
        return rows

    def _look(self, stage: Stage) -> list[Observation]:
        rows = self.asked(stage)
        rollout = Rollout(
            id="r",
            model="desk",
            endpoint="desk",
            candidate=CANDIDATE,
            production=PRODUCTION,
            plan=self._plan,
            stage=stage,
            status="running",
            detail="",
            revision=1,
            created_at=_NOON,
            step_since=_NOON,
            finished_at=None,
        )
        now = self._now + timedelta(hours=2)
        return observe(cast(Traffic, rows), rollout, self._events, fits=_fits, now=now)

    def _row(self, bundle: str) -> Row:
        identity = f"{self._asked:032x}"
        common = {"id": identity, "conversation": identity, "time": self._now, "endpoint": "desk"}
        slow = self._rng.random() < 0.05
        row = _ANSWER | common | {"bundle": bundle, "latency_ms": 1_200.0 if slow else 300.0}
        drawn = self._rng.random()
        for name, share in self._endings[bundle].items():
            if drawn < share:
                row |= ENDINGS[name]
                if name == "failed_over":
                    stands_in = {PRODUCTION: _BEFORE, CANDIDATE: PRODUCTION}[bundle]
                    row |= {"bundle": stands_in, "failover_from": bundle}
                break
            drawn -= share
        return row


def _fits(answer: str) -> bool:
    return True
