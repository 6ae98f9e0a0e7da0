"""What the whole of a suite hides: a slice on which the candidate lost."""

import warnings
from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.candidates.promotion import decide
from tuneloop.evaluation.comparison import Comparison, compare, standing
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.results import CaseResult, SuiteResult
from tuneloop.evaluation.scorers.base import Score
from tuneloop.evaluation.subgroups import adjust, holm, is_sure, loss_of
from tuneloop.evaluation.suites import Case, Suite, make_suite
from tuneloop.evaluation.targets import Answer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from statsmodels.stats.multitest import multipletests

RULE = rule_of("balanced", margin=0.02)
ENGLISH, GERMAN = (
    "Where is the parcel that you sent to me",
    "Wo ist das Paket, das ich heute möchte",
)


def metric(name: str) -> Metric:
    return Metric(name=name, about="", scorer=lambda case, output: None)


def suite(n: int, small: int, *, group: str = "", question: str = "") -> Suite:
    """Of `n` cases the first `small` are of the class `rare`, the others of two large ones."""
    cases = [
        Case(
            id=str(i),
            messages=({"role": "user", "content": f"{question} {i}"},),
            expected="x",
            slices={"class": "rare" if i < small else ("one", "two")[i % 2]},
            group=group if i < small else "",
        )
        for i in range(n)
    ]
    return make_suite("held-out", "held-out", cases)


def result(of: Suite, wrong: Collection[int], **others: Collection[int]) -> SuiteResult:
    """`wrong` cases by accuracy; `others`: further metric → cases with 0."""
    scored = {"accuracy": wrong, **others}
    cases = {
        case.id: CaseResult(
            case=case.id,
            answer=Answer(text="x"),
            scores={name: Score(value=float(i not in failed)) for name, failed in scored.items()},
        )
        for i, case in enumerate(of.cases)
    }
    return SuiteResult(
        suite=of, target="t", figures={}, slices={}, cases=cases, errors={}, cut_off=0
    )


def against(candidate: SuiteResult, reference: SuiteResult, *names: str) -> Comparison:
    metrics = [metric(name) for name in ("accuracy", *names)]
    return compare(
        candidate, reference, label="production", metrics=metrics, margin=0.02, rule=RULE
    )


def test_a_class_of_twenty_that_is_lost_is_worse_however_much_is_won_elsewhere() -> None:
    cases = suite(120, 20)
    found = against(result(cases, range(20)), result(cases, range(60, 90)))
    assert found.main.verdict == "inconclusive" and found.main.difference.value > 0
    assert found.verdict == "worse" and "class=rare: 20 of 20 cases lost" in found.reason
    stands = standing([found])
    assert stands.accepted is False
    assert not decide(gates="passed", gates_reason="", production=stands).deploy


def test_five_lost_cases_of_five_are_a_warning_in_the_decision() -> None:
    cases = suite(400, 5)
    found = against(result(cases, range(5)), result(cases, range(60, 90)))
    assert found.verdict == "better"
    decision = decide(gates="passed", gates_reason="", production=standing([found]))
    assert decision.deploy and "; but look: class=rare: 5 of 5 cases lost" in decision.reason


def test_a_sure_loss_that_a_wide_margin_allows_is_told_as_such() -> None:
    of = suite(400, 20)
    found = compare(
        result(of, range(20)),
        result(of, ()),
        label="production",
        metrics=[metric("accuracy")],
        margin=1.0,
        rule=rule_of("balanced", margin=1.0),
    )
    (told,) = found.warnings
    assert "20 of 20 cases lost" in told and "within the margin" in told
    assert "too few" not in told


def test_four_cases_are_too_few_to_be_compared_and_counted() -> None:
    cases = suite(400, 4)
    found = against(result(cases, range(4)), result(cases, ()))
    assert not found.warnings and found.subgroups_too_small == 1


def test_one_customer_whose_turns_are_all_lost_is_a_warning_and_no_proof() -> None:
    cases = suite(400, 20, group="one customer")
    found = against(result(cases, range(20)), result(cases, range(60, 90)))
    assert found.verdict != "worse" and "class=rare: 20 of 20" in found.warnings[0]


def test_the_language_of_the_question_is_a_slice() -> None:
    cases = [
        Case(
            id=str(i),
            messages=({"role": "user", "content": f"{GERMAN if i < 20 else ENGLISH} {i}"},),
            expected="x",
        )
        for i in range(120)
    ]
    bilingual = make_suite("held-out", "held-out", cases)
    found = against(result(bilingual, range(20)), result(bilingual, range(60, 90)))
    assert found.verdict == "worse" and "language=de: 20 of 20" in found.reason


def test_slices_of_the_same_cases_are_one_test() -> None:
    cases = [
        Case(
            id=str(i),
            messages=({"role": "user", "content": str(i)},),
            expected="x",
            slices={"intent": "human" if i < 20 else "refund", "out_of_scope": str(i < 20)},
        )
        for i in range(60)
    ]
    twice = make_suite("held-out", "held-out", cases)
    found = against(result(twice, range(20)), result(twice, ()))
    assert found.subgroups[0].name == "intent=human and out_of_scope=True"
    assert len(found.subgroups) == 2


def test_a_regressions_suite_warns_of_nothing_in_the_decision() -> None:
    main, failed = suite(120, 0), suite(40, 8)
    failed = make_suite("regressions", "regressions", failed.cases)
    equal = against(result(main, ()), result(main, ()))
    lost = against(result(failed, range(8)), result(failed, ()))
    stands = standing([equal, lost])
    assert stands.verdict == equal.verdict and not stands.warnings


def test_one_of_four_guards_that_is_worse_by_chance_is_a_warning() -> None:
    """p = 0.031 alone: among four guards an equal candidate sees one in eight times."""
    cases = suite(400, 0)
    names = ("format", "abstention_recall", "over_abstention")
    mine = result(cases, (), **{name: range(6) for name in names})
    theirs = result(cases, (), format=(), abstention_recall=range(10, 16), over_abstention=range(6))
    found = against(mine, theirs, *names)
    assert next(p for p in found.metrics if p.metric == "format").verdict == "worse"
    assert found.verdict != "worse" and "may be chance among 3 guards" in found.warnings[-1]
    clear = result(cases, (), **{**dict.fromkeys(names, ()), "format": range(12)})
    assert against(clear, theirs, *names).verdict == "worse"


def test_graded_scores_of_a_slice_are_compared_by_their_mean() -> None:
    rng = np.random.default_rng(1)
    lost = loss_of(list(rng.normal(-0.1, 0.05, 20)), range(20))
    assert lost.p_value < 1e-4
    assert loss_of(list(rng.normal(0.1, 0.05, 20)), range(20)).p_value == 1
    assert is_sure(adjust([lost, loss_of([0.0] * 20, range(20))])[0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(list(expected))


def test_slices_that_could_never_show_a_loss_cost_the_others_nothing() -> None:
    lost, quiet = loss_of([-1.0] * 7, range(7)), loss_of([-1.0] + [0.0] * 9, range(10))
    adjusted = adjust([lost] + [quiet] * 50)
    assert is_sure(adjusted[0]) and adjusted[1:] == [None] * 50


def test_an_equal_candidate_is_seldom_refused_for_one_of_ten_slices() -> None:
    rng, n, runs = np.random.default_rng(5), 200, 600
    refused = 0
    for _ in range(runs):
        drawn = rng.choice([1.0, -1.0, 0.0], n, p=[0.05, 0.05, 0.9])
        losses = [loss_of(list(map(float, part)), range(20)) for part in np.split(drawn, 10)]
        refused += any(map(is_sure, adjust(losses)))
    assert refused / runs <= 0.025 + 0.01
