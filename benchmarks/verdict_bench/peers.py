"""The rules that peers decide by, each at its default, on the same draws.

`threshold`: the candidate's measured value against a bar, as evaluation gates of most tools have
it. `z test`: two measured shares as if they were of different cases, at 0.05. `mcnemar`: the paired
exact test at 0.05; not significantly worse is good enough.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tuneloop.evaluation.paired import mcnemar_exact
from tuneloop.evaluation.results import SuiteResult
from verdict_bench.comparisons import SIZES, Run
from verdict_bench.suites import Truth, drawn, suite_of

_LIMIT = 0.05


def peers() -> Iterator[tuple[str, Run]]:
    """Name and a run that errs or not: a candidate that is worse is let through."""
    for n in SIZES:
        for worse in (0.05, 0.10):
            truth, suite = Truth(worse=worse), suite_of(n)

            def let_through(rule, truth=truth, suite=suite) -> Run:  # type: ignore[no-untyped-def]
                return lambda rng: not rule(*drawn(rng, suite, truth))

            yield f"not significantly worse, z test: {worse:.0%} worse, n={n}", let_through(z_worse)
            yield (
                f"not significantly worse, McNemar: {worse:.0%} worse, n={n}",
                let_through(mcnemar_worse),
            )
        yield f"measured value >= 0.90: a model of 0.85, n={n}", _threshold(n, 0.85)
        yield f"measured value >= 0.90, best of 5: a model of 0.85, n={n}", _threshold(n, 0.85, 5)


def _threshold(n: int, truth: float, looks: int = 1) -> Run:
    suite = suite_of(n)

    def passes(rng: np.random.Generator) -> bool:
        result, _ = drawn(rng, suite, Truth(production=truth))
        return result.figures["accuracy"].value >= 0.90

    return lambda rng: any(passes(rng) for _ in range(looks))


def z_worse(candidate: SuiteResult, production: SuiteResult) -> bool:
    """Two independent shares, two-sided (statsmodels)."""
    from statsmodels.stats.proportion import proportions_ztest

    n = len(candidate.cases)
    mine, theirs = (round(r.figures["accuracy"].value * n) for r in (candidate, production))
    if mine >= theirs:
        return False
    return bool(proportions_ztest([mine, theirs], [n, n])[1] < _LIMIT)


def mcnemar_worse(candidate: SuiteResult, production: SuiteResult) -> bool:
    """The exact paired test, two-sided."""
    pairs = [
        (candidate.cases[case].scores["accuracy"].value, of.scores["accuracy"].value)
        for case, of in production.cases.items()
    ]
    won, lost = (sum(pair == way for pair in pairs) for way in ((1.0, 0.0), (0.0, 1.0)))
    return lost > won and mcnemar_exact(won, lost) < _LIMIT
