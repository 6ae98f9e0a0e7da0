"""A backtest says what a shadow stage would say, and compares with what people said beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tuneloop.deployment.backtest import (
    EXAMPLES,
    Answer,
    Backtest,
    GuardResult,
    Pair,
    Replayed,
    conclude,
    correction_in,
    same_answer,
    shadow_first,
)
from tuneloop.deployment.outcomes import outcomes
from tuneloop.deployment.rollout_plan import Guard, GuardName, RolloutPlan, ShadowStep
from tuneloop.task.answer_form import declared_form

FITS = declared_form({"output_schema": {"type": "object", "required": ["intent"]}})
PLAN = RolloutPlan(
    guards=(Guard(name="errors"), Guard(name="format"), Guard(name="latency", above=900.0)),
    shadow=ShadowStep(minimum_pairs=40),
)
REPLAYED = Replayed(
    candidate="c",
    production="p",
    since=datetime(2026, 3, 2, tzinfo=UTC),
    chats=50,
    left_out={},
    redacted=False,
)
GOOD = Answer(
    status=200,
    error=None,
    response='{"intent": "billing"}',
    tool_calls=None,
    latency_ms=300.0,
    completion_tokens=9,
)
PROSE = replace(GOOD, response="It is about billing.")
FAILED = replace(GOOD, status=502, error="upstream_reset", response="")


def pairs(
    count: int,
    *,
    candidate: Callable[[int], Answer] = lambda n: GOOD,
    production: Callable[[int], Answer] = lambda n: GOOD,
    correction: Callable[[int], str | None] = lambda n: None,
) -> list[Pair]:
    return [
        Pair(
            interaction=f"i{n}",
            question=f"question {n}",
            production=production(n),
            candidate=candidate(n),
            correction=correction(n),
        )
        for n in range(count)
    ]


def judged(found: list[Pair], **options: Any) -> Backtest:
    return conclude(PLAN, found, fits=FITS, replayed=REPLAYED, **options)


def guard(found: Backtest, name: GuardName) -> GuardResult:
    return next(one for one in found.guards if one.name == name)


def test_a_candidate_that_answers_as_well_shows_no_harm() -> None:
    found = judged(pairs(40))
    assert found.verdict == "no_harm_seen"
    assert {one.standing for one in found.guards} == {"no_harm_seen"}
    share = guard(found, "format").candidate
    assert share is not None and (share.value, share.n) == (0.0, 40)
    assert 0.05 < share.high < 0.1, "forty good answers do not prove that all are"
    assert found.agreement is not None and found.agreement.value == 1.0
    assert found.differences == () and found.corrected is None


def test_too_few_pairs_decide_nothing() -> None:
    found = judged(pairs(39))
    assert found.verdict == "undecided"
    assert "39 of 40" in found.reason
    assert guard(found, "errors").standing == "too_few"


def test_a_candidate_that_breaks_the_form_is_worse_and_shown() -> None:
    found = judged(
        pairs(
            60,
            candidate=lambda n: (
                PROSE if n % 3 == 0 else replace(GOOD, response=f'{{"intent": {n}}}')
            ),
        )
    )
    assert found.verdict == "worse" and found.reason.startswith("format")
    broken = guard(found, "format")
    assert (broken.standing, broken.candidate_only, broken.production_only) == ("worse", 20, 0)
    assert broken.e_value >= PLAN.proof
    assert broken.candidate is not None and broken.production is not None
    assert broken.candidate.value == pytest.approx(1 / 3)
    assert broken.candidate.low > broken.production.high
    assert guard(found, "errors").standing == "no_harm_seen"
    assert len(found.differences) == EXAMPLES
    assert {one.bad for one in found.differences} == {("format",)}, "what counts comes first"
    assert found.differences[0].question == "question 0"


def test_a_better_candidate_is_not_worse_for_being_different() -> None:
    found = judged(pairs(60, production=lambda n: PROSE))
    assert found.verdict == "no_harm_seen"
    assert guard(found, "format").production_only == 60
    assert found.agreement is not None and found.agreement.value == 0.0
    assert {one.bad for one in found.differences} == {()}


def test_what_is_hard_for_both_is_evidence_against_neither() -> None:
    found = judged(pairs(60, production=lambda n: PROSE, candidate=lambda n: PROSE))
    broken = guard(found, "format")
    assert found.verdict == "no_harm_seen"
    assert (broken.candidate_only, broken.production_only, broken.e_value) == (0, 0, 1.0)
    assert broken.candidate is not None and broken.candidate.value == 1.0


def test_failures_count_once_and_agree_with_nothing() -> None:
    found = judged(pairs(60, candidate=lambda n: FAILED if n < 12 else GOOD))
    assert found.verdict == "worse" and found.reason.startswith("errors")
    form = guard(found, "format").candidate
    assert form is not None and (form.n, form.value) == (48, 0.0)
    assert found.agreement is not None and found.agreement.n == 48
    assert found.differences[0].candidate == "(upstream_reset)"


def test_a_suspicion_is_neither_harm_nor_harmless() -> None:
    found = judged(pairs(60, candidate=lambda n: PROSE if n < 5 else GOOD))
    assert found.verdict == "undecided"
    assert guard(found, "format").standing == "suspicious"
    assert PLAN.hold_at <= guard(found, "format").e_value < PLAN.proof


def test_a_plan_without_a_shadow_gets_one() -> None:
    without = replace(PLAN, shadow=None)
    assert shadow_first(without, pairs=7).stages[0].name == "shadow"
    assert shadow_first(without, pairs=7).minimum(shadow_first(without, pairs=7).stages[0]) == 7
    assert shadow_first(PLAN, pairs=7) == PLAN


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Yes.", " Yes.\n", True),
        ("Yes.", "yes.", False),
        ('{"a": 1, "b": [2]}', '{ "b":[2],"a":1 }', True),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": NaN}', '{"a": NaN}', True),
        ("[" * 100_000, "[" * 100_000, True),
    ],
)
def test_equal_answers_may_be_written_differently(one: str, other: str, same: bool) -> None:
    assert same_answer(replace(GOOD, response=one), replace(GOOD, response=other)) is same


def test_tool_calls_are_compared_without_their_ids() -> None:
    def calling(identity: str, arguments: str, name: str = "refund") -> Answer:
        call = {"id": identity, "function": {"name": name, "arguments": arguments}}
        return replace(GOOD, response="", tool_calls=json.dumps([call]))

    assert same_answer(calling("1", '{"a":1,"b":2}'), calling("2", '{"b": 2, "a": 1}'))
    assert not same_answer(calling("1", '{"a":1}'), calling("1", '{"a":2}'))
    assert not same_answer(calling("1", "{}"), calling("1", "{}", name="escalate"))
    assert not same_answer(calling("1", "{}"), replace(GOOD, response=""))


@pytest.mark.parametrize(
    ("kind", "value", "right"),
    [
        ("edit", '"Sorry, no."', "Sorry, no."),
        ("edit", '{"text": "Sorry, no."}', "Sorry, no."),
        ("edit", "4", None),
        ("label", '{"intent": "fault"}', '{"intent": "fault"}'),
        ("label", json.dumps('{"intent": "fault"}'), '{"intent": "fault"}'),
        ("label", '{"intent": "fault", "text": "x"}', '{"intent": "fault", "text": "x"}'),
        ("label", '"rude"', None),
        ("rating", "1", None),
        ("edit", "no JSON", None),
    ],
)
def test_what_feedback_says_the_answer_should_have_been(
    kind: str, value: str, right: str | None
) -> None:
    assert correction_in(kind, value, FITS) == right


def test_corrections_compare_both_without_those_that_were_learned() -> None:
    right = '{"intent":"fault"}'

    found = judged(
        pairs(
            60,
            candidate=lambda n: replace(GOOD, response='{ "intent": "fault" }') if n < 8 else GOOD,
            correction=lambda n: right if n < 10 else None,
        ),
        trained_on={"i0", "i1", "i50"},
    )
    corrected = found.corrected
    assert corrected is not None and corrected.trained_on == 2
    assert corrected.candidate is not None and corrected.production is not None
    assert (corrected.candidate.value, corrected.candidate.n) == (6 / 8, 8)
    assert corrected.production.value == 0.0
    assert found.verdict == "no_harm_seen"

    learned = judged(
        pairs(60, correction=lambda n: right if n < 2 else None), trained_on={"i0", "i1"}
    ).corrected
    assert learned is not None and learned.candidate is None and learned.trained_on == 2


def test_an_answer_that_calls_a_tool_is_held_against_no_form_of_words() -> None:
    plan = RolloutPlan(guards=(Guard(name="format"),))
    row = {"status": 200, "error": None, "response": "", "tool_calls": None}
    fits = declared_form({})
    assert outcomes(row, plan, fits) == {"format": True}
    assert outcomes({**row, "tool_calls": '[{"id": "1"}]'}, plan, fits) == {"format": False}
    thought = {**row, "response": "<think>so</think>\n"}
    assert outcomes(thought, plan, fits) == {"format": True}
    assert outcomes({**thought, "response": "<think>so</think>yes"}, plan, fits) == {
        "format": False
    }
