"""Parts of a suite, and rare labels: what a lost slice or a constant answer comes to.

Everything after the draw is the product's: `compare`, `standing`, `decide`, the gates and their
bounds, and the gates that `init` writes for such rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

import yaml

from tuneloop.evaluation import gates
from tuneloop.evaluation.baseline import baseline_of
from tuneloop.evaluation.bounds import bounds_of
from tuneloop.evaluation.comparison import Standing, compare
from tuneloop.evaluation.decision import CLAIM_RATE, DecisionRule
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.plan import EvaluationPlan, make_plan
from tuneloop.evaluation.planned_metrics import metrics_of
from tuneloop.evaluation.results import CaseResult, SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers
from tuneloop.evaluation.scorers.classes import metrics_of as metrics_of_labels
from tuneloop.evaluation.suites import Case, Suite, make_suite
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import EvaluationSettings, GateSettings, TaskSettings
from tuneloop.modelfile.starter import Start, render
from verdict_bench.gates import BAR
from verdict_bench.rules import BALANCED, MARGIN, PEERS, Results, is_deployed
from verdict_bench.scenario import Random, Scenario
from verdict_bench.suites import DISAGREEMENT, Truth, drawn, result_of, right_in, suite_of

SLICES = 10
GUARDS = ("accuracy", "format", "abstention_recall", "over_abstention")
WON_ELSEWHERE = 0.10
"""Of the other cases the candidate wins so many more than it loses: a part hides in the whole."""
RARE = 0.08
LABELS = TaskSettings(kind="labels")
_COMMON, _RARE = "refund", "delivery"


def scenarios() -> Iterator[Scenario]:
    """Lost slices, slices and guards of an equal candidate, and rare labels; peers beside."""
    for n in (120, 500):
        yield from _lost_slices(n)
        yield from _equal_slices(n)
    for n in (50, 100, 500):
        yield from _rare_labels(n)


def _lost_slices(n: int) -> Iterator[Scenario]:
    for lost in (5, 20):
        what = f"subgroups: {lost} of {n} cases, all lost"
        yield Scenario(
            name=f"balanced: {what}: neither refused nor warned of",
            run=lambda rng, lost=lost: _is_silent(_with_lost(rng, n, lost)),
            declared=0.0,
        )
        yield Scenario(
            name=f"balanced: {what}: called worse",
            run=lambda rng, lost=lost: (
                f"rare: {lost} of {lost} cases" in _with_lost(rng, n, lost).reason
            ),
            kind="power",
        )
    yield Scenario(
        name=f"balanced: {what}: it is deployed",
        run=lambda rng: is_deployed(_with_lost(rng, n, 20)),
        declared=0.0,
    )
    for peer in PEERS.values():
        yield Scenario(
            name=f"{peer.name}: {what}: it is deployed",
            run=lambda rng, peer=peer: peer.deploys(_lost(rng, n, 20)),
            kind="peers",
        )
    yield Scenario(
        name=f"balanced: subgroups: half of 20 of {n} cases lost: refused or warned of",
        run=lambda rng: not _is_silent(_with_lost(rng, n, 20, 0.5)),
        kind="power",
    )


def _equal_slices(n: int) -> Iterator[Scenario]:
    yield Scenario(
        name=f"balanced: subgroups: equal is refused for one of {SLICES} slices, n={n}",
        run=lambda rng: "among all slices" in _equal(rng, n).reason,
        declared=CLAIM_RATE / 2,
    )
    yield Scenario(
        name=f"balanced: subgroups: equal, warned of one of {SLICES} slices, n={n}",
        run=lambda rng: bool(_equal(rng, n).warnings),
        kind="power",
    )
    yield Scenario(
        name=f"balanced: guards: equal is called worse for one of {len(GUARDS)}, n={n}",
        run=lambda rng: _guarded(rng, n) == "worse",
        declared=CLAIM_RATE / 2,
    )


def _rare_labels(n: int) -> Iterator[Scenario]:
    rule = BALANCED.rule
    for truth, said, declared in (
        (0.0, "a constant answer", 0.0),
        (0.5, "one that knows half of the rare", rule.level),
    ):
        name = f"imbalance 92:8: {said} passes the gates that init writes, n={n}"
        yield Scenario(
            name=f"balanced: {name}",
            run=lambda rng, truth=truth: _passes(rng, rule, n, truth),
            declared=declared,
        )
        yield Scenario(
            name=f"point: {name}",
            run=lambda rng, truth=truth: _reaches(_answered(rng, _plan(n), truth)),
            kind="peers",
        )
    yield Scenario(
        name=f"balanced: imbalance 92:8: a constant answer beats the most frequent label, n={n}",
        run=lambda rng: _beats(rng, n),
        declared=CLAIM_RATE / 2,
    )
    yield Scenario(
        name=f"balanced: imbalance 92:8: a model right in 0.97 of each label passes, n={n}",
        run=lambda rng: _passes(rng, rule, n, 0.97, 0.97),
        kind="power",
    )


@cache
def _sliced(n: int, rare: int = 0) -> Suite:
    """A suite whose cases have `SLICES` values; the first `rare` are a part of their own."""
    cases = [
        Case(
            id=str(i),
            messages=({"role": "user", "content": str(i)},),
            expected="x",
            group=str(i),
            slices={"part": "rare" if i < rare else str(i % SLICES)},
        )
        for i in range(n)
    ]
    return make_suite("held-out", "held-out", cases)


def _equal(rng: Random, n: int) -> Standing:
    return BALANCED.standing(drawn(rng, _sliced(n), Truth()))


def _guarded(rng: Random, n: int) -> str:
    """An equal candidate by its guards alone: by the main metric no case changed sides."""
    suite, names = suite_of(n), ("correct", *GUARDS)
    sides = [
        drawn(rng, suite, Truth(disagreement=0.0 if name == "correct" else DISAGREEMENT))
        for name in names
    ]
    candidate, production = (
        replace(
            side[0],
            cases={
                case.id: CaseResult(
                    case=case.id,
                    answer=Answer(text="x"),
                    scores={
                        name: of.cases[case.id].scores["accuracy"]
                        for name, of in zip(names, side, strict=True)
                    },
                )
                for case in suite.cases
            },
        )
        for side in zip(*sides, strict=True)
    )
    metrics = [Metric(name=name, about="", scorer=lambda case, output: None) for name in names]
    against = compare(
        candidate,
        production,
        label="production",
        metrics=metrics,
        margin=MARGIN,
        rule=BALANCED.rule,
    )
    return against.verdict


def _with_lost(rng: Random, n: int, lost: int, share: float = 1.0) -> Standing:
    return BALANCED.standing(_lost(rng, n, lost, share))


def _lost(rng: Random, n: int, lost: int, share: float = 1.0) -> Results:
    """Production knows the rare part, the candidate lost it and gained elsewhere."""
    suite = _sliced(n, lost)
    candidate, production = (
        right_in(result)
        for result in drawn(rng, suite, Truth(worse=-WON_ELSEWHERE, production=0.85))
    )
    production[:lost] = True
    candidate[:lost] = rng.random(lost) >= share
    return result_of(suite, candidate), result_of(suite, production)


def _is_silent(stands: Standing) -> bool:
    """Deployed, and nobody was told."""
    told = "rare" in stands.reason or any("rare" in said for said in stands.warnings)
    return is_deployed(stands) and not told


@cache
def _labelled(n: int) -> Suite:
    rare = round(RARE * n)
    cases = [
        Case(
            id=str(i),
            messages=({"role": "user", "content": str(i)},),
            expected=_RARE if i < rare else _COMMON,
            group=str(i),
        )
        for i in range(n)
    ]
    return make_suite("held-out", "held-out", cases)


@cache
def _plan(n: int) -> EvaluationPlan:
    """With the gates of the file that `init` writes for rows of this balance."""
    text = render(
        Start(
            name="m",
            base="b",
            sources=("rows.jsonl",),
            system="",
            output_schema=None,
            abstain=None,
            group_field=None,
            notes=(),
            kind="labels",
            majority=1 - RARE,
        )
    )
    declared = yaml.safe_load(text)["evaluation"]["gates"]
    conditions = {key: GateSettings(condition=condition) for key, condition in declared.items()}
    settings = EvaluationSettings(gates=conditions)
    return make_plan(
        model="m",
        suites=[_labelled(n)],
        metrics=metrics_of(LABELS, settings, ["held-out"]),
        conditions=conditions,
        sampling=Sampling(),
        told=metrics_of_labels(LABELS),
    )


def _answered(rng: Random, plan: EvaluationPlan, rare: float, common: float = 1.0) -> SuiteResult:
    """A model that gets those shares of the labels, and says the other one else."""
    suite = plan.main_suite
    of: Mapping[str | None, float] = {_RARE: rare, _COMMON: common}
    other = {_RARE: _COMMON, _COMMON: _RARE}
    answers = {
        case.id: Answer(
            text=case.expected
            if rng.random() < of[case.expected]
            else other[case.expected or _COMMON]
        )
        for case in suite.cases
        if case.expected
    }
    given = SuiteAnswers(suite=suite, target="simulated", answers=answers)
    return measure(given, plan.measured)


def _passes(rng: Random, rule: DecisionRule, n: int, rare: float, common: float = 1.0) -> bool:
    plan = _plan(n)
    result = _answered(rng, plan, rare, common)
    outcome = gates.apply_gates(
        plan.gate_lock,
        figures={"held-out": result.figures},
        sizes=plan.sizes(),
        rule=rule,
        bounds={"held-out": bounds_of(result, plan.metrics, level=rule.level)},
    )
    return outcome.verdict == "passed"


def _reaches(result: SuiteResult) -> bool:
    """A threshold on accuracy, as peers have it."""
    return result.figures["accuracy"].value >= BAR.bound


def _beats(rng: Random, n: int) -> bool:
    constant = baseline_of(_answered(rng, _plan(n), 0.0))
    return constant is not None and constant.beaten
