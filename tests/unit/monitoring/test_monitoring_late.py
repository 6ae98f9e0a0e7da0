"""What is said late counts for its answer, and young answers are waited for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitoring_data import END, WINDOW
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring import late
from tuneloop.monitoring.feedback import sample_feedback
from tuneloop.monitoring.measurement import measured
from tuneloop.monitoring.monitors.people import EditRate
from tuneloop.monitoring.window import Window
from tuneloop.storage.spool import new_id
from tuneloop.workspace import Workspace

HOUR = timedelta(hours=1)


def asked_at(at: datetime) -> str:
    return new_id(int(at.timestamp() * 1_000) * 1_000_000)


def said(
    workspace: Workspace, delays: Sequence[timedelta], *, kind: str = "edit", came: datetime = END
) -> None:
    """Feedback that came then, so long after its answer."""
    rows = []
    for number, delay in enumerate(delays):
        at = came - timedelta(minutes=number + 1)
        of = {"interaction": asked_at(at - delay), "kind": kind, "value": json.dumps("other")}
        rows.append({"id": new_id(number), "time": at, "endpoint": None, "user": None} | of)
    workspace.traffic.append("feedback", rows)


@pytest.mark.parametrize(
    ("delays", "hours"),
    [
        ([HOUR / 60] * 100, 0),  # what is said at once is waited for not at all
        ([HOUR * 5.5] * 100, 5),
        ([HOUR / 60] * 80 + [HOUR * 50] * 20, 50),
        ([HOUR / 60] * 95 + [HOUR * 50] * 5, 0),  # one in twenty
        ([HOUR * 24 * 30] * 100, 168),  # at most a window
        ([HOUR * 50] * 9, 0),  # of so few nothing is known
    ],
)
def test_the_wait_is_what_nine_of_ten_take(
    workspace: Workspace, delays: Sequence[timedelta], hours: int
) -> None:
    said(workspace, delays)
    assert late.usual_wait(workspace.traffic, WINDOW, ("edit",)) == timedelta(hours=hours)
    assert late.usual_wait(workspace.traffic, WINDOW, ("escalation",)) == timedelta(0)


def test_the_wait_is_the_same_whatever_came_long_ago(workspace: Workspace) -> None:
    said(workspace, [HOUR * 50] * 100, came=END - timedelta(days=40))
    said(workspace, [HOUR * 3] * 20)
    assert late.usual_wait(workspace.traffic, WINDOW, ("edit",)) == HOUR * 3


def test_a_window_that_waits_is_as_long_and_hears_all_that_was_said_since(
    workspace: Workspace,
) -> None:
    window = late.earlier(WINDOW, timedelta(days=2))
    assert window.end - window.start == WINDOW.end - WINDOW.start
    assert (window.end, window.said_until) == (END - timedelta(days=2), END)
    said(workspace, [HOUR * 60] * 3)  # of answers in the window, three days later
    assert sample_feedback(workspace.traffic, window, ["edit"]).rows.height == 3
    assert (
        sample_feedback(workspace.traffic, window_without_wait(window), ["edit"]).rows.height == 0
    )


def window_without_wait(window: Window) -> Window:
    return Window(
        endpoint=window.endpoint, bundle=window.bundle, start=window.start, end=window.end
    )


def test_how_long_it_waits_can_be_declared() -> None:
    assert EditRate.wait_days(MonitorSettings(feedback_days=3)) == 3
    assert EditRate.wait_days(MonitorSettings()) is None


def test_a_measurement_tells_how_long_it_waited() -> None:
    one = measured("edit_rate", WINDOW, None, verdict="ok", message="so many")
    assert late.told(one, WINDOW) == one
    waited: Any = late.told(one, late.earlier(WINDOW, timedelta(hours=30)))
    assert "at least 30 hours old" in waited.message
    assert waited.detail["waited_hours"] == 30
