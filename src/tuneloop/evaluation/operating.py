"""Operating characteristics: how often the decision errs on so many cases, either way.

They are computed from the rule itself, over every way in which so many cases can come out (exact
enumeration of the trinomial distribution of cases won, lost and equal); what is far out in its
tails, less than one in a million, is left out.

What nobody knows beforehand is on how many cases the two answers differ. Two good models that were
tuned on nearly the same rows differ on few, and few cases show much; the share is a part of the
answer, and after an evaluation it is the one that was seen. Of graded scores it is the spread of
the differences, and the mean is taken as normal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from tuneloop import intervals
from tuneloop.evaluation.decision import CLAIM_RATE, DecisionRule, points
from tuneloop.evaluation.gates import Gate, SuiteSize, reaches
from tuneloop.evaluation.paired import Paired

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WORSE = (0.02, 0.05, 0.10)
"""Shares of the cases by which a bad candidate is worse."""
USUAL_DISAGREEMENT = 0.10
"""Share of the cases on which two versions of a model differ, where none has been seen."""
USUAL_SPREAD = 0.15
"""Standard deviation of the differences of a graded score, where none has been seen."""
WANTED = 0.8
"""How often an equal candidate should be let through before more cases would be a waste."""
HARDLY_EVER = 0.75
"""Refusals of an equal candidate from which on a new version will hardly ever be deployed."""
MOST_CASES = 20_000
_TAILS = 5.0
"""Standard deviations around the mean that are gone through."""


@dataclass(frozen=True, kw_only=True)
class Operating:
    """What the decision against production does on `cases` cases."""

    cases: int
    disagreement: float
    """share of the cases on which an equal candidate and production differ; of graded scores the
    standard deviation of their differences"""
    look: int
    equal_refused: float
    """how often a candidate that is as good as production is refused"""
    let_through: Mapping[float, float]
    """share of the cases by which it is worse → how often it is let through"""
    seen_from: float | None
    """smallest loss that is let through in one of five at most; None: beyond a half"""
    needed: int | None
    """cases on which an equal candidate is let through in four of five; None: more than can be"""

    def as_json(self) -> dict[str, Any]:
        """In JSON form."""
        return {**vars(self), "let_through": {f"{k:g}": v for k, v in self.let_through.items()}}

    @property
    def sentence(self) -> str:
        """For people, e.g. before a training."""
        listed = ", ".join(
            f"{points(worse)} {_percent(passed)}" for worse, passed in self.let_through.items()
        )
        enough = f"about {self.needed:,} cases" if self.needed else f"over {MOST_CASES:,} cases"
        return (
            f"On {self.cases:,} cases a candidate as good as production is refused in "
            f"{_percent(self.equal_refused)}; one that is worse is let through: by {listed}. "
            f"To let an equal one through in {WANTED:.0%} takes {enough}."
        )


def operating(
    rule: DecisionRule, *, cases: int, margin: float, disagreement: float = USUAL_DISAGREEMENT
) -> Operating:
    """How the rule does on so many independent cases with pass or fail."""
    passes = _of_shares(rule, margin, disagreement)
    return _characteristics(rule, cases, disagreement, passes)


def operating_on_means(
    rule: DecisionRule, *, cases: int, margin: float, spread: float = USUAL_SPREAD
) -> Operating:
    """The same of a graded score, whose differences have the standard deviation `spread`."""
    return _characteristics(rule, cases, spread, _of_means(rule, margin, spread))


def cases_for(rule: DecisionRule, *, passing: float, margin: float, graded: bool) -> int | None:
    """The fewest cases on which an equal candidate is let through so often; None: more than can be.

    `graded`: by a score, not by pass or fail; either differs as much as is usual.
    """
    passes = (
        _of_means(rule, margin, USUAL_SPREAD)
        if graded
        else _of_shares(rule, margin, USUAL_DISAGREEMENT)
    )
    return _fewest(lambda n: passes(n, 0.0) >= passing)


def _of_shares(
    rule: DecisionRule, margin: float, disagreement: float
) -> Callable[[int, float], float]:
    def passes(n: int, worse: float) -> float:
        return let_through(rule, n=n, margin=margin, worse=worse, disagreement=disagreement)

    return passes


def _of_means(rule: DecisionRule, margin: float, spread: float) -> Callable[[int, float], float]:
    def passes(n: int, worse: float) -> float:
        error = max(spread, 1e-6) / math.sqrt(n)
        asked = max(-margin, -rule.worse_by + _z(rule.level) * error)
        return 1 - NormalDist(mu=-worse, sigma=error).cdf(asked)

    return passes


def operating_of(paired: Paired, rule: DecisionRule, *, margin: float) -> Operating:
    """How the decision that was made on a metric errs, with the disagreement that was seen.

    Two imagined cases that changed sides, one each way, keep it from being none. Cases of groups
    count for as many as in the decision itself; of graded scores the groups are the units.
    """
    if paired.graded:
        n = paired.clusters or paired.difference.n
        width = (paired.difference.high - paired.difference.low) / 2
        spread = width / intervals.two_sided_z(intervals.CONFIDENCE) * math.sqrt(n)
        return operating_on_means(rule, cases=n, margin=margin, spread=spread)
    n = paired.difference.n if paired.worth is None else max(1, round(paired.worth))
    seen = (paired.won + paired.lost + 2) / (paired.difference.n + 4)
    # A judge sees less of every difference; what its labels leave open is not counted here.
    shrunk = replace(rule, worse_by=rule.worse_by * paired.youden)
    passes = _of_shares(shrunk, margin * paired.youden, seen)
    return _characteristics(
        rule, n, seen, lambda cases, worse: passes(cases, worse * paired.youden)
    )


def _characteristics(
    rule: DecisionRule, cases: int, disagreement: float, passes: Callable[[int, float], float]
) -> Operating:
    losses = [at / 100 for at in range(1, 51)]
    return Operating(
        cases=cases,
        disagreement=disagreement,
        look=rule.look,
        equal_refused=1 - passes(cases, 0.0),
        let_through={worse: passes(cases, worse) for worse in WORSE},
        seen_from=next((worse for worse in losses if passes(cases, worse) <= 1 - WANTED), None),
        needed=_fewest(lambda n: passes(n, 0.0) >= WANTED),
    )


def let_through(
    rule: DecisionRule, *, n: int, margin: float, worse: float, disagreement: float
) -> float:
    """The probability that a candidate that is `worse` by this share of the cases is accepted.

    `disagreement` is the share of the cases on which the two differ; at least `worse`.
    """
    import numpy as np
    from scipy.stats import multinomial

    up = max(0.0, (disagreement - worse) / 2)
    down = up + worse
    won, lost = np.meshgrid(_likely(n, up), _likely(n, down), indexing="ij")
    possible = won + lost <= n
    won, lost = won[possible], lost[possible]
    taken = accepts(won, lost, n, margin=margin, rule=rule)
    counts = np.stack([won, lost, n - won - lost], axis=-1)
    chances = multinomial.pmf(counts[taken], n, [up, down, 1 - up - down])
    return float(min(1.0, chances.sum()))


def accepts(won: Any, lost: Any, n: int, *, margin: float, rule: DecisionRule) -> Any:
    """Whether the rule accepts a candidate that won and lost so many of `n` cases (arrays).

    The same as `paired` says of each of them one by one, which a test holds it to.
    """
    import numpy as np
    from scipy.stats import binom

    measured = (won - lost) / n
    sure = intervals.paired_score_z(won, lost, n, -rule.worse_by) >= _z(rule.level)
    not_worse = intervals.paired_score_z(won, lost, n, -margin) >= _z(rule.claim_level / 2)
    p_value = np.minimum(1.0, 2 * binom.cdf(np.minimum(won, lost), won + lost, 0.5))
    worse = (measured < 0) & (p_value < CLAIM_RATE) & ~not_worse
    return sure & (measured >= -margin) & ~worse


def gate_passes(gate: Gate, rule: DecisionRule, size: SuiteSize, *, truth: float) -> float:
    """The probability that a candidate whose share is in truth `truth` passes a gate on a share."""
    import numpy as np
    from scipy.stats import binom

    n = size.cases
    passed = [reaches(gate, successes, size, rule) for successes in range(n + 1)]
    return float(binom.pmf(np.arange(n + 1), n, truth)[passed].sum())


def _likely(n: int, share: float) -> npt.NDArray[np.int64]:
    """Counts of `n` cases that happen with this share, but for those that hardly ever do."""
    import numpy as np

    spread = _TAILS * math.sqrt(n * share * (1 - share)) + _TAILS
    at = n * share
    return np.arange(max(0, math.floor(at - spread)), min(n, math.ceil(at + spread)) + 1)


def _z(level: float) -> float:
    return NormalDist().inv_cdf(1 - level)


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number that is enough, to two digits; None: none up to `MOST_CASES` is."""
    high = 20
    while not enough(high):
        high *= 2
        if high > MOST_CASES:
            return None
    low = high // 2
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
