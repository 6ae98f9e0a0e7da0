"""What a gate can stand on is known before anything is trained, and never counted too low."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tuneloop.evaluation import gates
from tuneloop.evaluation.bounds import bounds_of
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.plan import EvaluationPlan, make_plan
from tuneloop.evaluation.results import measure
from tuneloop.evaluation.sizes import (
    GateSize,
    gate_sizes,
    held_out_requirements,
    what_helps,
    what_is_doubted,
    what_is_missing,
)
from tuneloop.evaluation.suites import Case, case_of
from tuneloop.evaluation.targets import Sampling
from tuneloop.modelfile import EvaluationSettings, TaskSettings

FIELDS = '{"intent": "refund", "urgent": false}'
NO_FIELD = '{"intent": "refund"}'
CONDITIONS = {
    "accuracy": ">= 0.5",
    "format": ">= 0.5",
    "json_field.urgent": ">= 0.5",
    "abstention_recall": ">= 0.5",
    "latency_p95_ms": "<= 100000",
}


@pytest.fixture
def cases(parts: Any) -> list[Case]:
    """40 in scope, of which 30 have `urgent`; 12 out of scope."""
    human = parts.answer_text("human")
    return [
        *(parts.case(f"u{n:02}", FIELDS) for n in range(30)),
        *(parts.case(f"p{n:02}", NO_FIELD) for n in range(10)),
        *(parts.case(f"o{n:02}", human, out_of_scope=True) for n in range(12)),
    ]


def planned(task: TaskSettings, parts: Any, cases: list[Case], minimum: int = 50) -> EvaluationPlan:
    return make_plan(
        model="desk",
        suites=[parts.suite(cases)],
        metrics=metrics_for(task),
        conditions=CONDITIONS,
        sampling=Sampling(),
        minimum_cases=minimum,
    )


def test_each_gate_is_counted_as_its_figure_will_be(
    task: TaskSettings, parts: Any, cases: list[Case]
) -> None:
    plan = planned(task, parts, cases)
    sizes = {size.gate.metric: size.counted for size in gate_sizes(plan)}
    answers = parts.answers(plan.main_suite, {case.id: case.expected or "" for case in cases})
    figures = measure(answers, plan.metrics).figures
    assert sizes == {name: figures[name].n for name in CONDITIONS}
    assert sizes["accuracy"] == 40 and sizes["json_field.urgent"] == 30
    assert sizes["abstention_recall"] == 12 and sizes["format"] == 52


def test_what_is_short_here_is_refused_after_an_evaluation_and_nothing_else(
    task: TaskSettings, parts: Any, cases: list[Case]
) -> None:
    for minimum in (0, 12, 13, 31, 41, 53):
        plan = planned(task, parts, cases, minimum)
        answers = parts.answers(plan.main_suite, {case.id: case.expected or "" for case in cases})
        figures = {"held-out": measure(answers, plan.metrics).figures}
        outcome = gates.apply_gates(plan.gate_lock, figures=figures, sizes=plan.sizes())
        assert [size.enough for size in gate_sizes(plan)] == [
            result.verdict == "passed" for result in outcome.results
        ]


def test_a_field_may_count_what_a_model_invents_but_its_recall_may_not(
    task: TaskSettings, parts: Any, cases: list[Case]
) -> None:
    """Which figures that can be is what an evaluation shows whose answers all have the field."""
    names = ["", ".precision", ".recall", ".f1"]
    conditions = {f"json_field.urgent{name}": ">= 0.5" for name in names}
    plan = make_plan(
        model="desk",
        suites=[parts.suite(cases)],
        metrics=metrics_for(task),
        conditions={**conditions, "accuracy": ">= 0.5", "abstention_recall": ">= 0.5"},
        sampling=Sampling(),
        minimum_cases=35,
    )
    sizes = {size.gate.metric: size for size in gate_sizes(plan)}
    invented = parts.answers(plan.main_suite, {case.id: FIELDS for case in cases})
    figures = measure(invented, plan.metrics).figures
    assert {name: size.at_most for name, size in sizes.items()} == {
        name: figures[name].n for name in sizes
    }
    assert {sizes[name].counted for name in conditions} == {30}
    possible = [name for name in names if sizes[f"json_field.urgent{name}"].possible]
    assert possible == ["", ".precision", ".f1"] and not sizes["json_field.urgent"].enough
    assert what_is_missing(sizes["json_field.urgent"]) == (
        "held-out.json_field.urgent counts 30 held-out cases, at most 40 with values that a model "
        "invents, and needs 35"
    )


def test_what_depends_on_the_answers_is_not_counted_too_low(
    task: TaskSettings, parts: Any, cases: list[Case]
) -> None:
    """How often a model abstains is not known before it is asked."""
    settings = EvaluationSettings.model_validate({"gates": {"abstention_precision": ">= 0.5"}})
    (wanted,) = held_out_requirements(task, settings)
    assert all(map(wanted.counts, cases))


def test_rows_are_counted_as_the_cases_that_they_would_be(task: TaskSettings) -> None:
    row = {
        "id": "0" * 16,
        "messages": [{"role": "user", "content": "hello"}],
        "completion": '{"intent": "human"}',
        "tags": {},
    }
    settings = EvaluationSettings.model_validate(
        {"gates": {"accuracy": ">= 0.9", "abstention_recall": ">= 0.5"}, "minimum_cases": 7}
    )
    accuracy, recall = held_out_requirements(task, settings)
    assert (accuracy.minimum, recall.minimum) == (7, 7)
    assert not accuracy.counts(case_of(row, task=task))
    assert recall.counts(case_of(row, task=task))


def test_a_gate_on_a_suite_file_needs_a_case_and_what_it_declares(
    task: TaskSettings, parts: Any, cases: list[Case]
) -> None:
    golden = replace(parts.suite(cases[:5], name="golden"), kind="golden")
    settings = EvaluationSettings.model_validate(
        {
            "gates": {
                "golden.accuracy": {"condition": ">= 0.9", "minimum_cases": 6},
                "golden.format": ">= 0.9",
                "golden.abstention_recall": ">= 0.9",
            }
        }
    )
    plan = make_plan(
        model="desk",
        suites=[parts.suite(cases), golden],
        metrics=metrics_for(task),
        conditions=settings.gates,
        sampling=Sampling(),
    )
    accuracy, form, recall = gate_sizes(plan)
    assert (accuracy.enough, form.enough, recall.enough) == (False, True, False)
    assert what_is_missing(recall).startswith("golden.abstention_recall counts none of the cases")
    assert what_helps(accuracy, share=None, automatic_up_to=0.25) == (
        "add 1 case that it counts to the suite's file"
    )


def size(counted: int, rows: int, **gate: Any) -> GateSize:
    (parsed,) = gates.parse_gates(
        EvaluationSettings.model_validate(
            {"gates": {"accuracy": {"condition": ">= 1", **gate}}}
        ).gates,
        metrics={"held-out": ["accuracy"]},
        main_suite="held-out",
    )
    return GateSize(gate=parsed, counted=counted, at_most=counted, minimum=50, rows=rows)


@pytest.mark.parametrize(
    ("counted", "rows", "share", "expected"),
    [
        (32, 400, 0.1, "set data.holdout_share: auto"),
        (32, 160, 0.2, "set data.holdout_share: 0.33"),
        (40, 160, None, "add about 50 rows that it counts"),
        (2, 20, None, "add about 190 rows that it counts"),
        (47, 220, None, "set data.holdout_share: 0.27"),
        (47, 220, None, "add about 22 rows that it counts"),
    ],
)
def test_what_helps_is_said_in_numbers(
    counted: int, rows: int, share: float | None, expected: str
) -> None:
    assert expected in what_helps(size(counted, rows), share=share, automatic_up_to=0.25)


def test_what_would_not_help_is_not_said() -> None:
    none = what_helps(size(0, 0), share=None, automatic_up_to=0.25)
    assert "drop the gate" in none and "minimum_cases" not in none
    own = what_helps(size(12, 48, minimum_cases=20), share=None, automatic_up_to=0.25)
    assert "lower its own minimum_cases" in own
    assert "holdout_share" not in what_helps(size(2, 20), share=0.1, automatic_up_to=0.25)


@pytest.mark.parametrize(
    ("groups", "decision", "gate", "told"),
    [
        (5, "balanced", ">= 0.95", "51 held-out cases that are 5 groups"),
        (17, "balanced", ">= 0.95", ""),
        (51, "balanced", ">= 0.95", ""),
        (5, "balanced", {"condition": ">= 0.95", "minimum_cases": 51}, ""),
        (5, "lenient", ">= 0.85", ""),
        (51, "strict", ">= 0.95", "counts 51 held-out cases: too few to be sure"),
    ],
)
def test_what_even_a_flawless_candidate_cannot_show_is_known_before_training(
    task: TaskSettings, parts: Any, groups: int, decision: Any, gate: Any, told: str
) -> None:
    """A customer's cases and those that are nearly alike say less than as many others; said as the
    gate itself judges what nobody failed."""
    cases = [replace(parts.case(f"c{n:02}", FIELDS), group=f"g{n % groups}") for n in range(51)]
    settings = EvaluationSettings.model_validate({"gates": {"format": gate}})
    plan = make_plan(
        model="desk",
        suites=[parts.suite(cases)],
        metrics=metrics_for(task),
        conditions=settings.gates,
        sampling=Sampling(),
        minimum_cases=50,
        decision=decision,
    )
    (size,) = gate_sizes(plan)
    assert (told in what_is_doubted(size)) if told else size.doubt is None

    answers = parts.answers(plan.main_suite, {case.id: case.expected for case in cases})
    result = measure(answers, plan.metrics)
    rule = plan.rule.at(1)
    outcome = gates.apply_gates(
        plan.gate_lock,
        figures={"held-out": result.figures},
        sizes=plan.sizes(),
        rule=rule,
        bounds={"held-out": bounds_of(result, plan.metrics, level=rule.level)},
    )
    assert (outcome.verdict == "refused") == bool(told)
