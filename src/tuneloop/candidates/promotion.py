"""Whether a candidate may replace production, and whether it has had its chance: pure rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tuneloop.deployment.admission import LIVE, Past, admission
from tuneloop.evaluation.comparison import Standing
from tuneloop.evaluation.decision import points
from tuneloop.hashing import short


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Deploy or not, and why."""

    deploy: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class JudgedCandidate:
    """The candidate that a cycle would make, as it was made and judged before."""

    bundle: str
    gates: str
    """passed, failed or refused"""
    compared_with: str | None
    """What was in production when it was evaluated; None: nothing was."""
    decision: Decision


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Why an equal candidate would be nothing new."""

    how: Literal["in production", "being rolled out", "refused", "rolled back"]
    reason: str
    """What became of the one before: "was refused because …"."""
    remedy: str = "To try it all the same: tuneloop run --force"


_GATES_SAID = {"failed": "it missed a gate", "refused": "it could not pass its gates"}


def decide(
    *,
    gates: str,
    gates_reason: str,
    production: Standing | None,
    base: Standing | None = None,
) -> Decision:
    """Gates first; then not worse than production, as `evaluation.decision` has it.

    Standings from before there was a declared error rate are read as they were made: a candidate
    that did at least as well as production on too few cases was accepted. What it seems to have
    lost on other suites is said whatever the decision, and so is what tuning cost for sure beside
    the task, against production or the untuned `base`.
    """
    alarms = [
        f"against {who}, {said}"
        for who, stands in (("production", production), ("the base", base))
        if stands is not None
        for said in stands.alarms
    ]
    made = _decided(gates, gates_reason, production)
    return replace(made, reason="; but look: ".join([made.reason, *alarms]))


def _decided(gates: str, gates_reason: str, production: Standing | None) -> Decision:
    if gates != "passed":
        said = _GATES_SAID.get(gates, f"the gates are {gates}")
        return Decision(deploy=False, reason=f"{said}: {gates_reason}")
    if production is None:
        return Decision(
            deploy=True, reason="the gates passed, and nothing was in production to compare it with"
        )
    reasons = "; but look: ".join([production.reason, *production.warnings])
    if production.accepted is False:
        return Decision(
            deploy=False, reason=f"{production.objection} (against production): {reasons}"
        )
    if production.verdict in ("better", "not_worse"):
        word = production.verdict.replace("_", " ")
        return Decision(deploy=True, reason=f"the gates passed and it is {word}: {reasons}")
    if production.accepted and production.rule is not None:
        return Decision(
            deploy=True,
            reason=f"the gates passed, and {_kept_out(production.rule)}: {reasons}",
        )
    if production.verdict == "inconclusive" and production.difference >= 0:
        return Decision(
            deploy=True,
            reason="the gates passed; the cases are too few to prove it not worse than production, "
            f"but it did at least as well on them: {reasons}",
        )
    return Decision(deploy=False, reason=f"production does better: {reasons}")


def _kept_out(rule: Mapping[str, Any]) -> str:
    return (
        f"one that is {points(rule['worse_by'])} worse than production would have been kept out "
        f"in {1 - rule['level']:.1%} of such cases"
    )


def settled(before: JudgedCandidate, *, production: str | None, past: Past) -> Settled | None:
    """Whether the matter is closed for a candidate that was made before; None: it may be tried.

    A missed gate is final, since the same gates would be asked the same. A comparison holds as long
    as the same bundle is in production. What `admission` says holds until somebody takes it back.
    All of it is about what the candidate does, whichever bundle it happened to.
    """
    if before.bundle == production:
        return Settled(how="in production", reason="is in production")
    refused = Settled(how="refused", reason=f"was refused because {before.decision.reason}")
    if before.gates != "passed":
        return refused
    alike = past.alike(before.bundle)
    if production is not None and production in alike:
        reason = f"behaves as {short(production)}, which is in production"
        return Settled(how="in production", reason=reason)
    kept = {refusal.how: refusal for refusal in admission(before.bundle, past)}
    for how in LIVE:
        if how in kept:
            refusal = kept[how]
            return Settled(
                how="rolled back", reason=refusal.about(before.bundle), remedy=refusal.remedy
            )
    under_way = next((one for one in past.rollouts if one.candidate in alike and one.active), None)
    if under_way is not None:
        return Settled(how="being rolled out", reason=f"is being rolled out ({under_way.id})")
    if "not passed" in kept:
        refusal = kept["not passed"]
        return Settled(how="refused", reason=refusal.about(before.bundle), remedy=refusal.remedy)
    if before.compared_with == production and not before.decision.deploy:
        return refused
    return None
