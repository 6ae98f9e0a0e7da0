"""A candidate judged on what production was asked before: pairs in, verdict out; `replay` asks.

The two answers to a captured request are a pair as those of a shadow stage are, so the same
functions judge them (`outcomes`, `weigh`, `decide`): a backtest says what the shadow stage of the
declared plan would have said on these requests, before any live copy is made. What people answered
in production's place is compared beside that; it decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tuneloop import intervals
from tuneloop.deployment.outcomes import outcomes
from tuneloop.deployment.rollout import Counted, GuardEvidence, Observation, decide, weigh
from tuneloop.deployment.rollout_plan import GuardName, RolloutPlan, ShadowStep
from tuneloop.intervals import Figure
from tuneloop.task.answer_form import WRONG, Fits, edited_text, same_text

BacktestVerdict = Literal["worse", "undecided", "no_harm_seen"]
Standing = Literal["worse", "suspicious", "too_few", "no_harm_seen"]

_VERDICTS: Mapping[str, BacktestVerdict] = {"roll_back": "worse", "hold": "undecided"}
EXAMPLES = 5
"""Pairs of different answers that are shown."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one bundle made of a request; the fields of the traffic tables that are scored."""

    status: int
    error: str | None
    """Reason code of a failure."""
    response: str
    tool_calls: str | None
    """JSON text."""
    latency_ms: float
    completion_tokens: int | None

    def __str__(self) -> str:
        return f"({self.error})" if self.error else self.response or self.tool_calls or ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One captured request with the answers of both bundles."""

    interaction: str
    question: str
    """The last user turn, as far as it is text."""
    production: Answer
    """As captured."""
    candidate: Answer
    correction: str | None = None
    """The right answer, where feedback has one."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What was asked again, and what was left out of the captured chats."""

    candidate: str
    """Bundle id."""
    production: str
    """Bundle id; its answers are those that clients got."""
    since: datetime
    chats: int
    """Captured since then on the endpoint."""
    left_out: Mapping[str, int]
    """Reason → how many of them were not asked again."""
    redacted: bool
    """The candidate read the redacted text, production had read what the client sent."""


@dataclass(frozen=True, kw_only=True)
class GuardResult:
    """What the pairs say on one guard; shares are of bad answers."""

    name: GuardName
    standing: Standing
    candidate: Figure | None
    """None: it was measured on no pair."""
    production: Figure | None
    candidate_only: int
    """Pairs in which only the candidate's answer is bad."""
    production_only: int
    e_value: float
    """The highest against "the candidate is not worse"."""


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """How often each bundle says what a person said in production's place.

    People correct what they find wrong, so production's share is low by the choice of the cases.
    """

    candidate: Figure | None
    production: Figure | None
    trained_on: int
    """Left out: corrections that the candidate has learned."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A request that the two answer differently."""

    interaction: str
    question: str
    production: str
    candidate: str
    bad: tuple[GuardName, ...]
    """Guards on which only the candidate's answer is bad."""


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """What a candidate makes of production's requests."""

    verdict: BacktestVerdict
    reason: str
    pairs: int
    replayed: Replayed
    guards: tuple[GuardResult, ...]
    agreement: Figure | None
    """Share of equal answers among the pairs that both answered."""
    corrected: Corrected | None
    """None: no feedback holds a right answer."""
    differences: tuple[Difference, ...]
    """A few; those that count against the candidate come first."""


def shadow_first(plan: RolloutPlan, *, pairs: int) -> RolloutPlan:
    """The plan with a shadow stage of so many pairs, if it has none of its own."""
    return replace(plan, shadow=plan.shadow or ShadowStep(minimum_pairs=pairs))


def conclude(
    plan: RolloutPlan,
    pairs: Sequence[Pair],
    *,
    fits: Fits,
    replayed: Replayed,
    trained_on: Collection[str] = (),
) -> Backtest:
    """Score the pairs, which are in the order in which their conversations began.

    `plan` begins with a shadow stage; `trained_on` are the interactions whose correction the
    candidate was trained on.
    """
    stage = plan.stages[0]
    seen = [_observed(pair, plan, fits) for pair in pairs]
    evidence = weigh(plan, stage, seen, hours=0.0)
    said = decide(plan, stage, evidence)
    verdict, reason = _VERDICTS.get(said.action, "no_harm_seen"), said.reason
    if verdict == "no_harm_seen":  # the plan's own reason speaks of the next step
        names = ", ".join(guard.name for guard in evidence.guards)
        reason = f"no guard is worse in {len(pairs)} pairs ({names})"
    return Backtest(
        verdict=verdict,
        reason=reason,
        pairs=len(pairs),
        replayed=replayed,
        guards=tuple(_result(plan, guard, plan.minimum(stage)) for guard in evidence.guards),
        agreement=_agreement(pairs),
        corrected=_corrected(pairs, trained_on),
        differences=_differences(pairs, seen),
    )


def correction_in(kind: str, value_json: str, fits: Fits) -> str | None:
    """The right answer that a piece of feedback holds; None where it holds none.

    An edit is one. A label is one if it has the declared form of an answer: other labels say
    something about an answer, not what it should have been.
    """
    if kind == "edit":
        return edited_text(value_json)
    if kind != "label":
        return None
    value = json.loads(value_json)  # written by the gateway, or by us
    if value == WRONG:
        return None
    text = value if isinstance(value, str) else value_json
    return text if fits(text) else None


def same_answer(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same: text, or JSON however it is written, and tool calls."""
    ours, theirs = _calls(one.tool_calls), _calls(other.tool_calls)
    return (
        same_text(one.response, other.response)
        and [name for name, _ in ours] == [name for name, _ in theirs]
        and all(same_text(a, b) for (_, a), (_, b) in zip(ours, theirs, strict=True))
    )


def _observed(pair: Pair, plan: RolloutPlan, fits: Fits) -> Observation:
    return Observation(
        step=0,
        share=0.0,
        candidate=outcomes(vars(pair.candidate), plan, fits),
        production=outcomes(vars(pair.production), plan, fits),
    )


def _result(plan: RolloutPlan, guard: GuardEvidence, minimum: int) -> GuardResult:
    standing: Standing = "no_harm_seen"
    if guard.highest >= plan.proof:
        standing = "worse"
    elif guard.e_value >= plan.hold_at:
        standing = "suspicious"
    elif guard.fewest < minimum:
        standing = "too_few"
    one_sided = round(guard.expected * 2)  # an equal candidate would have half of them
    return GuardResult(
        name=guard.name,
        standing=standing,
        candidate=_share(guard.candidate),
        production=_share(guard.production),
        candidate_only=guard.found,
        production_only=one_sided - guard.found,
        e_value=guard.highest,
    )


def _share(counted: Counted) -> Figure | None:
    return intervals.share(counted.bad, counted.n) if counted.n else None


def _of(flags: Iterable[bool]) -> Figure | None:
    values = list(flags)
    return intervals.share(sum(values), len(values)) if values else None


def _agreement(pairs: Sequence[Pair]) -> Figure | None:
    return _of(
        same_answer(pair.production, pair.candidate)
        for pair in pairs
        if pair.production.error is None and pair.candidate.error is None
    )


def _corrected(pairs: Sequence[Pair], trained_on: Collection[str]) -> Corrected | None:
    known = [(pair, pair.correction) for pair in pairs if pair.correction is not None]
    if not known:
        return None
    fresh = [(pair, right) for pair, right in known if pair.interaction not in trained_on]
    return Corrected(
        candidate=_of(same_text(pair.candidate.response, right) for pair, right in fresh),
        production=_of(same_text(pair.production.response, right) for pair, right in fresh),
        trained_on=len(known) - len(fresh),
    )


def _differences(
    pairs: Sequence[Pair], observations: Sequence[Observation]
) -> tuple[Difference, ...]:
    differences = [
        Difference(
            interaction=pair.interaction,
            question=pair.question,
            production=str(pair.production),
            candidate=str(pair.candidate),
            bad=_bad_for_candidate_alone(seen),
        )
        for pair, seen in zip(pairs, observations, strict=True)
        if not same_answer(pair.production, pair.candidate)
    ]
    return tuple(sorted(differences, key=lambda difference: not difference.bad)[:EXAMPLES])


def _bad_for_candidate_alone(seen: Observation) -> tuple[GuardName, ...]:
    production = seen.production or {}
    return tuple(
        name
        for name, bad in (seen.candidate or {}).items()
        if bad and production.get(name) is False
    )


def _calls(tool_calls: str | None) -> list[tuple[str, str]]:
    """Names and arguments; the ids are drawn anew by every server."""
    functions = [call.get("function") or {} for call in json.loads(tool_calls or "[]")]
    return [(str(function.get("name")), str(function.get("arguments"))) for function in functions]
