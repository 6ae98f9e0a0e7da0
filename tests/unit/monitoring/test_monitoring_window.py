"""Which interactions a window holds, and what counts as an edit."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tuneloop.monitoring.window import read_window
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


def _read(workspace: Workspace, start: datetime, end: datetime):
    return read_window(
        workspace.traffic, endpoint="desk", bundle="b1", start=start, end=end
    ).interactions


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
            _row("before", start - timedelta(milliseconds=1)),
            _row("at-end", end),
            _row("other-endpoint", inside, endpoint="shop"),
            _row("other-bundle", inside, bundle="b2"),
            _row("golden", inside, tags='{"probe": "golden"}'),
        ],
    )
    assert _read(workspace, start, end)["id"].to_list() == ["at-start", "inside"]


def test_embeddings_are_no_answers(workspace: Workspace) -> None:
    now = workspace.now()
    kinds = {"a": "chat", "b": "embedding", "c": "completion", "d": None}
    rows = [_row(name, now, operation=kind) for name, kind in kinds.items()]
    workspace.traffic.append("interactions", rows)
    found = _read(workspace, now, now + timedelta(hours=1))
    assert found["id"].to_list() == ["a", "d"]


def test_no_traffic_at_all_is_an_empty_window(workspace: Workspace) -> None:
    end = workspace.now()
    assert _read(workspace, end - timedelta(days=1), end).height == 0


@pytest.mark.parametrize(
    ("edits", "edited"),
    [
        ([], False),
        (['{"intent": "billing"}'], True),
        (['{"intent": "fault"}'], False),
        ([' {"intent":"fault"}\n'], False),  # only written differently
        ([{"text": '{"intent": "fault"}'}], False),
        ([{"text": "billing"}], True),
        (['{"intent": "billing"}', '{"intent": "fault"}'], False),  # the last one counts
        (["[not json", "plain"], True),
        ([42], True),
    ],
)
def test_an_answer_is_edited_when_its_last_edit_differs(
    workspace: Workspace, edits: list[object], edited: bool
) -> None:
    end = workspace.now()
    at = end - timedelta(hours=1)
    workspace.traffic.append("interactions", [_row("i", at)])
    workspace.traffic.append(
        "feedback",
        [_edit("i", at + timedelta(seconds=n + 1), value) for n, value in enumerate(edits)],
    )
    assert _read(workspace, end - timedelta(days=1), end)["edited"].to_list() == [edited]


def test_ratings_and_edits_after_the_end_are_not_edits(workspace: Workspace) -> None:
    end = workspace.now()
    at = end - timedelta(hours=1)
    workspace.traffic.append("interactions", [_row("i", at)])
    workspace.traffic.append(
        "feedback", [_edit("i", at, 0.5, kind="rating"), _edit("i", end, "another")]
    )
    assert _read(workspace, end - timedelta(days=1), end)["edited"].to_list() == [False]
