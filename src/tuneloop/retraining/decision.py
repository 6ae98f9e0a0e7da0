"""Whether a candidate may replace production: a pure rule over gates and comparison."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The paired comparison with production, on the same cases."""

    verdict: str
    """better, not_worse, worse or inconclusive"""
    reason: str
    difference: float
    """Candidate minus production on the main metric; more is better."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Deploy or not, and why."""

    deploy: bool
    reason: str


def decide(*, gates: str, gates_reason: str, production: Compared | None) -> Decision:
    """Gates first; then not worse than production.

    When the cases are too few to tell (inconclusive), a candidate that did at least as well as
    production on them is accepted and the reason says so; one that did worse is not.
    """
    if gates != "passed":
        return Decision(deploy=False, reason=f"the gates are {gates}: {gates_reason}")
    if production is None:
        return Decision(deploy=True, reason="the gates passed and nothing is in production yet")
    if production.verdict in ("better", "not_worse"):
        word = production.verdict.replace("_", " ")
        return Decision(
            deploy=True, reason=f"the gates passed and it is {word}: {production.reason}"
        )
    if production.verdict == "inconclusive" and production.difference >= 0:
        return Decision(
            deploy=True,
            reason="the gates passed; the cases are too few to prove it not worse than production, "
            f"but it did at least as well on them: {production.reason}",
        )
    return Decision(deploy=False, reason=f"production does better: {production.reason}")
