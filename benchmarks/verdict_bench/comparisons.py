"""Candidates against production: how often the decision errs, with known truth.

Everything after the draw is the product's, see `rules`; peers decide on the same scenarios.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tuneloop.evaluation.decision import CLAIM_RATE
from tuneloop.evaluation.operating import let_through
from tuneloop.evaluation.results import SuiteResult
from verdict_bench.rules import BALANCED, LENIENT, MARGIN, PEERS, STRICT, Ours, Results, Rule
from verdict_bench.scenario import Random, Run, Scenario, enough
from verdict_bench.suites import DISAGREEMENT, Truth, drawn, result_of, right_in, suite_of

SIZES = (50, 120, 500)
WORSE = (0.0, 0.02, 0.05, 0.10, -0.05)
"""Share of the cases by which the candidate is worse; below 0: better."""
LOOKS = (2, 5, 10)
CLUSTERS = (
    ("clusters of 10, ICC 0", 0.0, True),
    ("clusters of 10 with rates of their own, ICC 0.3", 0.3, False),
    ("clusters of 10 that repeat each other, ICC 0.3", 0.3, True),
)
"""Name, correlation, and whether cases copy each other, see `Truth`."""
_FAILED_BY_CONSTRUCTION = Truth(worse=-0.7, production=0.0, disagreement=0.7)


_USUAL = Truth()


@dataclass(frozen=True, kw_only=True)
class World:
    """Where a candidate and production answer the same cases."""

    name: str = ""
    n: int
    usual: Truth = _USUAL
    corrections: bool = False
    """a fifth as many cases more, that were found because production failed them"""

    @property
    def plain(self) -> bool:
        """Whether there is nothing about it but its cases."""
        return self == World(n=self.n)

    @property
    def decides_as_plain(self) -> bool:
        """Whether what decides is the same: corrections do not."""
        return replace(self, name="", corrections=False).plain

    def called(self, what: str) -> str:
        """The name of what may happen in it."""
        return f"{self.name}: {what}, n={self.n}" if self.name else f"{what}, n={self.n}"

    def drawn(self, rng: Random, worse: float) -> Results:
        """What both answer, where the candidate is worse by so much."""
        suite = suite_of(self.n, self.usual.cluster_size)
        results = drawn(rng, suite, replace(self.usual, worse=worse))
        if not self.corrections:
            return results
        failed = suite_of(self.n // 5, kind="regressions")
        return (*results, *drawn(rng, failed, _FAILED_BY_CONSTRUCTION))


def worlds(n: int) -> Iterator[World]:
    """All that candidates are compared in, at one number of cases."""
    yield World(n=n)
    yield World(name="corrections", n=n, corrections=True)
    for name, correlation, copies in CLUSTERS:
        clustered = Truth(cluster_size=10, correlation=correlation, copies=copies)
        yield World(name=name, n=n, usual=clustered)
    for name, failures in (
        ("5% of production's requests fail", (0.0, 0.05)),
        ("5% of the candidate's requests fail", (0.05, 0.0)),
    ):
        yield World(name=name, n=n, usual=Truth(failures=failures))


def scenarios() -> Iterator[Scenario]:
    """Every world under the rule that is the default, the plain one under all; peers beside."""
    for n in SIZES:
        for world in worlds(n):
            for rule in (STRICT, BALANCED, LENIENT) if world.plain else (BALANCED,):
                yield from decisions(rule, world)
            yield from claims(world)
            for peer in PEERS.values():
                yield from decisions(peer, world)
                yield from claims(world, peer)
        yield from looks(n)


def decisions(rule: Rule, world: World) -> Iterator[Scenario]:
    """How often each candidate is deployed that should not be, or refused though it should."""
    for worse in WORSE:

        def deployed(rng: Random, worse: float = worse) -> bool:
            return rule.deploys(world.drawn(rng, worse))

        def refused(rng: Random, worse: float = worse) -> bool:
            return not rule.deploys(world.drawn(rng, worse))

        errs_by_refusing = worse <= 0 and world.plain
        said = f"{_said(worse)} is {'refused' if errs_by_refusing else 'deployed'}"
        run = refused if errs_by_refusing else deployed
        name = f"{rule.name}: {world.called(said)}"
        if isinstance(rule, Ours):
            yield _declared(Scenario(name=name, run=run, kind="power"), rule, world, worse)
        else:
            yield Scenario(name=name, run=run, kind="peers")


def _declared(one: Scenario, rule: Ours, world: World, worse: float) -> Scenario:
    """With what the operating characteristics say beforehand; beyond what is tolerated the rate."""
    decision = rule.rule
    expected = let_through(
        decision, n=world.n, margin=MARGIN, worse=worse, disagreement=DISAGREEMENT
    )
    if worse >= decision.worse_by:
        times = enough(expected, decision.level) if world.decides_as_plain else None
        return replace(one, kind="ours", declared=decision.level, times=times)
    if not world.plain:
        return one
    declared = 1 - expected if worse <= 0 else expected
    return replace(one, kind="ours", declared=declared, times=enough(declared, declared))


def claims(world: World, rule: Rule = BALANCED) -> Iterator[Scenario]:
    """How often it is called better, or worse, where it is not."""
    ours = isinstance(rule, Ours)
    truths = [(0.0, "better", CLAIM_RATE / 4)]
    if world.usual.failures[1]:
        truths.append((0.05, "better", CLAIM_RATE / 4))
    if not any(world.usual.failures):
        truths.append((0.0, "worse", CLAIM_RATE / 2))
    for worse, verdict, declared in truths:

        def called(rng: Random, worse: float = worse, verdict: str = verdict) -> bool:
            return rule.verdict(world.drawn(rng, worse)) == verdict

        yield Scenario(
            name=f"{rule.name}: {world.called(f'{_said(worse)} is called {verdict}')}",
            run=called,
            declared=declared if ours else None,
            kind="ours" if ours else "peers",
        )
    if ours and not any(world.usual.failures):
        yield Scenario(
            name=f"{rule.name}: {world.called(f'{_said(-0.05)} is called better')}",
            run=lambda rng: rule.verdict(world.drawn(rng, -0.05)) == "better",
            kind="power",
        )


def looks(n: int) -> Iterator[Scenario]:
    """Candidates one after the other on the same cases, until one is deployed."""
    rules: list[Rule] = [BALANCED, *PEERS.values()]
    for many in LOOKS:
        for rule in [STRICT, LENIENT, *rules] if many == LOOKS[-1] else rules:
            decision = rule.rule if isinstance(rule, Ours) else BALANCED.rule
            worse, kind = decision.worse_by, "ours" if isinstance(rule, Ours) else "peers"
            yield Scenario(
                name=f"{rule.name}: {many} looks: one {_said(worse)} is deployed, n={n}",
                run=_any_of(rule, n, many, worse, deployed=True),
                declared=rule.rule.rate if isinstance(rule, Ours) else None,
                kind=kind,
            )
    for rule in rules:
        many = LOOKS[-1]
        yield Scenario(
            name=f"{rule.name}: {many} looks: an equal one is called better, n={n}",
            run=_any_of(rule, n, many, 0.0, deployed=False),
            declared=CLAIM_RATE / 2 if isinstance(rule, Ours) else None,
            kind="ours" if isinstance(rule, Ours) else "peers",
        )


def _any_of(rule: Rule, n: int, many: int, worse: float, *, deployed: bool) -> Run:
    """Whether one of so many candidates is deployed, or else called better."""
    suite = suite_of(n)

    def happened(rng: Random) -> bool:
        _, production = drawn(rng, suite, Truth())
        for look in range(1, many + 1):
            at, results = rule.at(look), (_against(rng, production, worse), production)
            if at.deploys(results) if deployed else at.verdict(results) == "better":
                return True
        return False

    return happened


def _against(rng: Random, production: SuiteResult, worse: float) -> SuiteResult:
    """Another candidate, on cases where production's answers are known."""
    truth = Truth(worse=worse)
    up, down = truth.gains, truth.losses
    right = right_in(production)
    loses, gains = down / truth.production, up / (1 - truth.production)
    at = rng.random(len(right))
    return result_of(production.suite, np.where(right, at >= loses, at < gains))


def _said(worse: float) -> str:
    if not worse:
        return "equal"
    return f"{abs(worse):.0%} {'worse' if worse > 0 else 'better'}"
