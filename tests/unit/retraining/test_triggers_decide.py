"""One decision from everything that is known: each outcome with its reason and its numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tuneloop import intervals
from tuneloop.modelfile import (
    ApprovalRule,
    ApprovalSettings,
    AutomationSettings,
    DataSettings,
    ModelSettings,
    TriggerSettings,
)
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit
from tuneloop.monitoring.window import Window
from tuneloop.retraining import levels
from tuneloop.retraining.levels import Requirement
from tuneloop.retraining.triggers import (
    Benchmark,
    Material,
    PastCycle,
    RetrainDecision,
    TriggerEvidence,
    decide,
)

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
RULES = TriggerSettings()


def edits(edited: int, n: int) -> list[Measurement]:
    """Two windows side by side with the same edit rate, the newest first."""
    return [
        against_limit(
            "edit_rate",
            Window(endpoint="desk", bundle="b", start=end - timedelta(days=7), end=end),
            intervals.share(edited, n),
            what="answers that people changed",
            limit=Limit(threshold=0.15, unit="share", side="above"),
            minimum=30,
        )
        for end in (NOW, NOW - timedelta(days=7))
    ]


QUIET = TriggerEvidence(
    now=NOW,
    level=3,
    production_since=NOW - timedelta(days=30),
    under_way=None,
    last_cycle=None,
    material=Material(approved=3, waiting=4),
    benchmark=Benchmark(stable=True, reason="production answered 60 golden cases of at least 50"),
    measurements={"edit_rate": edits(6, 140)},
)
BAD = replace(
    QUIET, measurements={"edit_rate": edits(50, 140)}, material=Material(approved=25, waiting=4)
)
ENDED = PastCycle(
    id="20260501-abc",
    status="finished",
    outcome="b1 is in production",
    finished_at=NOW - timedelta(days=3),
)


def decided(evidence: TriggerEvidence, **settings: float) -> RetrainDecision:
    return decide(evidence, TriggerSettings.model_validate(settings))


def test_all_is_well_with_the_numbers() -> None:
    one = decided(QUIET)
    assert (one.action, one.because, one.fired) == ("do_not", "quiet", ())
    assert "edit rate 4.3 %" in one.reason and "3 approved corrections, 20 make" in one.reason
    assert one.earliest == NOW + timedelta(days=60)  # the refresh


def test_noise_is_called_noise_with_the_numbers() -> None:
    one = decided(replace(QUIET, measurements={"edit_rate": edits(5, 31)}))
    assert (one.action, one.because) == ("do_not", "noise")
    assert "16.1 % (95 % interval 7.1 % to 32.6 %, n = 31)" in one.reason
    assert "from n =" in one.would_change
    assert one.earliest is not None and one.earliest > NOW


def test_lasting_evidence_with_material_is_a_reason() -> None:
    one = decided(BAD)
    assert (one.action, one.because) == ("retrain", "evidence")
    assert one.fired == ("edit_rate", "corrections")
    assert "35.7 %" in one.reason and "25 approved corrections, 20 make" in one.reason


def test_without_material_the_reviewers_are_asked() -> None:
    one = decided(replace(BAD, material=Material(approved=0, waiting=14)))
    assert (one.action, one.because) == ("ask", "nothing_to_learn")
    assert one.reason.startswith("nothing to learn from yet: 14 items wait for review")
    few = decided(replace(BAD, material=Material(approved=3, waiting=14)))
    assert few.action == "ask" and "only 3 of 20 approved corrections" in few.reason


def test_new_rows_are_material() -> None:
    one = decided(
        replace(BAD, material=Material(approved=0, waiting=9, changed_sources=("b.jsonl",)))
    )
    assert one.action == "retrain"


def test_a_refresh_needs_something_new_and_bothers_nobody() -> None:
    due = replace(QUIET, production_since=NOW - timedelta(days=91))
    assert (decided(due).action, decided(due).because) == ("do_not", "nothing_to_learn")
    with_rows = replace(due, material=Material(approved=3, waiting=0, changed_sources=("b",)))
    one = decided(with_rows)
    assert one.action == "retrain" and "91 of 90 days" in one.reason


def test_cooldown_after_a_cycle() -> None:
    one = decided(replace(BAD, last_cycle=ENDED))
    assert (one.action, one.because) == ("do_not", "cooldown")
    assert one.earliest == ENDED.finished_at + timedelta(days=7)
    assert "cooldown until 2026-05-08" in one.reason and "35.7 %" in one.reason
    over = replace(ENDED, finished_at=NOW - timedelta(days=7))
    assert decided(replace(BAD, last_cycle=over)).action == "retrain"


def test_without_a_stable_benchmark_the_cooldown_is_long() -> None:
    loose = Benchmark(stable=False, reason="no golden suite in evaluation.suites")
    last = replace(ENDED, finished_at=NOW - timedelta(days=8))
    one = decided(replace(BAD, last_cycle=last, benchmark=loose))
    assert one.because == "cooldown"
    assert one.reason.startswith(
        "weekly retraining without a stable benchmark chases noise (no golden suite"
    )
    assert one.earliest == last.finished_at + timedelta(days=30)


def test_noise_in_a_cooldown_cannot_be_a_reason_before_its_end() -> None:
    noise = replace(QUIET, measurements={"edit_rate": edits(5, 31)}, last_cycle=ENDED)
    assert decided(noise, cooldown_days=60).earliest == ENDED.finished_at + timedelta(days=60)


def test_after_a_failed_cycle_a_person_is_asked_and_later_it_is_tried_again() -> None:
    failed = replace(ENDED, status="failed", outcome="the disk is full")
    one = decided(replace(BAD, last_cycle=failed))
    assert (one.action, one.because) == ("ask", "failed_cycle")
    assert "the disk is full" in one.reason
    later = replace(failed, finished_at=NOW - timedelta(days=8))
    assert decided(replace(BAD, last_cycle=later)).action == "retrain"


def test_what_is_under_way_is_told_and_nothing_else_is_begun() -> None:
    one = decided(replace(BAD, under_way="cycle c1 is waiting since … (new catalogue)"))
    assert (one.action, one.because) == ("do_not", "under_way")
    assert "new catalogue" in one.reason and one.fired == ("edit_rate", "corrections")


def test_nothing_in_production() -> None:
    one = decided(replace(BAD, production_since=None, measurements={}))
    assert (one.action, one.because) == ("do_not", "not_deployed")


def model(level: int, **approvals: ApprovalRule) -> ModelSettings:
    return ModelSettings(
        name="desk",
        base="b",
        data=DataSettings(sources=("a",)),
        automation=AutomationSettings.model_validate({"level": level}),
        approvals=ApprovalSettings(**approvals),
    )


@pytest.mark.parametrize(("level", "starts"), [(1, False), (2, False), (3, True)])
def test_what_a_level_allows(level: int, starts: bool) -> None:
    can = levels.allowed(model(level))
    assert can.may_start_cycle == starts
    assert not can.may_begin_rollout
    assert levels.starts_cycle(decided(BAD), model(level)) == starts
    assert not levels.starts_cycle(decided(QUIET), model(level))


def test_no_rollout_begins_where_nobody_could_have_approved_it() -> None:
    assert not levels.allowed(model(4)).may_begin_rollout
    signed = model(4, deploy=ApprovalRule())
    assert levels.allowed(signed).may_begin_rollout
    assert "once its deployment is approved" in levels.consequence(decided(BAD), signed)
    assert "for a person to judge" in levels.consequence(decided(BAD), model(4))
    assert "tuneloop cycle start" in levels.consequence(decided(BAD), model(1))


def requirement(level: int, met: bool) -> Requirement:
    return Requirement(
        level=level, what=f"thing {level}", met=met, found="there" if met else "missing"
    )


def test_the_level_reached_is_the_highest_with_all_below() -> None:
    some = [requirement(1, True), requirement(2, False), requirement(2, True), requirement(3, True)]
    found = levels.reached(some, declared=3)
    assert (found.level, found.declared, found.next_needs) == (1, 3, ("thing 2: missing",))
    assert str(found) == "level 1 of 4 (manual), declared 3; level 2 needs: thing 2: missing"
    full = levels.reached([requirement(n, True) for n in (1, 2, 3, 4)], declared=4)
    assert (full.level, full.next_needs) == (4, ())
    assert levels.reached([requirement(1, False)], declared=1).level == 0
