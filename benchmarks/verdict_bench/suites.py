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
_ALONE, _PRODUCTION, _BOTH, _NEITHER = range(4)
"""Who gets a case right: the candidate alone, production alone, both, neither."""
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
    """of two cases of one cluster (ICC), in which of the two models is right"""
    copies: bool = True
    """a cluster is alike because its cases repeat each other, all or none; False: because it has
    rates of its own, each case for itself (Dirichlet; of one model alone beta-binomial)"""
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
    way = _ways(rng, n, truth)
    candidate, production = (way == _ALONE) | (way == _BOTH), way != _ALONE
    production &= way != _NEITHER
    results = [
        _result(suite, right, rng.random(n) < failing)
        for right, failing in zip((candidate, production), truth.failures, strict=True)
    ]
    return results[0], results[1]


def _ways(rng: np.random.Generator, n: int, truth: Truth) -> NDArray[np.int64]:
    """(n,) who is right."""
    both = truth.production - truth.losses
    shares = np.array([truth.gains, truth.losses, both, 1 - truth.gains - truth.losses - both])
    at, many = rng.random(n), -(-n // truth.cluster_size)
    if truth.cluster_size == 1 or not truth.correlation:
        limits = shares.cumsum()
    elif truth.copies:
        # Two cases have the correlation where each copies its cluster with chance sqrt(ICC).
        of_cluster = rng.random(many).repeat(truth.cluster_size)[:n]
        at = np.where(rng.random(n) < np.sqrt(truth.correlation), of_cluster, at)
        limits = shares.cumsum()
    else:
        size = (1 - truth.correlation) / truth.correlation
        of_clusters = rng.dirichlet(np.maximum(shares * size, 1e-9), size=many)  # (clusters, 4)
        limits = of_clusters.cumsum(axis=1).repeat(truth.cluster_size, axis=0)[:n]
    return np.asarray((at[:, None] >= limits[..., :_NEITHER]).sum(axis=1))


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
