"""Parts of a suite, and rare labels: what a lost slice or a constant answer comes to.

Everything after the draw is the product's: `compare`, `standing`, `decide`, the gates and their
bounds, and the gates that `init` writes for such rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import yaml
from numpy.typing import NDArray

from tuneloop.evaluation import gates
from tuneloop.evaluation.baseline import baseline_of
from tuneloop.evaluation.bounds import bounds_of
from tuneloop.evaluation.comparison import Standing, compare
from tuneloop.evaluation.decision import CLAIM_RATE, DecisionRule, rule_of
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.plan import EvaluationPlan, make_plan, metrics_of
from tuneloop.evaluation.results import CaseResult, SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers
from tuneloop.evaluation.scorers.classes import metrics_of as metrics_of_labels
from tuneloop.evaluation.suites import Case, Suite, make_suite
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import EvaluationSettings, GateSettings, TaskSettings
from tuneloop.modelfile.starter import Start, render
from verdict_bench.comparisons import MARGIN, Run, compared, is_deployed
from verdict_bench.suites import DISAGREEMENT, Truth, drawn, result_of, suite_of

SLICES = 10
GUARDS = ("accuracy", "format", "abstention_recall", "over_abstention")
WON_ELSEWHERE = 0.10
"""Of the other cases the candidate wins so many more than it loses: a part hides in the whole."""
RARE = 0.08
LABELS = TaskSettings(kind="labels")
_COMMON, _RARE = "refund", "delivery"


def scenarios() -> Iterator[tuple[str, float, Run]]:
    """Name, declared rate (at most), one run that errs or not."""
    rule = rule_of("balanced", margin=MARGIN)
    for n in (120, 500):
        for lost in (5, 20):
            yield (
                f"subgroups: {lost} of {n} cases, all lost: neither refused nor warned of",
                0.0,
                lambda rng, lost=lost, n=n: _is_silent(_with_lost(rng, rule, n, lost)),
            )
        yield (
            f"subgroups: 20 of {n} cases, all lost: it is deployed",
            0.0,
            lambda rng, n=n: is_deployed(_with_lost(rng, rule, n, 20)),
        )
        yield (
            f"subgroups: equal is refused for one of {SLICES} slices, n={n}",
            CLAIM_RATE / 2,
            lambda rng, n=n: "among all slices" in _equal(rng, rule, n).reason,
        )
        yield (
            f"guards: equal is called worse for one of {len(GUARDS)}, n={n}",
            CLAIM_RATE / 2,
            lambda rng, n=n: _guarded(rng, rule, n) == "worse",
        )
    for n in (50, 100, 500):
        for truth, said in ((0.0, "a constant answer"), (0.5, "one that knows half of the rare")):
            yield (
                f"imbalance 92:8: {said} passes the gates that init writes, n={n}",
                0.0 if not truth else rule.level,
                lambda rng, n=n, truth=truth: _passes(rng, rule, n, truth),
            )
        yield (
            f"imbalance 92:8: a constant answer is said to beat the most frequent label, n={n}",
            CLAIM_RATE / 2,
            lambda rng, n=n: _beats(rng, n),
        )


def powers() -> Iterator[tuple[str, Run]]:
    """What is printed beside, with nothing declared: how often a loss is seen, and how."""
    rule = rule_of("balanced", margin=MARGIN)
    for n in (120, 500):
        for lost in (5, 20):
            yield (
                f"subgroups: {lost} of {n} cases, all lost: called worse",
                lambda rng, lost=lost, n=n: (
                    f"rare: {lost} of {lost} cases" in _with_lost(rng, rule, n, lost).reason
                ),
            )
        yield (
            f"subgroups: equal, warned of one of {SLICES} slices, n={n}",
            lambda rng, n=n: bool(_equal(rng, rule, n).warnings),
        )
        yield (
            f"subgroups: half of 20 of {n} cases lost: refused or warned of",
            lambda rng, n=n: not _is_silent(_with_lost(rng, rule, n, 20, 0.5)),
        )
    for n in (50, 100, 500):
        yield (
            f"imbalance 92:8: a model right in 0.97 of each label passes, n={n}",
            lambda rng, n=n: _passes(rng, rule, n, 0.97, 0.97),
        )


@cache
def _sliced(n: int, rare: int = 0) -> Suite:
    """A suite whose cases have `SLICES` values; the first `rare` are a part of their own."""
    cases = [
        Case(
            id=str(i),
            messages=({"role": "user", "content": str(i)},),
            expected="x",
            slices={"part": "rare" if i < rare else str(i % SLICES)},
        )
        for i in range(n)
    ]
    return make_suite("held-out", "held-out", cases)


def _equal(rng: np.random.Generator, rule: DecisionRule, n: int) -> Standing:
    return compared(*drawn(rng, _sliced(n), Truth()), rule)


def _guarded(rng: np.random.Generator, rule: DecisionRule, n: int) -> str:
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
        candidate, production, label="production", metrics=metrics, margin=MARGIN, rule=rule
    )
    return against.verdict


def _with_lost(
    rng: np.random.Generator, rule: DecisionRule, n: int, lost: int, share: float = 1.0
) -> Standing:
    """Production knows the rare part, the candidate lost it and gained elsewhere."""
    suite = _sliced(n, lost)
    candidate, production = (
        _right(result) for result in drawn(rng, suite, Truth(worse=-WON_ELSEWHERE, production=0.85))
    )
    production[:lost] = True
    candidate[:lost] = rng.random(lost) >= share
    return compared(result_of(suite, candidate), result_of(suite, production), rule)


def _right(result: SuiteResult) -> NDArray[np.bool_]:
    return np.array([of.scores["accuracy"].value == 1 for of in result.cases.values()])


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


def _answered(
    rng: np.random.Generator, plan: EvaluationPlan, rare: float, common: float = 1.0
) -> SuiteResult:
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


def _passes(
    rng: np.random.Generator, rule: DecisionRule, n: int, rare: float, common: float = 1.0
) -> bool:
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


def _beats(rng: np.random.Generator, n: int) -> bool:
    constant = baseline_of(_answered(rng, _plan(n), 0.0))
    return constant is not None and constant.beaten
