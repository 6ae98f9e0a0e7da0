"""A model against a bar: how often one that falls short of it passes, and one that reaches it not.

The bounds and the verdict are the product's; a peer's gate is a point against a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tuneloop.evaluation import gates
from tuneloop.evaluation.bounds import bounds_of
from tuneloop.evaluation.gates import Gate, SuiteSize
from tuneloop.evaluation.operating import gate_passes
from verdict_bench.comparisons import CLUSTERS, LOOKS, SIZES
from verdict_bench.rules import BALANCED, LENIENT, POINT, STRICT, Ours
from verdict_bench.scenario import Random, Scenario, enough
from verdict_bench.suites import ACCURACY, Truth, drawn, suite_of

BAR = Gate(suite="held-out", metric="accuracy", comparison=">=", bound=0.90)
BEYOND = 0.95
_LOCK = gates.lock([BAR], terms={})
_MINIMUM = 50


def scenarios() -> Iterator[Scenario]:
    """At the bar, off it on either side, again and again, and where cases are not independent."""
    for n in SIZES:
        for rule in (STRICT, BALANCED, LENIENT):
            short = BAR.bound - rule.rule.gate_slack
            for truth in dict.fromkeys((round(short, 2), round(short - 0.05, 2))):
                yield _passes(rule, n, Truth(production=truth), rule.rule.level)
            for truth in (BAR.bound, BEYOND):
                yield _refused(rule, n, truth)
        for many in LOOKS:
            yield _passes(BALANCED, n, Truth(production=0.85), BALANCED.rule.rate, many)
        for name, correlation, copies in CLUSTERS:
            clustered = Truth(
                production=0.85, cluster_size=10, correlation=correlation, copies=copies
            )
            yield _passes(BALANCED, n, clustered, BALANCED.rule.level, name=name)
            yield _passes_a_point(n, clustered, name=name)
        for truth, many in ((0.85, 1), (0.80, 1), *((0.85, many) for many in LOOKS)):
            yield _passes_a_point(n, Truth(production=truth), many)


def _passes(
    rule: Ours, n: int, truth: Truth, declared: float, many: int = 1, name: str = ""
) -> Scenario:
    one = _outcome(rule, n, truth)
    return Scenario(
        name=f"{rule.name}: {_said(truth, many, name)} passes, n={n}",
        run=lambda rng: any(one(rng, look) for look in range(1, many + 1)),
        declared=declared,
    )


def _refused(rule: Ours, n: int, truth: float) -> Scenario:
    one = _outcome(rule, n, Truth(production=truth))
    size = SuiteSize(cases=n, minimum_cases=_MINIMUM)
    declared = 1 - gate_passes(BAR, rule.rule, size, truth=truth)
    return Scenario(
        name=f"{rule.name}: {_said(Truth(production=truth))} is refused, n={n}",
        run=lambda rng: not one(rng, 1),
        declared=declared,
        times=enough(declared, declared),
    )


def _passes_a_point(n: int, truth: Truth, many: int = 1, name: str = "") -> Scenario:
    suite = suite_of(n, truth.cluster_size)

    def passes(rng: Random) -> bool:
        result, _ = drawn(rng, suite, truth)
        return result.figures["accuracy"].value >= BAR.bound

    return Scenario(
        name=f"{POINT.name}: {_said(truth, many, name)} passes, n={n}",
        run=lambda rng: any(passes(rng) for _ in range(many)),
        kind="peers",
    )


def _outcome(rule: Ours, n: int, truth: Truth) -> Callable[[Random, int], bool]:
    """Whether one look passes the bar."""
    suite, size = suite_of(n, truth.cluster_size), SuiteSize(cases=n, minimum_cases=_MINIMUM)

    def passes(rng: Random, look: int) -> bool:
        at = rule.at(look).rule
        result, _ = drawn(rng, suite, truth)
        outcome = gates.apply_gates(
            _LOCK,
            figures={"held-out": result.figures},
            sizes={"held-out": size},
            rule=at,
            bounds={"held-out": bounds_of(result, [ACCURACY], level=at.level)},
        )
        return outcome.verdict == "passed"

    return passes


def _said(truth: Truth, many: int = 1, name: str = "") -> str:
    again = f"best of {many}" if many > 1 else ""
    what = ", ".join(filter(None, (f"gate >= {BAR.bound:g}", name, again)))
    return f"{what}: a model of {truth.production:.2f}"
