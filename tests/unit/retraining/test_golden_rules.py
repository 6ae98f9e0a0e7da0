"""The verdict on the golden set: against its limit, and against the release on the same cases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import GoldenSettings
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.window import Window
from tuneloop.retraining.golden import Outcome, golden_measurement

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def outcomes(*counts: tuple[int, bool, bool | None]) -> list[Outcome]:
    """(how many, passed now, passed at release)."""
    flat = [(now, then) for count, now, then in counts for _ in range(count)]
    return [
        Outcome(
            suite="golden",
            case=Case(id=str(i), messages=({"role": "user", "content": f"q {i}"},)),
            output=f"a {i}",
            passed=now,
            at_release=then,
        )
        for i, (now, then) in enumerate(flat)
    ]


def measured(
    *counts: tuple[int, bool, bool | None], mixed_by: str | None = None, **settings: float
) -> Measurement:
    return golden_measurement(
        Window(endpoint="desk", bundle="b", start=NOW, end=NOW),
        outcomes(*counts),
        GoldenSettings.model_validate(settings),
        margin=0.02,
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
    assert measured((8, True, True), (2, False, False)).verdict == "alert"
    assert measured((9, True, True), (1, False, False)).verdict == "ok", "the limit is still good"


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
