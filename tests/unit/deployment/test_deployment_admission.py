"""What keeps a behaviour out of production, and what lets it in again: the rule on histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop.deployment.admission import Judged, Past, admission, namesake
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan
from tuneloop.deployment.rollouts import Rollout
from tuneloop.registry.aliases import Move
from tuneloop.registry.standing import Entry

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PLAN = RolloutPlan(guards=(Guard(name="errors"),), shadow=None, steps=(0.5,))
SAME = {"new again": "n", "other": "o", "new": "n", "old": "o"}
"""Bundle → behaviour, the newest first."""


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def moves(*production: str, drill: bool = False, since: int = 0) -> list[Move]:
    """What was in production, given from old to new, a move an hour; the newest first."""
    pairs = zip((None, *production), production, strict=False)
    made = [
        Move(
            name="production",
            from_bundle=before,
            to_bundle=after,
            actor="ann",
            reason="it swears",
            drill=drill,
            at=at(since + hour),
        )
        for hour, (before, after) in enumerate(pairs)
    ]
    return made[::-1]


def rollout(candidate: str, status: Any, *, begun: int, ended: int | None) -> Rollout:
    return Rollout(
        id=f"r{begun}",
        model="router",
        endpoint="router",
        candidate=candidate,
        production="old",
        plan=PLAN,
        stage=PLAN.stages[0],
        status=status,
        detail="errors are proven",
        revision=2,
        created_at=at(begun),
        step_since=at(begun),
        finished_at=None if ended is None else at(ended),
    )


def said(
    event: Any, bundle: str, *, hour: int, person: str = "ines", kind: Any = "deploy"
) -> Entry:
    return Entry(
        model="router",
        bundle=bundle,
        kind=kind,
        event=event,
        person=person,
        roles=(),
        reason="it invents refunds",
        seen={},
        seen_digest="",
        at=at(hour),
    )


def judged(bundle: str, verdict: str, *, hour: int, made_with: bool = False) -> Judged:
    evaluation = f"e{hour}"
    return Judged(
        bundle=bundle, evaluation=evaluation, verdict=verdict, made_with=made_with, at=at(hour)
    )


def hows(bundle: str, **past: Any) -> list[str]:
    return [refusal.how for refusal in admission(bundle, Past(behaviours=SAME, **past))]


@pytest.mark.parametrize("bundle", ["new", "new again"])
def test_what_production_went_back_from_stays_out_under_every_id(bundle: str) -> None:
    past = Past(behaviours=SAME, moves=moves("old", "new", "old"))
    (refusal,) = admission(bundle, past)
    assert (refusal.how, refusal.bundle) == ("rolled back", "new")
    assert "was rolled back by ann at 2026-03-02 11:00 UTC (it swears)" in refusal.about(bundle)
    assert "tuneloop readmit new -m WHY" in refusal.remedy
    assert admission("old", past) == () == admission("other", past)


def test_it_is_gone_back_from_also_where_what_was_before_has_a_new_id() -> None:
    assert hows("new", moves=moves("old", "new", "other")) == ["rolled back"]


@pytest.mark.parametrize(
    "history",
    [
        moves("old", "new"),
        moves("old", "new", "third"),
        moves("old", "new", "new again", "new"),
        moves("old", "new", "old", "new"),
        [*moves("new", "old", drill=True, since=4)[:1], *moves("old", "new")],
    ],
    ids=["is live", "gave way to a newer one", "another id of it", "undone", "a drill"],
)
def test_what_production_did_not_go_back_from_may_come_back(history: list[Move]) -> None:
    assert hows("new", moves=history) == []
    assert hows("old", moves=history) == [], "an undone rollback is no judgement on what it brought"


def test_a_rollback_after_one_that_was_undone_is_one() -> None:
    assert hows("new", moves=moves("old", "new", "old", "new", "old")) == ["rolled back"]


@pytest.mark.parametrize("status", ["rolled_back", "aborted"])
def test_a_rollout_that_was_taken_back(status: str) -> None:
    ended = rollout("new", status, begun=1, ended=2)
    assert hows("new again", rollouts=[ended]) == ["taken back"]
    assert hows("old", rollouts=[ended]) == []
    again = rollout("new again", "running", begun=3, ended=None)
    assert hows("new", rollouts=[again, ended]) == [], "somebody let it try again"
    finished = replace(again, status="finished", finished_at=at(4))
    assert hows("new", rollouts=[finished, ended]) == []


def test_a_rollout_that_something_else_ended_is_no_refusal_of_its_own() -> None:
    """Where a rejection is withdrawn, what the controller did because of it is, too."""
    ended = rollout("new", "aborted", begun=1, ended=2)
    assert hows("new", rollouts=[ended], ended_for_another_reason=["r1"]) == []


def test_a_readmission_undoes_what_was_before_it_and_nothing_after() -> None:
    history = moves("old", "new", "old")
    readmitted = [said("readmitted", "new again", hour=3)]
    assert hows("new", moves=history, decisions=readmitted) == []
    later = [*moves("new", "old", since=4)[:1], *history]
    assert hows("new", moves=later, decisions=readmitted) == ["rolled back"]
    assert hows("new", moves=history, decisions=[said("readmitted", "old", hour=3)]) != []


def test_a_rejection_holds_until_whoever_said_it_withdraws_that() -> None:
    no = said("rejected", "new", hour=1)
    past = Past(behaviours=SAME, decisions=[no, said("readmitted", "new", hour=2)])
    (refusal,) = admission("new again", past)
    assert refusal.about("new again") == (
        "behaves as new, which was rejected by ines (it invents refunds)"
    )
    assert refusal.remedy.endswith("tuneloop approvals withdraw new --kind deploy")
    yes = [said("approved", "new again", hour=2), said("approved", "new", hour=3, person="omar")]
    assert hows("new again", decisions=[no, *yes]) == ["rejected"], "of another report"
    assert hows("new again", decisions=[no, said("withdrawn", "new", hour=2)]) == []


def test_the_newest_evaluation_counts_whichever_bundle_it_was_of() -> None:
    first = judged("new", "passed", hour=1, made_with=True)
    failed = judged("new", "failed", hour=2)
    (refusal,) = admission("new again", Past(behaviours=SAME, judged=[first, failed]))
    assert refusal.about("new again") == (
        "behaves as new, which missed a gate in its newest evaluation, e2"
    )
    assert hows("new", judged=[first, failed, judged("new again", "passed", hour=3)]) == []
    other = judged("old", "failed", hour=3)
    assert hows("new", judged=[first, other]) == []


@pytest.mark.parametrize("verdict", ["failed", "refused", ""])
def test_what_no_gates_passed_stays_out(verdict: str) -> None:
    assert hows("new", judged=[judged("new", verdict, hour=1, made_with=True)]) == ["not passed"]


def test_a_bundle_is_named_with_what_is_held_against_its_namesake() -> None:
    past = Past(behaviours=SAME, moves=moves("old", "new", "old"))
    assert namesake("new again", past) == "new (was rolled back by ann)"
    assert namesake("new", past) == "new again"
    assert namesake("third", past) == ""
