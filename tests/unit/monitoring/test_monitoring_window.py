"""Which interactions a window holds, which feedback counts, and what both cost in memory."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tuneloop.monitoring import window as windows
from tuneloop.monitoring.feedback import sample_feedback
from tuneloop.monitoring.window import Window
from tuneloop.workspace import Workspace


def _row(identity: str, time: datetime, **values: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "time": time,
        "endpoint": "desk",
        "bundle": "b1",
        "status": 200,
        "messages": "[]",
        "response": '{"intent": "fault"}',
        "latency_ms": 1.0,
        "tags": "{}",
    } | values


def _edit(interaction: str, time: datetime, value: object, kind: str = "edit") -> dict[str, Any]:
    return {
        "id": f"f-{interaction}-{time:%H%M%S}",
        "time": time,
        "interaction": interaction,
        "endpoint": None,
        "kind": kind,
        "value": json.dumps(value),
    }


def _window(start: datetime, end: datetime) -> Window:
    return Window(endpoint="desk", bundle="b1", start=start, end=end)


def _ids(workspace: Workspace, start: datetime, end: datetime) -> list[str]:
    found = _window(start, end).batches(workspace.traffic)
    return sorted(name for batch in found for name in batch.interactions["id"])


def test_a_window_holds_one_bundle_behind_one_endpoint_from_start_up_to_end(
    workspace: Workspace,
) -> None:
    end = workspace.now()
    start = end - timedelta(days=1)
    inside = start + timedelta(hours=1)
    workspace.traffic.append(
        "interactions",
        [
            _row("at-start", start),
            _row("inside", inside, tags='{"channel": "probe"}'),
            _row("untagged", inside, tags=None),
            _row("before", start - timedelta(milliseconds=1)),
            _row("at-end", end),
            _row("other-endpoint", inside, endpoint="shop"),
            _row("other-bundle", inside, bundle="b2"),
            _row("golden", inside, tags='{"channel": "chat", "probe": "golden"}'),
        ],
    )
    assert _ids(workspace, start, end) == ["at-start", "inside", "untagged"]


def test_embeddings_are_no_answers(workspace: Workspace) -> None:
    now = workspace.now()
    kinds = {"a": "chat", "b": "embedding", "c": "completion", "d": None}
    rows = [_row(name, now, operation=kind) for name, kind in kinds.items()]
    workspace.traffic.append("interactions", rows)
    assert _ids(workspace, now, now + timedelta(hours=1)) == ["a", "d"]


def test_no_traffic_at_all_is_an_empty_window(workspace: Workspace) -> None:
    end = workspace.now()
    assert _ids(workspace, end - timedelta(days=1), end) == []


def test_vectors_come_with_their_interactions_a_slice_of_time_at_a_time(
    workspace: Workspace, monkeypatch
) -> None:
    monkeypatch.setattr(windows, "BATCH_ROWS", 50)
    end = workspace.now()
    start = end - timedelta(hours=2)
    times = {f"{n:032x}": start + timedelta(seconds=30 * n) for n in range(240)}
    times |= {f"f{n:031x}": start + timedelta(minutes=7) for n in range(90)}  # a busy minute
    rows = [_row(name, time) for name, time in times.items()]
    vectors = [
        _vector(name, time, float(int(name[1:], 16)))
        for name, time in times.items()
        if not name.endswith("9")
    ]
    workspace.traffic.append("interactions", rows[::-1])
    workspace.traffic.append("embeddings", vectors)
    workspace.traffic.append("embeddings", [_vector("0" * 32, start, 99.0, embedder="other")])
    found = list(_window(start, end).batches(workspace.traffic, embedder="letters"))
    names = [name for batch in found for name in batch.interactions["id"]]
    assert sorted(names) == sorted(times)
    assert [batch.interactions.height for batch in found] == [106, 50, 50, 50, 50, 24]
    seen = {
        name: list(vector)
        for batch in found
        for name, vector in zip(batch.embedded["id"], batch.vectors, strict=True)
    }
    assert seen == {one["id"]: one["vector"] for one in vectors}


def _vector(name: str, time: datetime, number: float, embedder: str = "letters") -> dict[str, Any]:
    place = {"endpoint": "desk", "bundle": "b1", "embedder": embedder}
    return {"id": name, "time": time, "vector": [number, 1.0]} | place


def test_answers_that_repeat_are_looked_at_once(workspace: Workspace) -> None:
    now = workspace.now()
    rows = [_row(f"{i}", now, response="abc"[i % 3]) for i in range(9)]
    rows.append(_row("call", now, tool_calls="[]"))
    rows.append(_row("failed", now, status=502))
    workspace.traffic.append("interactions", rows)
    found = _window(now, now + timedelta(hours=1)).batches(workspace.traffic)
    (batch,) = [one for one in found if one.interactions.height]
    assert batch.interactions.height == 11
    assert batch.answers.height == 10
    assert sorted(batch.different_texts["response"]) == ["a", "b", "c"]
    assert set(batch.different_texts["times"]) == {3}


def test_the_last_feedback_of_a_kind_counts_up_to_the_windows_end(workspace: Workspace) -> None:
    end = workspace.now()
    at = end - timedelta(hours=1)
    workspace.traffic.append(
        "feedback",
        [
            _edit("i", at + timedelta(seconds=2), "second"),
            _edit("i", at + timedelta(seconds=1), "first"),
            _edit("i", at, 0.5, kind="rating"),
            _edit("i", end, "too late"),
            _edit("i", at, "other endpoint") | {"endpoint": "shop"},
        ],
    )
    window = _window(end - timedelta(days=1), end)
    edits = sample_feedback(workspace.traffic, window, ["edit"])
    assert edits.rows.rows() == [("i", "edit", '"second"')]
    both = sample_feedback(workspace.traffic, window, ["edit", "rating"])
    assert both.rows.height == 2
    assert sample_feedback(workspace.traffic, window, ["escalation"]).rows.height == 0


@pytest.mark.parametrize("most", [100, 1_000, 10_000])
def test_much_feedback_is_sampled_with_the_interactions_it_is_counted_among(
    workspace: Workspace, most: int
) -> None:
    end = workspace.now()
    at = end - timedelta(hours=1)
    for start in range(0, 4_000, 1_000):  # several files, so several batches
        workspace.traffic.append(
            "feedback",
            [_edit(f"{number:032x}", at, "better") for number in range(start, start + 1_000)],
        )
    window = _window(end - timedelta(days=1), end)
    sample = sample_feedback(workspace.traffic, window, ["edit"], most=most)
    assert sample.rows.height <= most
    answers = pl.DataFrame({"id": [f"{n:032x}" for n in range(20_000)], "response": "worse"})
    among = sample.sampled(answers)
    assert sample.on(among).height == sample.rows.height
    share = sample.rows.height / among.height
    # 4,000 of 20,000 have feedback; a binomial share of this many is within 4 standard errors.
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / among.height) ** 0.5
    assert (sample.share == 1) == (most == 10_000)
