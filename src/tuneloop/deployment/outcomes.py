"""From captured traffic to the observations that a rollout is judged on."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tuneloop.conversation import thoughts
from tuneloop.deployment.rollout import Observation
from tuneloop.deployment.rollout_plan import Guard, GuardName, RolloutPlan, ShadowStep
from tuneloop.deployment.rollouts import Rollout, RolloutEvent
from tuneloop.intervals import order_statistic
from tuneloop.modelfile import RolloutSettings
from tuneloop.storage import captured
from tuneloop.storage.spool import CLIENT_LEFT
from tuneloop.storage.traffic import Traffic
from tuneloop.task.answer_form import corrects

Fits = Callable[[str], bool]
"""Whether an answer has the declared form."""

_SETTLING = timedelta(seconds=2)
"""Gateways follow a route change within a second; conversations that begin meanwhile are left out,
whichever bundle they got."""
_COLUMNS = (
    "id",
    "time",
    "bundle",
    "failover_from",
    "status",
    "error",
    "response",
    "tool_calls",
    "latency_ms",
    "completion_tokens",
    "conversation",
)
_BASELINE = timedelta(days=7)
_BASELINE_ANSWERS = 100
_LENGTH_MARGIN = 1.25


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A span of time in which the routes stayed the same."""

    since: datetime
    step: int
    share: float
    counts: bool
    """Whether the rollout was running."""


def observe(
    traffic: Traffic,
    rollout: Rollout,
    events: Sequence[RolloutEvent],
    *,
    fits: Fits,
    now: datetime,
) -> list[Observation]:
    """Each conversation's first answer in the rollout, in the order in which they began.

    Whether an answer was edited counts once people had the declared time to do it, not before:
    early edits would be all that is seen of young answers. A request that the gateway refused for
    what the client sent says nothing about a bundle; one that the model server refused, or that its
    client gave up, does (`outcomes`). Of the answers that the judge scores,
    which a hash of their ids decides, its last verdict counts.

    Raises:
        StoreError: the tables cannot be read.
    """
    steps = [
        _Step(
            since=event.at,
            step=int(event.detail["step"]),
            share=float(event.detail["share"]),
            counts=event.detail["status"] == "running",
        )
        for event in events
    ]
    copies = _copies(traffic, rollout) if rollout.plan.shadow else {}
    names = rollout.plan.guard_names
    edits = _edits(traffic, rollout) if "edits" in names else {}
    judgements = _judgements(traffic, rollout) if "judge" in names else {}
    wait = timedelta(minutes=rollout.plan.edit_minutes)
    observations = []
    for row in _first_of_each(traffic, rollout):
        if now - row["time"] >= wait:
            row["edited"] = _edited(row, edits.get(row["id"], ()), until=row["time"] + wait)
        if said := judgements.get(row["id"]):
            row["judged_bad"] = not json.loads(said)["passed"]
        if _clients_own(row):
            continue
        observation = _observation(row, _at(steps, row["time"]), copies, rollout, fits)
        if observation is not None:
            observations.append(observation)
    return observations


def plan_for(
    traffic: Traffic,
    settings: RolloutSettings,
    *,
    endpoint: str,
    bundle: str,
    timeout_seconds: float,
    now: datetime,
) -> RolloutPlan:
    """The plan that the model file declares, with limits from production's last week.

    An answer is slow above production's 95th percentile, and of odd length a quarter beyond its 1st
    or 99th percentile of tokens: one more value in the declared form may make all answers a little
    longer, which harms nobody. Guards for which production has answered too little are left out.
    A client that leaves when its answer is slow already was failed; where nothing says what is
    slow, after the endpoint's own `timeout_seconds`.
    """
    seen = _answers_of(traffic, endpoint, bundle, since=now - _BASELINE, until=now)
    return RolloutPlan(
        guards=tuple(_guards(settings, seen, timeout_ms=timeout_seconds * 1_000)),
        shadow=ShadowStep(minimum_pairs=settings.shadow_pairs) if settings.shadow else None,
        steps=settings.steps,
        minimum_samples=settings.minimum_samples,
        edit_minutes=settings.edit_minutes,
        maximum_step_hours=settings.maximum_step_hours,
    )


def _guards(
    settings: RolloutSettings, seen: Sequence[tuple[float, int | None]], *, timeout_ms: float
) -> Iterator[Guard]:
    """The declared guards, with limits from what production answered."""
    slow = None
    if len(seen) >= _BASELINE_ANSWERS:
        slow = order_statistic([latency for latency, _ in seen], 0.95)
    for name in settings.guards:
        if name == "errors":
            yield Guard(name=name, above=timeout_ms if slow is None else slow)
        elif name in ("format", "aborts", "edits", "judge"):
            yield Guard(name=name)
        elif name == "latency" and slow is not None:
            yield Guard(name=name, above=slow)
        elif name == "length":
            tokens = [float(t) for _, t in seen if t is not None]
            if len(tokens) >= _BASELINE_ANSWERS:
                low, high = order_statistic(tokens, 0.01), order_statistic(tokens, 0.99)
                yield Guard(name=name, below=low / _LENGTH_MARGIN, above=high * _LENGTH_MARGIN)


def _answers_of(
    traffic: Traffic, endpoint: str, bundle: str, *, since: datetime, until: datetime
) -> list[tuple[float, int | None]]:
    """Latency in ms and tokens of whole answers."""
    chats = captured.chats(traffic, endpoint=endpoint, bundle=bundle, since=since, until=until)
    frame = chats.filter(captured.whole()).select("latency_ms", "completion_tokens").collect()
    return list(frame.iter_rows())


def _observation(
    row: Mapping[str, Any],
    step: _Step | None,
    copies: Mapping[str, Mapping[str, Any]],
    rollout: Rollout,
    fits: Fits,
) -> Observation | None:
    if step is None or not step.counts:
        return None
    outcome = outcomes(row, rollout.plan, fits)
    # Whoever answered in its place: a failure is that of the bundle that should have.
    asked = row["failover_from"] or row["bundle"]
    if rollout.plan.stages[step.step].name == "shadow":
        copy = copies.get(row["id"])
        if copy is None or _clients_own(copy) or asked != rollout.production:
            return None
        candidate = outcomes(copy, rollout.plan, fits)
        return Observation(
            step=step.step, share=step.share, candidate=candidate, production=outcome
        )
    if asked == rollout.candidate:
        return Observation(step=step.step, share=step.share, candidate=outcome)
    if asked == rollout.production:
        return Observation(step=step.step, share=step.share, production=outcome)
    return None


def outcomes(row: Mapping[str, Any], plan: RolloutPlan, fits: Fits) -> dict[GuardName, bool]:
    """Guard → whether the answer was bad; what could not be measured is absent.

    A client that left shows how long it waited, and not how the answer would have ended: beyond the
    limit that was slow and as good as failed, before it nobody knows. That it left counts either
    way, as an outcome of its own (`aborts`).
    """
    bad = {guard.name: _outcome(guard, row, fits) for guard in plan.guards}
    return {name: outcome for name, outcome in bad.items() if outcome is not None}


def _outcome(guard: Guard, row: Mapping[str, Any], fits: Fits) -> bool | None:
    left = bool(row["status"] == CLIENT_LEFT)
    failed = bool(row.get("failover_from")) or captured.is_failure(row["status"], row["error"])
    if guard.name == "aborts":
        return left
    if guard.name == "errors" and (failed or not left):
        return failed
    if left and guard.name in ("errors", "latency"):
        return True if guard.above is not None and row["latency_ms"] > guard.above else None
    value = None if failed or left else _value(guard, row, fits)
    return None if value is None else guard.is_bad(value)


def _clients_own(row: Mapping[str, Any]) -> bool:
    """Whether the gateway refused what the client sent, without the word of a model server."""
    status, error = row["status"], row["error"]
    refused = 400 <= status < 500 and status != CLIENT_LEFT
    return refused and not captured.is_failure(status, error)


def _value(guard: Guard, row: Mapping[str, Any], fits: Fits) -> float | None:
    if guard.name == "format":
        if row.get("tool_calls"):  # The declared form is that of answers in words.
            return 0.0
        return float(not fits(thoughts.answer_in(row["response"] or "")))
    if guard.name == "latency":
        return float(row["latency_ms"])
    if guard.name == "length" and row["completion_tokens"] is not None:
        return float(row["completion_tokens"])
    if guard.name == "edits" and "edited" in row:
        return float(row["edited"])
    if guard.name == "judge" and "judged_bad" in row:
        return float(row["judged_bad"])
    return None


def _first_of_each(traffic: Traffic, rollout: Rollout) -> Iterator[dict[str, Any]]:
    chats = captured.chats(
        traffic, endpoint=rollout.endpoint, since=rollout.created_at, until=rollout.finished_at
    )
    frame = captured.first_of_conversations(chats.select(_COLUMNS)).collect()
    yield from frame.iter_rows(named=True)


def _copies(traffic: Traffic, rollout: Rollout) -> dict[str, dict[str, Any]]:
    import polars as pl

    frame = (
        traffic.scan("shadows", since=rollout.created_at)
        .filter(pl.col("bundle") == rollout.candidate)
        .sort("id")
        .unique("interaction", keep="first", maintain_order=True)
        .collect()
    )
    return {row["interaction"]: row for row in frame.iter_rows(named=True)}


def _edits(traffic: Traffic, rollout: Rollout) -> dict[str, list[tuple[datetime, str]]]:
    """Interaction → when it was edited, and the edits as JSON."""
    said = captured.feedback(traffic, "edit", since=rollout.created_at)
    edits: dict[str, list[tuple[datetime, str]]] = {}
    for interaction, time, value in said.select("interaction", "time", "value").collect().rows():
        edits.setdefault(interaction, []).append((time, value))
    return edits


def _judgements(traffic: Traffic, rollout: Rollout) -> dict[str, str]:
    """Interaction → the judge's last verdict as JSON."""
    said = captured.feedback(traffic, "judgement", since=rollout.created_at)
    return dict(captured.last_said(said).select("interaction", "value").collect().iter_rows())


def _edited(
    row: Mapping[str, Any], edits: Sequence[tuple[datetime, str]], *, until: datetime
) -> bool:
    """Whether somebody put something else in the answer's place in time."""
    in_time = (value for time, value in edits if time <= until)
    return any(corrects(value, row["response"] or "") for value in in_time)


def _at(steps: Sequence[_Step], time: datetime) -> _Step | None:
    """The step in which a conversation began, None where the routes were just changing."""
    place = bisect_right([step.since for step in steps], time) - 1
    if place < 0:
        return None
    return steps[place] if time - steps[place].since >= _SETTLING else None
