"""The verdict on the golden set: against its limit, and against the release on the same cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from tuneloop.evaluation.suites import Case
from tuneloop.intervals import share
from tuneloop.modelfile import GoldenSettings
from tuneloop.monitoring.golden_limit import SuiteNow, below, pooled
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.window import Window
from tuneloop.online_evaluation.golden import CaseOutcome, golden_measurement, pass_bound

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def outcomes(*counts: tuple[int, bool, bool | None]) -> list[CaseOutcome]:
    """(how many, passed now, passed at release)."""
    flat = [(now, then) for count, now, then in counts for _ in range(count)]
    return [
        CaseOutcome(
            suite="golden",
            case=Case(id=str(i), messages=({"role": "user", "content": f"q {i}"},)),
            output=f"a {i}",
            passed=now,
            at_release=then,
        )
        for i, (now, then) in enumerate(flat)
    ]


def measured(
    *counts: tuple[int, bool, bool | None],
    mixed_by: str | None = None,
    gate: float | None = None,
    **settings: float,
) -> Measurement:
    return golden_measurement(
        Window(endpoint="desk", bundle="b", start=NOW, end=NOW),
        outcomes(*counts),
        GoldenSettings.model_validate(settings),
        margin=0.02,
        bounds={} if gate is None else {"golden": gate},
        mixed_by=mixed_by,
    )


def test_all_as_at_release_is_well() -> None:
    found = measured((48, True, True), (2, False, False))
    assert (found.verdict, found.value, found.n) == ("ok", 0.96, 50)
    assert "95 % interval" in found.message
    assert "within the margin" in found.message or "may be worse" in found.message
    assert [one["case"] for one in found.detail["failed"]] == ["48", "49"]
    assert found.detail["at_release"]["now_only"] == 0


def test_below_the_limit_is_an_alert() -> None:
    limit = {"pass_rate_below": 0.9}
    assert measured((8, True, True), (2, False, False), **limit).verdict == "alert"
    within = measured((9, True, True), (1, False, False), **limit)
    assert within.verdict == "ok", "the limit is still good"


def test_a_bundle_that_just_passed_does_not_alert_with_the_same_answers() -> None:
    as_evaluated = ((16, True, True), (2, False, False))
    for found in (
        measured(*as_evaluated),
        measured(*as_evaluated, gate=0.88),
        measured(*as_evaluated, gate=0.95),  # declared since, or missed: for the next candidate
        measured(*as_evaluated, mixed_by="r1"),
    ):
        assert (found.verdict, round(found.value or 0, 3)) == ("ok", 0.889), found.message
        assert "the limit: " in found.message
    assert measured(*as_evaluated, pass_rate_below=0.9).verdict == "alert", "what is said wins"


def test_the_gate_on_the_suite_is_the_limit() -> None:
    assert measured((8, True, None), (2, False, None), gate=0.85).verdict == "alert"
    found = measured((17, True, None), (3, False, None), gate=0.85)
    assert (found.verdict, found.limit and found.limit.threshold) == ("ok", 0.85)
    assert "its gate" in found.message


def test_just_at_the_gate_is_good_whatever_floats_make_of_it() -> None:
    """51 of 75 is 0.68, and 0.68 * 75 is a little more than 51."""
    wrong = []
    for cases, percent in product(range(1, 101), range(1, 101)):
        suites = [
            SuiteNow(name="golden", passed=n, cases=cases, bound=percent / 100, released=None)
            for n in range(cases + 1)
        ]
        low = {one.passed for one in below(suites)}
        limit = pooled(suites[:1])
        for n in range(cases + 1):
            seen = (n in low, limit.crossed(n / cases))
            if seen != (100 * n < percent * cases,) * 2:
                wrong.append((n, cases, percent, seen))
    assert wrong == []


def test_two_suites_just_at_their_gates_are_good_together() -> None:
    """And good enough for an alert to end, where the bundle did no better at release."""
    wrong = []
    sizes = range(1, 101, 3)
    for first, second, percent in product(sizes, sizes, range(1, 101)):
        passed, rest = divmod(percent * (first + second), 100)
        if rest:
            continue
        suites = [
            SuiteNow(
                name="golden",
                passed=0,
                cases=cases,
                bound=percent / 100,
                released=None if percent * cases % 100 else share(percent * cases // 100, cases),
            )
            for cases in (first, second)
        ]
        limit, rate = pooled(suites), passed / (first + second)
        ends = limit.best is None or limit.cleared(rate)
        if limit.crossed(rate) or not ends or not limit.crossed((passed - 1) / (first + second)):
            wrong.append((first, second, percent))
    assert wrong == []


def test_without_a_gate_the_evaluation_is_the_limit() -> None:
    """16 of 18 at release, 95 % interval from 67 %: one case that turns alerts nobody."""
    one_lost = measured((15, True, True), (1, False, True), (2, False, False))
    assert one_lost.verdict == "ok" and "passed 88.9 %" in one_lost.message
    many = measured((12, True, True), (4, False, True), (2, False, False))
    assert many.verdict == "alert"
    assert many.limit is not None and many.limit.cleared(15 / 18), "it comes back to what it was"


def test_a_suite_below_its_own_limit_is_not_hidden_by_another_one() -> None:
    mine = outcomes((90, True, True))
    other = [replace(one, suite="safety") for one in outcomes((7, True, True), (3, False, True))]
    found = golden_measurement(
        Window(endpoint="desk", bundle="b", start=NOW, end=NOW),
        [*mine, *other],
        GoldenSettings(),
        margin=0.02,
        bounds={"golden": 0.9, "safety": 0.9},
    )
    assert (found.verdict, found.value) == ("alert", 0.97)
    assert "safety (7 of 10)" in found.message


def test_the_gates_of_a_suite_that_bound_its_pass_rate() -> None:
    gates = {"golden.accuracy": ">= 0.8", "accuracy": ">= 0.9", "golden.latency_p95_ms": "<= 900"}
    assert pass_bound(gates, "golden") == 0.8
    assert pass_bound(gates, "safety") is None
    assert pass_bound({"golden.accuracy": "<= 0.8"}, "golden") is None


def test_above_the_limit_but_provably_worse_than_at_release_is_an_alert() -> None:
    worse = measured((94, True, True), (6, False, True))
    assert (worse.verdict, worse.value) == ("alert", 0.94)
    assert worse.detail["at_release"]["verdict"] == "worse"
    assert worse.detail["at_release"]["p_value"] == pytest.approx(2 / 2**6)
    # As many cases that differ, in both directions: chance, as far as anybody can tell.
    assert measured((90, True, True), (5, False, True), (5, True, False)).verdict == "ok"


def test_too_few_cases_alert_nobody() -> None:
    found = measured((9, False, True))
    assert found.verdict == "not_enough_data"
    assert measured((9, False, True), minimum_cases=9).verdict == "alert"
    assert measured().verdict == "not_enough_data"


def test_cases_that_the_release_did_not_know_are_counted_and_not_compared() -> None:
    found = measured((95, True, None), (5, False, None))
    assert (found.verdict, found.detail["at_release"]) == ("ok", None)
    assert "no case was asked at release" in found.message


def test_during_a_canary_nothing_is_compared_with_the_release() -> None:
    found = measured((94, True, True), (6, False, True), mixed_by="r1")
    assert (found.verdict, found.detail["rollout"]) == ("ok", "r1")
    assert "some answers are its candidate's" in found.message
