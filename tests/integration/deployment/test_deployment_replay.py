"""What is asked again: what production answered, once a conversation, nothing of the client."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop.deployment import outcomes, replay
from tuneloop.deployment.backtest import Pair, Replayed, conclude
from tuneloop.deployment.replay import Asking, Captured
from tuneloop.deployment.rollout import weigh
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan, ShadowStep
from tuneloop.deployment.rollouts import Rollout, RolloutEvent
from tuneloop.progress import Silent
from tuneloop.registry.routes import Target
from tuneloop.storage.traffic import Traffic
from tuneloop.task.answer_form import declared_form
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = NOON - timedelta(days=1)


def chat(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "time": NOON - timedelta(minutes=100 - number),
        "endpoint": "router",
        "bundle": "new",
        "operation": "chat",
        "status": 200,
        "messages": json.dumps([{"role": "user", "content": f"question {number}"}]),
        "request": "{}",
        "response": f"answer {number}",
        "latency_ms": 50.0,
        "completion_tokens": 2,
        "conversation": f"c{number}",
        "tags": "{}",
    } | fields


def feedback(number: int, kind: str, value: Any, at: int) -> dict[str, Any]:
    return {
        "id": f"f{at}",
        "time": NOON + timedelta(minutes=at),
        "interaction": f"{number:032x}",
        "kind": kind,
        "value": json.dumps(value),
    }


@pytest.fixture
def traffic(workspace: Workspace) -> Traffic:
    return workspace.traffic


def captured(traffic: Traffic, *, limit: int = 100) -> Captured:
    return replay.captured(traffic, endpoint="router", bundle="new", since=DAY, limit=limit)


def numbers(found: Captured) -> list[int]:
    return [int(row["id"], 16) for row in found.rows]


def test_only_what_production_answered_itself_is_asked_again_and_the_rest_is_counted(
    traffic: Traffic,
) -> None:
    traffic.append(
        "interactions",
        [
            chat(1),
            chat(2, conversation="c1"),
            chat(3, tags='{"probe": "smoke"}'),
            chat(4, failover_from="old"),
            chat(5, bundle="old"),
            chat(6, status=502, error="upstream_reset"),
            chat(7, status=499, error="client_closed"),
            chat(8, operation="embedding"),
            chat(9, endpoint="other"),
            chat(10, time=DAY - timedelta(minutes=1)),
            chat(11),
            chat(12, operation=None),
        ],
    )
    found = captured(traffic)
    assert numbers(found) == [1, 11, 12]
    assert found.left_out == {
        "failover": 1,
        "not_answered": 2,
        "other_bundle": 1,
        "probe": 1,
        "same_conversation": 1,
    }
    assert found.chats == len(found.rows) + sum(found.left_out.values())
    newest = captured(traffic, limit=2)
    assert numbers(newest) == [11, 12], "the newest, in the order in which they began"
    assert newest.left_out["beyond_limit"] == 1


def test_nothing_captured_is_nothing_to_ask(traffic: Traffic) -> None:
    found = captured(traffic)
    assert (found.rows, found.chats, found.left_out) == ((), 0, {})


def ask(
    traffic: Traffic, script: Any, asking: Asking = Asking()
) -> tuple[list[replay.Answer], list[Received]]:
    with ScriptedUpstream(script) as upstream:
        target = Target(
            base_url=upstream.base_url,
            served_name="candidate",
            system="Sort it.",
            sampling={"temperature": 0.0, "max_tokens": 7},
        )
        answers = replay.ask(target, captured(traffic).rows, asking, progress=Silent())
        return answers, upstream.requests


def test_the_request_is_the_clients_without_what_tells_of_the_client(traffic: Traffic) -> None:
    settings = {
        "temperature": 0.3,
        "tools": [{"type": "function", "function": {"name": "refund"}}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "metadata": {"customer": "4711"},
        "store": True,
        "safety_identifier": "4711",
        "prompt_cache_key": "4711",
    }
    traffic.append(
        "interactions", [chat(1, request=json.dumps(settings), user="4711", owner="help-desk")]
    )
    _, (received,) = ask(traffic, Reply(text="fine"))
    assert received.body == {
        "model": "candidate",
        "messages": [
            {"role": "system", "content": "Sort it."},
            {"role": "user", "content": "question 1"},
        ],
        "temperature": 0.3,
        "max_tokens": 7,
        "tools": settings["tools"],
    }


def test_answers_come_back_in_order_failures_among_them(traffic: Traffic) -> None:
    traffic.append("interactions", [chat(number) for number in range(1, 7)])
    calls = ({"id": "t1", "type": "function", "function": {"name": "refund", "arguments": "{}"}},)

    def script(received: Received) -> Reply:
        question = received.body["messages"][-1]["content"]
        number = int(question.split()[1])
        if number == 2:
            return Reply(status=500)
        if number == 3:
            return Reply(tool_calls=calls)
        # The first is the slowest: the order is that of the questions all the same.
        return Reply(text=f"so {number}", delay_seconds=0.3 if number == 1 else 0.0)

    answers, received = ask(traffic, script, Asking(at_a_time=3))
    assert [one.response for one in answers] == ["so 1", "", "", "so 4", "so 5", "so 6"]
    assert [one.error for one in answers] == [None, "upstream_error", None, None, None, None]
    assert answers[1].status == 500
    assert json.loads(answers[2].tool_calls or "")[0]["function"]["name"] == "refund"
    assert answers[0].latency_ms >= 300 and answers[0].completion_tokens == 2
    assert len(received) == 6, "nothing is asked twice"


def test_answers_are_kept_as_the_endpoint_keeps_them(traffic: Traffic) -> None:
    traffic.append("interactions", [chat(1)])
    reply = Reply(text="Write to ann@example.org")
    kept, _ = ask(traffic, reply)
    assert kept[0].response == "Write to ann@example.org"
    redacted, _ = ask(traffic, reply, Asking(redact=True))
    assert redacted[0].response == "Write to [EMAIL]"


def test_the_last_edit_counts_else_the_last_label(traffic: Traffic) -> None:
    traffic.append(
        "feedback",
        [
            feedback(1, "edit", "first", 1),
            feedback(1, "edit", "second", 2),
            feedback(1, "label", {"intent": "late"}, 3),
            feedback(2, "label", {"intent": "fault"}, 1),
            feedback(2, "label", "rude", 2),
            feedback(3, "rating", 0, 1),
            feedback(4, "edit", "of another one", 1),
        ],
    )
    found = replay.corrections(
        traffic,
        [f"{number:032x}" for number in (1, 2, 3)],
        since=DAY,
        fits=declared_form({"output_schema": {"type": "object"}}),
    )
    assert found == {f"{1:032x}": "second", f"{2:032x}": '{"intent": "fault"}'}


def test_the_guards_say_what_a_shadow_of_the_same_requests_says(traffic: Traffic) -> None:
    plan = RolloutPlan(
        guards=(Guard(name="errors"), Guard(name="format"), Guard(name="length", above=3)),
        shadow=ShadowStep(minimum_pairs=20),
    )
    fits = declared_form({"output_pattern": r"so \d+"})
    replies = [
        Reply(status=500)
        if number % 9 == 0
        else Reply(text="What?" if number % 4 == 0 else f"so {number}")
        for number in range(30)
    ]
    traffic.append(
        "interactions",
        [
            chat(number, response=f"so {number}" if number % 5 else "Hm.", completion_tokens=number)
            for number in range(30)
        ],
    )
    rows = captured(traffic).rows
    answers, _ = ask(
        traffic, lambda received: replies[int(received.body["messages"][-1]["content"].split()[1])]
    )
    traffic.append(
        "shadows",
        [
            vars(answer)
            | {
                "id": row["id"],
                "time": NOON,
                "interaction": row["id"],
                "endpoint": "router",
                "bundle": "candidate",
                "conversation": row["id"],
            }
            for row, answer in zip(rows, answers, strict=True)
        ],
    )
    begun = DAY + timedelta(hours=1)
    shadowed = Rollout(
        id="r",
        model="router",
        endpoint="router",
        candidate="candidate",
        production="new",
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
        event="start", actor="a", at=begun, detail={"step": 0, "share": 0.0, "status": "running"}
    )
    seen = outcomes.observe(traffic, shadowed, [start], fits=fits, now=NOON)
    evidence = weigh(plan, plan.stages[0], seen, hours=1.0)
    found = conclude(
        plan,
        [
            Pair(
                interaction=row["id"],
                question="",
                production=replay.answer_in(row),
                candidate=answer,
            )
            for row, answer in zip(rows, answers, strict=True)
        ],
        fits=fits,
        replayed=Replayed(
            candidate="candidate",
            production="new",
            since=DAY,
            chats=30,
            left_out={},
            redacted=False,
        ),
    )
    assert found.pairs == len(seen) == 30
    assert [(g.name, g.candidate_only, g.e_value) for g in found.guards] == [
        (g.name, g.found, g.highest) for g in evidence.guards
    ]
    assert [
        (g.candidate and g.candidate.n, g.production and g.production.n) for g in found.guards
    ] == [(g.candidate.n, g.production.n) for g in evidence.guards]
    assert all(one.candidate_only for one in found.guards[:2])
    assert found.guards[2].production_only, "production's answers are the longer ones"
