"""Candidates against production, and against a bar: how often the decision errs, with known truth.

Everything after the draw is the product's: `compare`, `standing`, `apply_gates`, `decide`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tuneloop.candidates.promotion import decide
from tuneloop.evaluation import gates
from tuneloop.evaluation.bounds import bounds_of
from tuneloop.evaluation.comparison import Standing, compare, standing
from tuneloop.evaluation.decision import CLAIM_RATE, DecisionRule, rule_of
from tuneloop.evaluation.gates import Gate, SuiteSize
from tuneloop.evaluation.operating import let_through
from tuneloop.evaluation.results import SuiteResult
from tuneloop.intervals import share
from verdict_bench.suites import ACCURACY, DISAGREEMENT, Truth, drawn, result_of, suite_of

MARGIN = 0.02
SIZES = (50, 120, 500)
WORSE = (0.0, 0.02, 0.05, 0.10)
LOOKS = 10
BAR = Gate(suite="held-out", metric="accuracy", comparison=">=", bound=0.90)
Run = Callable[[np.random.Generator], bool]


def compared(
    candidate: SuiteResult, production: SuiteResult, rule: DecisionRule, *rest: SuiteResult
) -> Standing:
    """How a candidate stands; `rest` are further suites, candidate and production in turn."""
    results = [candidate, production, *rest]
    return standing(
        [
            compare(mine, theirs, label="production", metrics=[ACCURACY], margin=MARGIN, rule=rule)
            for mine, theirs in zip(results[::2], results[1::2], strict=True)
        ]
    )


def is_deployed(stands: Standing) -> bool:
    """What the loop does with it, its gates having passed."""
    return decide(gates="passed", gates_reason="", production=stands).deploy


def measured(run: Run, *, runs: int, seed: int) -> list[float]:
    """The share of the runs in which it happened, with its interval: value, low, high."""
    rng = np.random.default_rng(seed)
    happened = sum(run(rng) for _ in range(runs))
    figure = share(happened, runs)
    return [round(figure.value, 4), round(figure.low, 4), round(figure.high, 4)]


def scenarios() -> Iterator[tuple[str, float, Run]]:
    """Name, declared rate (at most), one run that errs or not."""
    balanced = rule_of("balanced", margin=MARGIN)
    for name in ("strict", "balanced", "lenient"):
        rule = rule_of(name, margin=MARGIN)
        for n in SIZES:
            for worse in WORSE:
                yield _let_through(name, rule, n, worse)
            yield _refused(name, rule, n)
    for n in SIZES:
        yield f"equal is called better, n={n}", CLAIM_RATE / 4, _better(balanced, n, Truth())
        yield from _corrections(balanced, n)
        yield from _clusters(balanced, n)
        yield from _failures(balanced, n)
    for n in SIZES:
        yield from _many_looks(balanced, n)
        yield from _gates(balanced, n)


def _declared(rule: DecisionRule, n: int, worse: float) -> float:
    """What the operating characteristics say beforehand; beyond what is tolerated the rate."""
    if worse >= rule.worse_by:
        return rule.level
    return let_through(rule, n=n, margin=MARGIN, worse=worse, disagreement=DISAGREEMENT)


def _deployed(rule: DecisionRule, n: int, truth: Truth) -> Run:
    suite = suite_of(n, truth.cluster_size)
    return lambda rng: is_deployed(compared(*drawn(rng, suite, truth), rule))


def _better(rule: DecisionRule, n: int, truth: Truth) -> Run:
    suite = suite_of(n, truth.cluster_size)
    return lambda rng: compared(*drawn(rng, suite, truth), rule).verdict == "better"


def _let_through(name: str, rule: DecisionRule, n: int, worse: float) -> tuple[str, float, Run]:
    said = "equal" if not worse else f"{worse:.0%} worse"
    run = _deployed(rule, n, Truth(worse=worse))
    return f"{name}: {said} is deployed, n={n}", _declared(rule, n, worse), run


def _refused(name: str, rule: DecisionRule, n: int) -> tuple[str, float, Run]:
    passes = _deployed(rule, n, Truth())
    declared = 1 - _declared(rule, n, 0.0)
    return f"{name}: equal is refused, n={n}", declared, lambda rng: not passes(rng)


def _corrections(rule: DecisionRule, n: int) -> Iterator[tuple[str, float, Run]]:
    """A fifth as many cases that were found because production failed them."""
    suite, failed = suite_of(n), suite_of(n // 5, kind="regressions")
    by_construction = Truth(worse=-0.7, production=0.0, disagreement=0.7)

    def stands(worse: float, rng: np.random.Generator) -> Standing:
        main = drawn(rng, suite, Truth(worse=worse))
        return compared(*main, rule, *drawn(rng, failed, by_construction))

    yield (
        f"corrections: equal is called better, n={n}",
        CLAIM_RATE / 4,
        lambda rng: stands(0.0, rng).verdict == "better",
    )
    yield (
        f"corrections: 5% worse is deployed, n={n}",
        rule.level,
        lambda rng: is_deployed(stands(0.05, rng)),
    )


def _clusters(rule: DecisionRule, n: int) -> Iterator[tuple[str, float, Run]]:
    for correlation in (0.0, 0.3):
        for worse, declared in ((0.05, rule.level), (0.10, rule.level)):
            truth = Truth(worse=worse, cluster_size=10, correlation=correlation)
            name = f"clusters of 10, ICC {correlation:g}: {worse:.0%} worse is deployed, n={n}"
            yield name, declared, _deployed(rule, n, truth)
        truth = Truth(cluster_size=10, correlation=correlation)
        name = f"clusters of 10, ICC {correlation:g}: equal is called better, n={n}"
        yield name, CLAIM_RATE / 4, _better(rule, n, truth)


def _failures(rule: DecisionRule, n: int) -> Iterator[tuple[str, float, Run]]:
    candidate, production = Truth(failures=(0.05, 0.0)), Truth(worse=0.05, failures=(0.0, 0.05))
    yield (
        f"5% of production's requests fail: 5% worse is deployed, n={n}",
        rule.level,
        _deployed(rule, n, production),
    )
    yield (
        f"5% of production's requests fail: 5% worse is called better, n={n}",
        CLAIM_RATE / 4,
        _better(rule, n, production),
    )
    yield (
        f"5% of the candidate's requests fail: it is deployed, n={n}",
        rule.level,
        _deployed(rule, n, candidate),
    )


def _many_looks(rule: DecisionRule, n: int) -> Iterator[tuple[str, float, Run]]:
    """Ten candidates one after the other on the same cases, until one is deployed."""
    suite = suite_of(n)

    def any_of(rng: np.random.Generator) -> bool:
        _, production = drawn(rng, suite, Truth(worse=0.05))
        for look in range(1, LOOKS + 1):
            candidate = _against(rng, production)
            if is_deployed(compared(candidate, production, rule.at(look))):
                return True
        return False

    yield f"{LOOKS} looks: one of ten that are 5% worse is deployed, n={n}", rule.rate, any_of


def _against(rng: np.random.Generator, production: SuiteResult) -> SuiteResult:
    """Another candidate that is 5 points worse, on cases where production's answers are known."""
    truth = Truth(worse=0.05)
    up = (truth.disagreement - truth.worse) / 2
    down = up + truth.worse
    right = np.array([of.scores["accuracy"].value == 1 for of in production.cases.values()])
    loses, gains = down / truth.production, up / (1 - truth.production)
    at = rng.random(len(right))
    return result_of(production.suite, np.where(right, at >= loses, at < gains))


def _gates(rule: DecisionRule, n: int) -> Iterator[tuple[str, float, Run]]:
    suite, size = suite_of(n), SuiteSize(cases=n, minimum_cases=50)
    lock = gates.lock([BAR], terms={})

    def passes(rng: np.random.Generator, truth: float, look: int = 1) -> bool:
        at = rule.at(look)
        result, _ = drawn(rng, suite, Truth(production=truth))
        outcome = gates.apply_gates(
            lock,
            figures={"held-out": result.figures},
            sizes={"held-out": size},
            rule=at,
            bounds={"held-out": bounds_of(result, [ACCURACY], level=at.level)},
        )
        return outcome.verdict == "passed"

    for truth in (BAR.bound - rule.gate_slack, BAR.bound - 0.10):
        yield (
            f"gate >= {BAR.bound:g}: a model of {truth:.2f} passes, n={n}",
            rule.level,
            lambda rng, truth=truth: passes(rng, truth),
        )
    for truth, looks in ((BAR.bound - rule.gate_slack, 5), (BAR.bound - rule.gate_slack, LOOKS)):
        yield (
            f"gate >= {BAR.bound:g}, best of {looks}: a model of {truth:.2f} passes, n={n}",
            rule.rate,
            lambda rng, truth=truth, looks=looks: any(
                passes(rng, truth, look) for look in range(1, looks + 1)
            ),
        )
