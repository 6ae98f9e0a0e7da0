"""Who decides on a candidate: the product, or the rules that peers have.

`point`: what was measured, against production's or against a bar, as the thresholds of most tools
have it. `z test`: two measured shares as if they were of different cases, two-sided, at 0.05.
`McNemar`: the exact paired test, two-sided, at 0.05. For the tests not significantly worse is good
enough. None of them knows looks, groups or requests that failed, and corrections are cases like any
other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportions_ztest

from tuneloop.candidates.promotion import decide
from tuneloop.evaluation.comparison import Standing, compare, standing
from tuneloop.evaluation.decision import DecisionRule, rule_of
from tuneloop.evaluation.paired import mcnemar_exact
from tuneloop.evaluation.results import SuiteResult
from verdict_bench.suites import ACCURACY, right_in

MARGIN = 0.02
Results = Sequence[SuiteResult]
"""Candidate and production in turn, on the deciding suite first."""
Right = NDArray[np.bool_]
"""(cases,) those that are right."""
_LEVEL = 0.05


class Rule(Protocol):
    """Decides on a candidate."""

    @property
    def name(self) -> str:
        """As it stands before the colon."""

    def at(self, look: int) -> Rule:
        """The rule of another look at the same cases."""

    def deploys(self, results: Results) -> bool:
        """Whether the candidate replaces production."""

    def verdict(self, results: Results) -> str:
        """`better`, `worse` or another word."""


@dataclass(frozen=True, kw_only=True)
class Ours:
    """The product's: `compare`, `standing` and `decide`."""

    rule: DecisionRule

    @property
    def name(self) -> str:
        return self.rule.name

    def at(self, look: int) -> Ours:
        return replace(self, rule=self.rule.at(look))

    def deploys(self, results: Results) -> bool:
        return is_deployed(self.standing(results))

    def verdict(self, results: Results) -> str:
        return self.standing(results).verdict

    def standing(self, results: Results) -> Standing:
        """How the candidate stands against production."""
        return standing(
            [
                compare(
                    mine,
                    theirs,
                    label="production",
                    metrics=[ACCURACY],
                    margin=MARGIN,
                    rule=self.rule,
                )
                for mine, theirs in zip(results[::2], results[1::2], strict=True)
            ]
        )


def is_deployed(stands: Standing) -> bool:
    """What the loop does with it, its gates having passed."""
    return decide(gates="passed", gates_reason="", production=stands).deploy


STRICT, BALANCED, LENIENT = (
    Ours(rule=rule_of(name, margin=MARGIN)) for name in ("strict", "balanced", "lenient")
)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A difference counts where it is significant."""

    name: str
    significant: Callable[[Right, Right], bool]
    """of what candidate and production get right"""

    def at(self, look: int) -> Peer:
        return self

    def deploys(self, results: Results) -> bool:
        return self.verdict(results) != "worse"

    def verdict(self, results: Results) -> str:
        mine, theirs = (
            np.concatenate([right_in(result) for result in side])
            for side in (results[::2], results[1::2])
        )
        gained = int(mine.sum()) - int(theirs.sum())
        if not gained or not self.significant(mine, theirs):
            return "as good"
        return "better" if gained > 0 else "worse"


def _by_z(mine: Right, theirs: Right) -> bool:
    n = len(mine)
    return bool(proportions_ztest([mine.sum(), theirs.sum()], [n, n])[1] < _LEVEL)


def _by_mcnemar(mine: Right, theirs: Right) -> bool:
    won, lost = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    return mcnemar_exact(won, lost) < _LEVEL


POINT = Peer(name="point", significant=lambda mine, theirs: True)
PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        POINT,
        Peer(name="z test", significant=_by_z),
        Peer(name="McNemar", significant=_by_mcnemar),
    )
}
