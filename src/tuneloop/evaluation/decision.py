"""The rule that decides on a candidate, and how often it may err.

A verdict on a sample errs. What is declared is how often a *bad* candidate is let through over the
life of a suite: one that is worse than production, or short of a bar, by `worse_by` or more
passes in at most the share `rate` of the lives. Everything else follows from that number and the
number of cases; `operating` computes it beforehand.

- Against production (Blackwelder 1982, "Proving the null hypothesis in clinical trials", Controlled
  Clinical Trials 3): a one-sided lower bound of the difference lies above minus `worse_by`, the
  measured one within the margin, and it is not significantly worse.
- Against a bar: what was measured reaches the bar, and a one-sided bound of it lies within
  `worse_by` of the bar; `strict`: the bound reaches the bar itself.

Each look at the same cases is another chance for luck, so the k-th spends the share 1 / (k (k + 1))
of the rate: all looks together never spend more than the whole (the union bound; spending as in Lan
and DeMets 1983, "Discrete sequential boundaries for clinical trials", Biometrika 70).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from tuneloop import intervals

DecisionName = Literal["strict", "balanced", "lenient"]

CLAIM_RATE = 1 - intervals.CONFIDENCE
"""How often an equal candidate may be called better, or worse, over the life of a suite."""


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """How bad a candidate must be kept out, and how often it may pass all the same."""

    name: DecisionName
    worse_by: float
    """share of the cases; a candidate that is worse by this much is the one to keep out"""
    rate: float
    """how often it passes at most, over the life of a suite"""
    gate_slack: float
    """how far below a bar the bound of a measured share may lie"""
    look: int = 1
    """which look at these cases it is, from 1; 0: at what is looked at once only"""

    @property
    def spent(self) -> float:
        """The part of an error rate that this look may use."""
        return 1 / (self.look * (self.look + 1)) if self.look else 1.0

    @property
    def level(self) -> float:
        """How often the candidate to keep out passes this look at most."""
        return self.rate * self.spent

    @property
    def claim_level(self) -> float:
        """The p-value (two-sided) from which on this look calls a candidate better."""
        return CLAIM_RATE * self.spent

    def at(self, look: int) -> DecisionRule:
        """The rule of another look at the same cases."""
        return replace(self, look=look)

    @property
    def sentence(self) -> str:
        """What it promises, e.g. in a report."""
        return (
            f"{self.name}: a candidate that is {points(self.worse_by)} worse is let through in at "
            f"most {100 * self.level:.2g}% at this look, and in {100 * self.rate:.3g}% over all "
            "looks at the same cases"
        )


_RULES: Mapping[DecisionName, tuple[float, float, float]] = MappingProxyType(
    {"strict": (0.0, 0.025, 0.0), "balanced": (0.05, 0.20, 0.05), "lenient": (0.10, 0.20, 0.10)}
)
"""Name → worse_by (at least the margin), rate, gate_slack; why these: docs/decisions/0040."""


def rule_of(name: DecisionName, *, margin: float) -> DecisionRule:
    """The rule with this name; what the model file's `margin` allows is never kept out."""
    worse_by, rate, slack = _RULES[name]
    return DecisionRule(name=name, worse_by=max(worse_by, margin), rate=rate, gate_slack=slack)


def points(share: float) -> str:
    """A share of the cases in words, e.g. `5 points`."""
    value = f"{100 * share:.3g}"
    return f"{value} point" if value == "1" else f"{value} points"
