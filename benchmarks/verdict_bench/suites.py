"""Answers of two models with known truth on one suite, as the evaluation has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.results import CaseResult, SuiteResult
from tuneloop.evaluation.scorers.base import Score
from tuneloop.evaluation.suites import Case, Suite, make_suite
from tuneloop.evaluation.targets import Answer
from tuneloop.intervals import share

DISAGREEMENT = 0.10
"""Share of the cases on which an equal candidate and production differ."""
ACCURACY = Metric(name="accuracy", about="", scorer=lambda case, output: None)
_ANSWERED, _FAILED = Answer(text="x"), Answer(text="", error="timeout")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Two models: how they do on cases to come."""

    worse: float = 0.0
    """share of the cases by which the candidate is worse than production; below 0: better"""
    production: float = 0.90
    """share that production gets right"""
    disagreement: float = DISAGREEMENT
    cluster_size: int = 1
    correlation: float = 0.0
    """of two cases of one cluster (ICC), in which of the two models wins"""
    failures: tuple[float, float] = (0.0, 0.0)
    """shares of requests without an answer: candidate, production"""

    @property
    def gains(self) -> float:
        """Share of the cases that the candidate alone gets right."""
        return max(0.0, (self.disagreement - self.worse) / 2)

    @property
    def losses(self) -> float:
        """Share of the cases that production alone gets right."""
        return self.gains + self.worse


@cache
def suite_of(n: int, cluster_size: int = 1, kind: str = "held-out") -> Suite:
    """A suite of `n` cases, so many of a group."""
    cases = [
        Case(
            id=str(i),
            messages=({"role": "user", "content": str(i)},),
            expected="x",
            group=str(i // cluster_size),
        )
        for i in range(n)
    ]
    return make_suite(kind, kind, cases)


def drawn(rng: np.random.Generator, suite: Suite, truth: Truth) -> tuple[SuiteResult, SuiteResult]:
    """What candidate and production get right on the cases of one suite."""
    n = len(suite.cases)
    up, down = truth.gains, truth.losses
    both = truth.production - down
    at = _uniform(rng, n, truth)
    # (n,) the candidate alone, production alone, both, neither
    candidate = (at < up) | ((at >= up + down) & (at < up + down + both))
    production = (at >= up) & (at < up + down + both)
    results = [
        _result(suite, right, rng.random(n) < failing)
        for right, failing in zip((candidate, production), truth.failures, strict=True)
    ]
    return results[0], results[1]


def _uniform(rng: np.random.Generator, n: int, truth: Truth) -> NDArray[np.float64]:
    """(n,) uniform numbers; in a cluster some of them are one and the same, so that any two cases
    have the correlation: each case copies its cluster's number with chance sqrt(ICC)."""
    alone = rng.random(n)
    if truth.cluster_size == 1:
        return alone
    of_cluster = rng.random(-(-n // truth.cluster_size)).repeat(truth.cluster_size)[:n]
    return np.where(rng.random(n) < np.sqrt(truth.correlation), of_cluster, alone)


def _result(suite: Suite, right: NDArray[np.bool_], failed: NDArray[np.bool_]) -> SuiteResult:
    ways = np.where(failed, 2, right).tolist()
    cases = {
        case.id: _case_results(case.id)[way] for case, way in zip(suite.cases, ways, strict=True)
    }
    passed = int((right & ~failed).sum())
    return SuiteResult(
        suite=suite,
        target="simulated",
        figures={"accuracy": share(passed, len(right))},
        slices={},
        cases=cases,
        errors=_errors(int(failed.sum())),
        cut_off=0,
    )


def right_in(result: SuiteResult) -> NDArray[np.bool_]:
    """(cases,) those that are right."""
    return np.array([of.scores["accuracy"].value == 1 for of in result.cases.values()])


def result_of(suite: Suite, right: NDArray[np.bool_]) -> SuiteResult:
    """A result in which every request was answered, and these cases are right."""
    return _result(suite, right, np.zeros(len(right), dtype=bool))


def _errors(failed: int) -> Mapping[str, int]:
    return {"timeout": failed} if failed else {}


@cache
def _case_results(case: str) -> tuple[CaseResult, CaseResult, CaseResult]:
    """Wrong, right, and not answered."""
    wrong, right, failed = (
        CaseResult(case=case, answer=answer, scores={"accuracy": Score(value=value)})
        for answer, value in ((_ANSWERED, 0.0), (_ANSWERED, 1.0), (_FAILED, 0.0))
    )
    return wrong, right, failed
