"""Everybody who asks what production answered reads the same chats, and nobody reads a probe."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from live_desk import make_loop
from tuneloop import review
from tuneloop.deployment import outcomes, replay
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan
from tuneloop.deployment.rollouts import Rollout, RolloutEvent
from tuneloop.loop import Loop
from tuneloop.modelfile import RolloutSettings
from tuneloop.monitoring.window import Window
from tuneloop.online_evaluation.exchanges import whole_answers
from tuneloop.storage.spool import new_id
from tuneloop.task.answer_form import declared_form
from tuneloop.workspace import Workspace

LIVE = "b" * 64
DAY = timedelta(days=1)
PROBE, CLIENT = '{"probe":"golden"}', '{"channel":"probe"}'


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path) -> Loop:
    return make_loop(workspace, tmp_path / "desk")


def ask(loop: Loop, count: int, **columns: object) -> list[str]:
    """Answers of an hour ago, each in a conversation of its own; returns their ids."""
    before = loop.workspace.now() - timedelta(hours=1)
    plain = {
        "time": before,
        "endpoint": "desk",
        "bundle": LIVE,
        "operation": "chat",
        "status": 200,
        "messages": '[{"role":"user","content":"Where is it?"}]',
        "response": "fine",
        "latency_ms": 10.0,
    }
    names = [new_id(int(before.timestamp()) * 1_000_000_000) for _ in range(count)]
    rows = [plain | {"id": name, "conversation": name} | columns for name in names]
    loop.workspace.traffic.append("interactions", rows)
    return names


def monitored(loop: Loop) -> set[str]:
    now = loop.workspace.now()
    window = Window(endpoint="desk", bundle=LIVE, start=now - DAY, end=now)
    return set(window.interactions(loop.workspace.traffic).collect()["id"])


def sampled(loop: Loop) -> set[str]:
    now = loop.workspace.now()
    return set(whole_answers(loop.project, since=now - DAY, until=now).collect()["id"])


def asked_again(loop: Loop) -> set[str]:
    since = loop.workspace.now() - DAY
    chats = replay.captured(
        loop.workspace.traffic, endpoint="desk", bundle=LIVE, since=since, limit=100
    )
    return {row["id"] for row in chats.rows}


def corrected(loop: Loop) -> set[str]:
    items = review.listing(loop.workspace, "desk", status=None)
    return {str(item.interaction) for item in items}


@pytest.mark.parametrize("reading", [monitored, sampled, asked_again])
def test_a_tag_of_the_name_probe_is_left_out_and_a_value_is_not(
    loop: Loop, reading: Callable[[Loop], set[str]]
) -> None:
    theirs = {*ask(loop, 2, tags=CLIENT), *ask(loop, 1, tags="{}"), *ask(loop, 1, tags=None)}
    ask(loop, 3, tags=PROBE)
    assert reading(loop) == theirs


def test_a_rollout_is_judged_on_clients_whatever_they_tag(loop: Loop) -> None:
    begun = loop.workspace.now() - DAY
    plan = RolloutPlan(guards=(Guard(name="errors"),), steps=(0.5,))
    rollout = Rollout(
        id="r",
        model="desk",
        endpoint="desk",
        candidate="c" * 64,
        production=LIVE,
        plan=plan,
        stage=plan.stages[0],
        status="running",
        detail="",
        revision=1,
        created_at=begun,
        step_since=begun,
        finished_at=None,
    )
    start = RolloutEvent(
        event="start", actor="a", at=begun, detail={"step": 0, "share": 0.5, "status": "running"}
    )
    ask(loop, 3, tags=CLIENT)
    ask(loop, 2, tags=PROBE)
    seen = outcomes.observe(
        loop.workspace.traffic, rollout, [start], fits=declared_form({}), now=loop.workspace.now()
    )
    assert len(seen) == 3


def test_golden_probes_do_not_set_a_rollouts_limits(loop: Loop) -> None:
    """Short and fast as they are, they would make every client's answer slow and long."""
    ask(loop, 100, latency_ms=500.0, completion_tokens=100, tags=CLIENT)
    ask(loop, 3_000, latency_ms=5.0, completion_tokens=2, tags=PROBE)
    plan = outcomes.plan_for(
        loop.workspace.traffic,
        RolloutSettings(),
        endpoint="desk",
        bundle=LIVE,
        timeout_seconds=120.0,
        now=loop.workspace.now(),
    )
    guards = {guard.name: guard for guard in plan.guards}
    assert guards["latency"].above == 500.0
    assert (guards["length"].below, guards["length"].above) == (100 / 1.25, 100 * 1.25)


def test_probes_alone_set_no_limits(loop: Loop) -> None:
    ask(loop, 200, completion_tokens=2, tags=PROBE)
    plan = outcomes.plan_for(
        loop.workspace.traffic,
        RolloutSettings(),
        endpoint="desk",
        bundle=LIVE,
        timeout_seconds=120.0,
        now=loop.workspace.now(),
    )
    assert [guard.name for guard in plan.guards] == ["errors", "format", "aborts"]


def test_an_edited_golden_case_is_not_learned_from(loop: Loop) -> None:
    theirs, ours = ask(loop, 1, tags=CLIENT), ask(loop, 1, tags=PROBE)
    rows = [
        {"id": f"f{name}", "time": loop.workspace.now(), "interaction": name, "kind": "edit"}
        for name in theirs + ours
    ]
    loop.workspace.traffic.append("feedback", [row | {"value": '"right"'} for row in rows])
    assert review.collect(loop.workspace, model="desk", endpoint="desk") == 1
    assert corrected(loop) == set(theirs)
