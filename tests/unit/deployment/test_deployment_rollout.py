"""A rollout goes on, stays or goes back by what was declared before it started, and says why."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.deployment.rollout import (
    Counted,
    GuardEvidence,
    GuardOutcomes,
    Observation,
    StageEvidence,
    decide,
    weigh,
)
from tuneloop.deployment.rollout_plan import Guard, GuardName, RolloutPlan, ShadowStep, Stage
from tuneloop.errors import DeploymentError

PLAN = RolloutPlan(
    guards=(
        Guard(name="errors"),
        Guard(name="format"),
        Guard(name="latency", above=900.0),
        Guard(name="edits"),
    ),
    shadow=ShadowStep(minimum_pairs=50),
)
SHADOW, FIRST, SECOND, LAST, FULL = PLAN.stages


def guard(name: GuardName, *, n: int = 200, e_value: float = 0.9, **fields: Any) -> GuardEvidence:
    calm = GuardEvidence(
        name=name,
        candidate=Counted(bad=2, n=n),
        production=Counted(bad=40, n=3_800),
        found=2,
        expected=2.1,
        e_value=e_value,
        highest=max(1.0, e_value),
    )
    return replace(calm, **fields)


def evidence(*changed: GuardEvidence, **fields: Any) -> StageEvidence:
    by_name = {one.name: one for one in changed}
    calm = StageEvidence(
        guards=tuple(by_name.get(one.name, guard(one.name)) for one in PLAN.guards),
        candidate=200,
        conversations=4_000,
        routing_e_value=0.3,
        hours=2.0,
    )
    return replace(calm, **fields)


# The plan


def test_stages_run_from_shadow_to_full() -> None:
    assert [str(one) for one in PLAN.stages] == [
        "shadow",
        "canary 0.05",
        "canary 0.25",
        "canary 0.5",
        "full",
    ]
    assert [one.share for one in PLAN.stages] == [0.0, 0.05, 0.25, 0.5, 1.0]
    assert replace(PLAN, shadow=None).stages[0] == Stage(name="canary", step=0, share=0.05)


in_shadow = ("errors", "format", "latency", "length")
guards = st.lists(
    st.one_of(
        st.builds(Guard, name=st.sampled_from(["errors", "format", "judge"])),
        st.builds(Guard, name=st.just("latency"), above=st.floats(1, 1e6)),
        st.builds(Guard, name=st.just("length"), above=st.integers(2, 999), below=st.just(1)),
    ),
    min_size=1,
    unique_by=lambda one: one.name,
).map(tuple)
shadows = st.none() | st.builds(ShadowStep, share=st.floats(0.01, 1.0))
measurable = st.tuples(guards, shadows).filter(  # a plan with shadow needs a guard for it
    lambda pair: pair[1] is None or any(one.name in in_shadow for one in pair[0])
)
plans = st.builds(
    lambda measurable, **rest: RolloutPlan(guards=measurable[0], shadow=measurable[1], **rest),
    measurable=measurable,
    steps=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(
        lambda steps: tuple(sorted(steps))
    ),
    minimum_samples=st.integers(1, 10_000),
    alpha=st.floats(0.001, 0.2),
    maximum_step_hours=st.integers(1, 1_000),
)


@given(plan=plans)
def test_a_stored_plan_is_the_same_plan(plan: RolloutPlan) -> None:
    stored = RolloutPlan.from_json(plan.to_json())
    assert stored == plan
    assert stored.digest == plan.digest


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.04},
        {"steps": (0.05, 0.5)},
        {"minimum_samples": 199},
        {"hold_at": 5.0},
        {"maximum_step_hours": 47.0},
        {"shadow": ShadowStep(minimum_pairs=51)},
        {"guards": (*PLAN.guards[:2], Guard(name="latency", above=901.0), PLAN.guards[3])},
    ],
)
def test_whatever_decides_is_in_the_digest(change: dict[str, Any]) -> None:
    assert replace(PLAN, **change).digest != PLAN.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"guards": ()}, "expected at least one guard"),
        ({"guards": (Guard(name="errors"), Guard(name="errors"))}, "expected each guard once"),
        ({"guards": (Guard(name="edits"),)}, "expected a guard that shadow can measure"),
        ({"guards": (Guard(name="judge"),)}, "expected a guard that shadow can measure"),
        ({"steps": ()}, "expected steps that rise between 0 and 1"),
        ({"steps": (0.5, 0.25)}, "expected steps that rise between 0 and 1"),
        ({"steps": (0.5, 1.0)}, "expected steps that rise between 0 and 1"),
        ({"minimum_samples": 0}, "minimum_samples: expected 1 or more, got 0"),
        ({"alpha": 0.0}, "alpha: expected 1e-06 to 0.5, got 0"),
        ({"alpha": float("nan")}, "alpha: expected"),
        ({"hold_at": 81.0}, "hold_at: expected 1 to 80, got 81"),
        ({"maximum_step_hours": 0}, "maximum_step_hours: expected"),
        ({"shadow": ShadowStep(share=0)}, "shadow.share: expected"),
        ({"shadow": ShadowStep(minimum_pairs=0)}, "shadow.minimum_pairs: expected 1 or more"),
    ],
)
def test_a_plan_that_cannot_be_says_what_was_expected(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DeploymentError) as caught:
        replace(PLAN, **change)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "latency"},
        {"name": "latency", "above": 900.0, "below": 1.0},
        {"name": "length"},
        {"name": "errors", "below": 1.0},
        {"name": "aborts", "above": 1.0},
    ],
)
def test_a_guard_has_the_limits_that_fit_it(fields: dict[str, Any]) -> None:
    with pytest.raises(DeploymentError, match=f"guard '{fields['name']}': expected"):
        Guard(**fields)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"guards": [{"name": "speed"}]}, "speed"),
        ({"guards": [{"name": "errors"}], "alpha": "small"}, "alpha"),
        ({}, "guards"),
    ],
)
def test_a_stored_plan_that_is_none_is_refused(stored: dict[str, Any], said: str) -> None:
    with pytest.raises(DeploymentError, match=said):
        RolloutPlan.from_json(stored)


def test_limits_themselves_are_still_good() -> None:
    length = Guard(name="length", above=400, below=5)
    assert [length.is_bad(tokens) for tokens in (4, 5, 400, 401)] == [True, False, False, True]
    assert not Guard(name="latency", above=900).is_bad(900.0)
    assert Guard(name="format").is_bad(True)
    assert not Guard(name="format").is_bad(False)


# The verdict


def test_too_few_conversations_hold_and_say_how_many() -> None:
    verdict = decide(PLAN, FIRST, evidence(guard("format", n=12)))
    assert verdict.action == "hold"
    assert verdict.reason == "canary 0.05: 12 of 200 conversations of the candidate (format)"
    assert not verdict.needs_person


def test_too_little_of_production_holds_as_well() -> None:
    short = guard("errors", production=Counted(bad=0, n=150))
    verdict = decide(PLAN, FIRST, evidence(short))
    assert verdict.reason == "canary 0.05: 150 of 200 conversations of production (errors)"


@pytest.mark.parametrize(
    ("stage", "action", "way"),
    [
        (FIRST, "promote", "canary 0.05 → canary 0.25"),
        (SECOND, "promote", "canary 0.25 → canary 0.5"),
        (LAST, "finish", "canary 0.5 → full"),
    ],
)
def test_no_harm_moves_on(stage: Stage, action: str, way: str) -> None:
    verdict = decide(PLAN, stage, evidence())
    assert verdict.action == action
    assert verdict.reason.startswith(f"{way}: no harm seen in 200 conversations of the candidate")


def test_proven_harm_goes_back_and_names_guard_shares_and_proof() -> None:
    harmed = guard(
        "format",
        n=60,
        candidate=Counted(bad=6, n=60),
        production=Counted(bad=23, n=1_140),
        found=6,
        expected=1.45,
        e_value=131.0,
        highest=131.0,
    )
    verdict = decide(PLAN, FIRST, evidence(harmed, candidate=60, conversations=1_200))
    assert verdict.action == "roll_back"
    assert verdict.reason == (
        "format: in this step 6 of 60 (10.0%) conversations of the candidate are bad and 23 of "
        "1140 (2.0%) of production; in the whole rollout 6 count against the candidate, where an "
        "equal one would have 1.4 (e-value 131, proof from 80)"
    )


def test_the_error_is_shared_among_the_declared_guards() -> None:
    almost, proven = guard("format", e_value=79.9), guard("format", e_value=80.0)
    assert decide(PLAN, FIRST, evidence(almost)).action == "hold"
    assert decide(PLAN, FIRST, evidence(proven)).action == "roll_back"
    one = replace(PLAN, shadow=None, guards=PLAN.guards[1:2])
    alone = evidence(guards=(guard("format", e_value=20.0),))
    assert decide(one, one.stages[0], alone).action == "roll_back"


def test_what_was_proven_while_nobody_looked_goes_back() -> None:
    recovered = guard("edits", e_value=20.0, highest=90.0)
    assert decide(PLAN, SECOND, evidence(recovered)).action == "roll_back"


def test_nobody_is_promoted_on_suspicion_and_after_two_days_a_person_is_asked() -> None:
    suspect = guard("latency", e_value=2.0)
    verdict = decide(PLAN, FIRST, evidence(suspect))
    assert (verdict.action, verdict.needs_person) == ("hold", False)
    assert "latency" in verdict.reason
    assert "e-value 2, suspicion from 2, proof from 80" in verdict.reason
    late = decide(PLAN, FIRST, evidence(suspect, hours=48.0))
    assert (late.action, late.needs_person) == ("hold", True)
    assert late.reason.endswith("after 48 hours in this step a person should decide")
    assert decide(PLAN, FIRST, evidence(guard("latency", e_value=1.9))).action == "promote"


def test_traffic_that_is_not_divided_as_declared_needs_a_person() -> None:
    verdict = decide(PLAN, FIRST, evidence(candidate=0, routing_e_value=5_000.0))
    assert (verdict.action, verdict.needs_person) == ("hold", True)
    assert "0 of 4000 conversations went to the candidate" in verdict.reason


def test_proven_harm_goes_back_even_where_the_traffic_is_not_divided_as_declared() -> None:
    seen = evidence(guard("errors", e_value=100.0), routing_e_value=5_000.0)
    assert decide(PLAN, FIRST, seen).action == "roll_back"


def test_a_declared_guard_that_was_not_measured_is_no_evidence() -> None:
    with pytest.raises(ValueError, match="edits"):
        decide(PLAN, FIRST, evidence(guards=evidence().guards[:3]))
    with pytest.raises(ValueError, match="full"):
        decide(PLAN, FULL, evidence())


# The evidence


def seen(
    stage: Stage, *, candidate: GuardOutcomes | None = None, production: GuardOutcomes | None = None
) -> Observation:
    return Observation(
        step=stage.step, share=stage.share, candidate=candidate, production=production
    )


def of(found: StageEvidence, name: GuardName) -> GuardEvidence:
    return next(one for one in found.guards if one.name == name)


def test_every_bundle_is_counted_by_what_was_measured_on_it() -> None:
    found = weigh(
        PLAN,
        FIRST,
        [
            seen(FIRST, candidate={"errors": True}),  # it failed: there is no form to judge
            seen(FIRST, candidate={"errors": False, "format": True}),
            seen(FIRST, production={"errors": False, "format": False}),
            seen(FIRST, production={"errors": False, "format": True}),
        ],
        hours=1.5,
    )
    assert (found.candidate, found.conversations, found.hours) == (2, 4, 1.5)
    errors, form = of(found, "errors"), of(found, "format")
    assert (errors.candidate, errors.production) == (Counted(bad=1, n=2), Counted(bad=0, n=2))
    assert (form.candidate, form.production) == (Counted(bad=1, n=1), Counted(bad=1, n=2))
    assert (form.found, form.expected) == (1, pytest.approx(0.10))
    assert form.highest > form.e_value > 1  # production's bad answer came last
    assert of(found, "edits").fewest == 0


def test_a_pair_speaks_only_if_one_answer_is_bad_and_both_were_measured() -> None:
    bad, good = {"format": True}, {"format": False}
    same = [
        seen(SHADOW, candidate=bad, production=bad),
        seen(SHADOW, candidate=good, production=good),
        seen(SHADOW, candidate=bad, production={}),
    ]
    silent = of(weigh(PLAN, SHADOW, same, hours=1), "format")
    assert (silent.candidate, silent.production) == (Counted(bad=2, n=3), Counted(bad=1, n=2))
    assert (silent.found, silent.expected, silent.e_value) == (0, 0, 1)
    more = [*same, seen(SHADOW, candidate=bad, production=good)]
    spoken = of(weigh(PLAN, SHADOW, more, hours=1), "format")
    assert (spoken.found, spoken.expected) == (1, 0.5)
    assert spoken.e_value > 1


def test_nobody_edits_a_shadow_answer() -> None:
    found = weigh(PLAN, SHADOW, [], hours=0)
    assert [one.name for one in found.guards] == ["errors", "format", "latency"]
    assert (
        decide(PLAN, SHADOW, found).reason
        == "shadow: 0 of 50 conversations of the candidate (errors)"
    )


def test_what_shadow_saw_counts_in_the_canary_but_its_pairs_fill_no_minimum() -> None:
    pairs = [
        seen(SHADOW, candidate={"format": True}, production={"format": False}) for _ in range(4)
    ]
    found = weigh(PLAN, FIRST, pairs, hours=0)
    assert of(found, "format").e_value > 1
    assert of(found, "format").fewest == 0
    assert found.conversations == 0
    assert found.routing_e_value == pytest.approx(1)


# Whole rollouts


def traffic(
    stage: Stage, rng: random.Random, *, candidate: float, production: float
) -> Iterator[Observation]:
    """Conversations without end, of which so many are failed by each bundle."""
    while True:
        if rng.random() < stage.share:
            yield seen(stage, candidate=all_guards(rng.random() < candidate))
        else:
            yield seen(stage, production=all_guards(rng.random() < production))


def all_guards(bad: bool) -> GuardOutcomes:
    return {one.name: bad and one.name == "errors" for one in PLAN.guards}


@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize("seed", range(10))
def test_a_broken_candidate_is_caught_by_its_first_answers_at_a_small_share(
    share: float, seed: int
) -> None:
    plan = replace(PLAN, shadow=None, steps=(share, 0.5))
    stage = plan.stages[0]
    observations: list[Observation] = []
    own, action = 0, "hold"
    for one in traffic(stage, random.Random(seed), candidate=1.0, production=0.005):
        observations.append(one)
        if one.candidate is None:
            continue
        own += 1
        verdict = decide(plan, stage, weigh(plan, stage, observations, hours=0))
        action = verdict.action
        if action != "hold":
            break
    assert action == "roll_back"
    assert verdict.reason.startswith(f"errors: in this step {own} of {own} (100.0%)")
    assert own <= 4


def test_an_upstream_that_fails_for_both_is_not_the_candidates_fault() -> None:
    rng = random.Random(7)
    stream = traffic(SECOND, rng, candidate=1.0, production=1.0)
    observations = [next(stream) for _ in range(1_000)]
    found = weigh(PLAN, SECOND, observations, hours=1)
    assert of(found, "errors").candidate.bad > 200
    assert decide(PLAN, SECOND, found).action != "roll_back"


def test_an_equal_candidate_arrives_while_the_error_rate_rises_tenfold() -> None:
    rng = random.Random(11)
    plan = replace(PLAN, shadow=None)
    observations: list[Observation] = []
    path = []
    for stage, rate in zip(plan.stages[:-1], (0.02, 0.08, 0.2), strict=True):
        stream = traffic(stage, rng, candidate=rate, production=rate)
        action = "hold"
        while action == "hold":
            observations += [next(stream) for _ in range(200)]
            action = decide(plan, stage, weigh(plan, stage, observations, hours=1)).action
        path.append(action)
    assert path == ["promote", "promote", "finish"]
