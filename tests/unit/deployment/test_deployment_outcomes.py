"""What a captured request says of the bundle that answered it, or should have."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tuneloop.deployment.outcomes import observe, outcomes
from tuneloop.deployment.rollout import StageVerdict, decide, weigh
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan, ShadowStep
from tuneloop.deployment.rollouts import Rollout, RolloutEvent
from tuneloop.storage import captured
from tuneloop.storage.spool import CLIENT_LEFT
from tuneloop.storage.traffic import Traffic

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
LIMIT_MS = 900.0
PLAN = RolloutPlan(
    guards=(
        Guard(name="errors", above=LIMIT_MS),
        Guard(name="format"),
        Guard(name="latency", above=LIMIT_MS),
        Guard(name="aborts"),
    ),
    steps=(0.5,),
    minimum_samples=60,
)
Row = dict[str, Any]
WHOLE: Row = {"status": 200, "error": None, "latency_ms": 50.0}
TOO_LONG: Row = {"status": 400, "error": "context_length_exceeded", "latency_ms": 5.0}
GAVE_UP: Row = {"status": CLIENT_LEFT, "error": "client_left", "latency_ms": 30_000.0}
LEFT_EARLY: Row = {**GAVE_UP, "latency_ms": 200.0}


def fits(answer: str) -> bool:
    """Every answer of these tests has the declared form."""
    return True


def refused(status: int) -> Row:
    """A 4xx that the model server said."""
    return {"status": status, "error": "upstream_error", "latency_ms": 5.0}


def row(ending: Row) -> Row:
    return {"response": "ok", "tool_calls": None, "completion_tokens": 9, **ending}


@pytest.mark.parametrize("status", [400, 413, 422, 429, 500])
def test_the_model_servers_own_refusal_is_a_failure(status: int) -> None:
    assert outcomes(row(refused(status)), PLAN, fits) == {"errors": True, "aborts": False}


def test_a_prompt_that_is_too_long_for_the_bundle_is_a_failure() -> None:
    assert outcomes(row(TOO_LONG), PLAN, fits) == {"errors": True, "aborts": False}


def test_who_gave_up_after_the_limit_was_failed_and_waited_too_long() -> None:
    assert outcomes(row(GAVE_UP), PLAN, fits) == {"errors": True, "latency": True, "aborts": True}


def test_who_leaves_before_the_limit_only_left() -> None:
    assert outcomes(row(LEFT_EARLY), PLAN, fits) == {"aborts": True}


def test_a_plan_that_was_locked_without_a_limit_calls_no_departure_a_failure() -> None:
    plan = RolloutPlan.from_json({"guards": [{"name": "errors"}], "steps": [0.5]})
    assert outcomes(row(GAVE_UP), plan, fits) == {}


@pytest.mark.parametrize(
    ("status", "error", "failure"),
    [
        (200, None, False),
        (200, "upstream_truncated", True),
        (400, "invalid_value", False),
        (400, "upstream_error", True),
        (400, "context_length_exceeded", True),
        (429, "upstream_error", True),
        (CLIENT_LEFT, "client_left", False),
        (500, "upstream_error", True),
        (504, "upstream_timeout", True),
        (503, None, True),
    ],
)
def test_tables_and_single_requests_are_read_by_one_rule(
    status: int, error: str | None, failure: bool
) -> None:
    schema = {"status": pl.Int64, "error": pl.String}
    frame = pl.DataFrame({"status": [status], "error": [error]}, schema=schema)
    assert frame.select(captured.failed().alias("failed")).to_series().to_list() == [failure]
    assert captured.is_failure(status, error) is failure


# From the traffic table to the verdict


class Played:
    """A rollout whose traffic the test plays."""

    def __init__(self, folder: Path, plan: RolloutPlan = PLAN) -> None:
        self.traffic = Traffic(str(folder))
        self.plan = plan
        stage = plan.stages[0]
        self.rollout = Rollout(
            id="r1",
            model="router",
            endpoint="router",
            candidate="new",
            production="old",
            plan=plan,
            stage=stage,
            status="running",
            detail="",
            revision=1,
            created_at=NOON,
            step_since=NOON,
            finished_at=None,
        )
        where = {"step": stage.step, "share": stage.share, "status": "running"}
        self.start = RolloutEvent(event="start", actor="ann", detail=where, at=NOON)
        self._asked = 0

    def captures(self, rows: Iterable[Row], *, copies: Iterable[Row | None] = ()) -> None:
        """These interactions, each of another conversation, and the copies of some."""
        told, copied = [], []
        for asked, copy in zip(rows, [*copies, *[None] * 10_000], strict=False):
            self._asked += 1
            identity = f"{self._asked:032x}"
            common = {
                "time": NOON + timedelta(seconds=10, milliseconds=self._asked),
                "endpoint": "router",
                "conversation": identity,
            }
            told.append({**common, "id": identity, "tags": "{}", **row(asked)})
            if copy is not None:
                new = {"id": identity, "interaction": identity, "bundle": "new"}
                copied.append({**common, **new, **row(copy)})
        self.traffic.append("interactions", told)
        self.traffic.append("shadows", copied)

    def verdict(self) -> StageVerdict:
        seen = observe(
            self.traffic, self.rollout, [self.start], fits=fits, now=NOON + timedelta(hours=1)
        )
        stage = self.plan.stages[0]
        return decide(self.plan, stage, weigh(self.plan, stage, seen, hours=1.0))


def divided(
    rng: random.Random, n: int, *, candidate: dict[float, Row], production: dict[float, Row]
) -> list[Row]:
    """`n` conversations at an even split; of each bundle's, such shares end so."""
    rows = []
    for _ in range(n):
        bundle, endings = ("new", candidate) if rng.random() < 0.5 else ("old", production)
        drawn, ending = rng.random(), WHOLE
        for share, bad in endings.items():
            if 0 <= drawn < share:
                ending = bad
                break
            drawn -= share
        rows.append({"bundle": bundle, "failover_from": None, **ending})
    return rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "failed", [GAVE_UP, TOO_LONG, refused(400), refused(413), refused(429), LEFT_EARLY]
)
def test_a_candidate_that_fails_a_fifth_of_the_customers_goes_back(
    tmp_path: Path, failed: Row, seed: int
) -> None:
    played = Played(tmp_path)
    rows = divided(random.Random(seed), 300, candidate={0.2: failed}, production={})
    played.captures(rows)
    assert played.verdict().action == "roll_back"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("failed", [GAVE_UP, TOO_LONG, LEFT_EARLY])
def test_the_same_share_in_both_arms_is_nobodys_fault(
    tmp_path: Path, failed: Row, seed: int
) -> None:
    played = Played(tmp_path)
    same = {0.2: failed}
    played.captures(divided(random.Random(seed), 300, candidate=same, production=same))
    assert played.verdict().action != "roll_back"


def test_what_the_gateway_refuses_itself_says_nothing_of_a_bundle(tmp_path: Path) -> None:
    played = Played(tmp_path)
    nested = {"status": 400, "error": "invalid_value", "latency_ms": 1.0}
    bad = [{"bundle": "new", "failover_from": None, **nested}] * 200
    played.captures([*divided(random.Random(3), 300, candidate={}, production={}), *bad])
    assert played.verdict().action == "finish"


def test_a_failover_is_a_failure_of_whoever_should_have_answered_production_too(
    tmp_path: Path,
) -> None:
    played = Played(tmp_path)
    rng, rows = random.Random(5), []
    for asked in divided(rng, 400, candidate={}, production={}):
        down = rng.random() < 0.1
        stands_in = {"new": "old", "old": "before"}[asked["bundle"]]
        taken_over = {"bundle": stands_in, "failover_from": asked["bundle"]}
        rows.append({**asked, **taken_over} if down else asked)
    played.captures(rows)
    verdict = played.verdict()
    assert verdict.action != "roll_back", verdict.reason


def test_in_shadow_production_can_fail_what_the_candidate_answers(tmp_path: Path) -> None:
    shadow = ShadowStep(minimum_pairs=100)
    played = Played(tmp_path, RolloutPlan(guards=PLAN.guards, shadow=shadow, steps=(0.5,)))
    rng = random.Random(7)
    asked = [refused(429) if rng.random() < 0.1 else WHOLE for _ in range(300)]
    copies = [refused(429) if rng.random() < 0.1 else WHOLE for _ in range(300)]
    old = {"bundle": "old", "failover_from": None}
    played.captures([{**old, **one} for one in asked], copies=copies)
    assert played.verdict().action == "promote"


def test_in_shadow_a_smaller_window_is_worse(tmp_path: Path) -> None:
    shadow = ShadowStep(minimum_pairs=100)
    played = Played(tmp_path, RolloutPlan(guards=PLAN.guards, shadow=shadow, steps=(0.5,)))
    old = {"bundle": "old", "failover_from": None, **WHOLE}
    copies = [TOO_LONG if number % 5 == 0 else WHOLE for number in range(150)]
    played.captures([old] * 150, copies=copies)
    verdict = played.verdict()
    assert (verdict.action, verdict.reason.split(":")[0]) == ("roll_back", "errors")
