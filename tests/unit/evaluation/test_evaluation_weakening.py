"""What asks for less than by default, or than production was asked for, is found and told."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop.evaluation import weakening
from tuneloop.evaluation.gates import condition_of
from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.testing.manifest import manifest_of


def settings(*, kind: str | None = None, **evaluation: Any) -> dict[str, Any]:
    """The `evaluation` section of a valid model file, as a manifest keeps it."""
    model = ModelSettings.model_validate(
        {
            "name": "desk",
            "base": "b",
            "data": DataSettings(sources=("rows.jsonl",)),
            "task": {"kind": kind},
            "evaluation": evaluation,
        }
    )
    return model.evaluation.model_dump(mode="json")


def told(now: dict[str, Any], was: dict[str, Any] | None = None, **cases: Any) -> list[str]:
    found = weakening.weaker(
        now,
        prose=False,
        production=was,
        cases=cases.get("cases", {}),
        production_cases=cases.get("then", {}),
    )
    return [weakness.sentence for weakness in found]


@pytest.mark.parametrize(
    ("now", "was", "weaker"),
    [
        (">= 0.80", ">= 0.90", True),
        (">= 0.9", ">= 0.90", False),
        (">= 0.95", ">= 0.90", False),
        (">= 0.90", "> 0.90", True),
        ("> 0.90", ">= 0.90", False),
        ("<= 0.10", "<= 0.05", True),
        ("<= 0.05", "< 0.05", True),
        ("<= 0.01", "<= 0.05", False),
        ("<= 0.95", ">= 0.90", True),
        ("not worse than base", "better than base", True),
        ("better than base", "not worse than base", False),
        ("better than production", "better than base", True),
        (">= 0.40", "better than base", True),
        ("better than base", ">= 0.40", True),
    ],
)
def test_a_condition_is_weaker_where_it_lets_more_pass(now: str, was: str, weaker: bool) -> None:
    assert weakening.is_weaker(condition_of("m", now), condition_of("m", was)) is weaker


def test_a_gate_below_its_default_is_told_with_its_reason() -> None:
    lowered = {"condition": ">= 0.80", "reason": "labels overlap"}
    assert told(settings(gates={"accuracy": lowered})) == [
        "weaker than the default: accuracy >= 0.80 (default >= 0.90): labels overlap"
    ]
    assert told(settings(gates={"accuracy": ">= 0.80"})) == [
        "weaker than the default: accuracy >= 0.80 (default >= 0.90): no reason is given"
    ]
    dropped = {"condition": None, "reason": "labels overlap"}
    assert told(settings(gates={"held-out.accuracy": dropped})) == [
        "weaker than the default: accuracy is not asked (default >= 0.90): labels overlap"
    ]
    few = {"condition": ">= 0.95", "minimum_cases": 10}
    assert told(settings(gates={"accuracy": few, "abstention_recall": few})) == [
        "weaker than the default: accuracy passes on 10 cases (default 50): no reason is given"
    ]


def test_what_is_as_strong_is_not_told() -> None:
    assert told(settings()) == []
    assert told(settings(gates={"accuracy": ">= 0.95", "json_field.a": ">= 0.1"})) == []
    strict = settings(gates={"accuracy": ">= 0.99"}, margin=0.01, minimum_cases=80)
    assert told(strict, settings()) == []


def test_settings_are_told_with_the_reasons_of_the_section() -> None:
    loose = settings(
        margin=0.05,
        minimum_cases=25,
        allow_small_suite=True,
        reasons={"margin": "two bundles differ by that much"},
    )
    assert told(loose) == [
        "weaker than the default: margin 0.05 (default 0.02): two bundles differ by that much",
        "weaker than the default: minimum_cases 25 (default 50): no reason is given",
        "weaker than the default: allow_small_suite true (default false): no reason is given",
    ]


def test_production_is_what_a_candidate_is_held_to() -> None:
    was = settings(
        gates={"accuracy": ">= 0.95", "json_field.a": ">= 0.5", "golden.accuracy": ">= 0.9"},
        suites=[{"name": "golden", "file": "g"}],
    )
    now = settings(
        gates={"accuracy": ">= 0.92", "json_field.a": {"condition": None, "reason": "r"}}
    )
    cases = {"held-out": {f"{n}" for n in range(26)}}
    then = {"held-out": {f"{n}" for n in range(43)}, "golden": {"g1", "g2"}}
    assert told(now, was, cases=cases, then=then) == [
        "weaker than production's: accuracy >= 0.92 (was >= 0.95): no reason is given",
        "weaker than production's: json_field.a is not asked (was >= 0.5): r",
        "weaker than production's: golden.accuracy is not asked (was >= 0.9): no reason is given",
        "weaker than production's: 17 of the 43 cases of suite held-out are gone: no reason is "
        "given",
        "weaker than production's: suite golden was dropped, and 2 of its 2 cases: no reason is "
        "given",
    ]


def test_a_case_that_only_moved_to_another_suite_is_asked_still() -> None:
    then = {"held-out": {"a", "b"}, "golden": {"c"}}
    now = {"held-out": {"a"}, "regressions": {"b", "c"}}
    assert told(settings(), settings(), cases=now, then=then) == []


def test_what_was_as_weak_in_production_is_told_once() -> None:
    found = told(settings(gates={"accuracy": ">= 0.80"}), settings())
    assert found == ["weaker than production's: accuracy >= 0.80 (was >= 0.90): no reason is given"]
    same = settings(gates={"accuracy": {"condition": ">= 0.80", "reason": "r"}})
    assert told(same, same) == ["weaker than the default: accuracy >= 0.80 (default >= 0.90): r"], (
        "it stays known for as long as it holds"
    )


def test_prose_may_be_better_than_the_base_by_another_likeness() -> None:
    for likeness in ("rouge_l", "held-out.similarity"):
        written = settings(kind="prose", gates={likeness: "better than base"})
        assert "chrf" not in written["gates"] and written["gates"]["answered"] == ">= 0.95"
        assert not list(weakening.than_default(written, prose=True))
    bar = settings(kind="prose", gates={"rouge_l": ">= 0.2"})
    assert bar["gates"]["chrf"] == "better than base"
    worse = settings(kind="prose", gates={"chrf": "not worse than base"})
    (found,) = weakening.than_default(worse, prose=True)
    assert found.now == "chrf not worse than base" and found.was == "better than base"


def test_a_bundle_of_an_earlier_release_is_held_against_the_defaults() -> None:
    old = {"gates": {"format": ">= 0.95"}, "margin": 0.02, "minimum_cases": 50}
    manifest = manifest_of(model="desk", evaluation={"settings": old}, task={})
    assert [found.sentence for found in weakening.weakened(manifest)] == [
        "weaker than the default: accuracy is not asked (default >= 0.90): no reason is given"
    ]
    assert weakening.weakened(manifest_of(model="desk")) == ()
    kept = {"about": "evaluation.margin", "than": "production", "now": "margin 0.3", "was": "0.02"}
    manifest = manifest_of(model="desk", evaluation={"settings": old, "weakened": [kept]})
    assert [found.sentence for found in weakening.weakened(manifest)] == [
        "weaker than production's: margin 0.3 (was 0.02): no reason is given"
    ]


def test_a_reason_is_asked_for_where_it_belongs() -> None:
    now = settings(gates={"accuracy": ">= 0.8"}, margin=0.1)
    found = weakening.weaker(
        now, prose=False, production=None, cases={"a": ()}, production_cases={"a": {"1"}}
    )
    assert {weakness.reason_key for weakness in found} == {
        "evaluation.gates.accuracy.reason",
        "evaluation.reasons.margin",
        "evaluation.reasons.a",
    }
