"""The life of an alert, on a real records store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from monitoring_data import window
from tuneloop import intervals
from tuneloop.errors import ConflictError, UsageError
from tuneloop.monitoring import alerts
from tuneloop.monitoring.measurement import Limit, Measurement, judge, not_measured
from tuneloop.workspace import Workspace

LIMIT = Limit(threshold=0.20, unit="share", side="above")


@pytest.fixture
def records_url(either_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_records


def _measured(bad: int, n: int = 100, monitor: str = "novelty") -> Measurement:
    figure = intervals.share(bad, n)
    return judge(monitor, window([]), figure, what="novel", limit=LIMIT, minimum=30)


def _see(workspace: Workspace, *measurements: Measurement, model: str = "desk") -> list[str | None]:
    return list(
        alerts.apply(workspace, model=model, measurements=measurements, now=workspace.now())
    )


@pytest.mark.parametrize(
    ("measurement", "unresolved", "expected"),
    [
        (_measured(21), False, "opened"),
        (_measured(21), True, "repeated"),
        (_measured(20), False, None),
        (_measured(20), True, None),  # good again, by a hair: stays open
        (_measured(19), True, None),
        (_measured(18), True, "resolved"),  # a tenth of the way back to 0
        (_measured(0), False, None),
        (_measured(0, n=29), True, None),  # too few to call it over
        (_measured(29, n=29), False, None),  # too few to call it a crossing
        (not_measured("novelty", window([]), "no package"), True, None),
    ],
)
def test_what_a_measurement_does(
    measurement: Measurement, unresolved: bool, expected: str | None
) -> None:
    assert alerts.change(measurement, unresolved=unresolved) == expected


def test_an_alert_opens_repeats_is_acknowledged_and_resolves(workspace: Workspace, clock) -> None:
    opened = clock.time
    assert _see(workspace, _measured(30)) == ["opened"]
    clock.advance(days=1)
    assert _see(workspace, _measured(40)) == ["repeated"]
    [alert] = alerts.listing(workspace, "desk")
    assert (alert.status, alert.seen, alert.opened_at, alert.last_seen_at) == (
        "open",
        2,
        opened,
        clock.time,
    )
    assert "40.0 %" in alert.message

    alerts.acknowledge(workspace, alert.id, actor="ana", comment="looking at it")
    alerts.acknowledge(workspace, alert.id, actor="ben")
    assert _see(workspace, _measured(41)) == ["repeated"]
    [alert] = alerts.listing(workspace, "desk")
    assert (alert.status, alert.seen) == ("acknowledged", 3)

    assert _see(workspace, _measured(20)) == [None]
    assert _see(workspace, _measured(2)) == ["resolved"]
    assert alerts.listing(workspace, "desk") == []
    assert [(event.event, event.actor) for event in alerts.events(workspace, alert.id)] == [
        ("opened", "monitoring"),
        ("repeated", "monitoring"),
        ("acknowledged", "ana"),
        ("repeated", "monitoring"),
        ("resolved", "monitoring"),
    ]


def test_one_open_alert_of_a_model_and_monitor_and_a_new_one_after_it_is_resolved(
    workspace: Workspace,
) -> None:
    _see(workspace, _measured(30), _measured(30, monitor="edit_rate"))
    _see(workspace, _measured(30), _measured(30, monitor="edit_rate"))
    _see(workspace, _measured(30), model="other")
    first = {alert.monitor: alert.id for alert in alerts.listing(workspace, "desk")}
    assert sorted(first) == ["edit_rate", "novelty"]
    _see(workspace, _measured(0))
    _see(workspace, _measured(30))
    assert len(alerts.listing(workspace, "desk", unresolved_only=False)) == 3
    second = {alert.monitor: alert.id for alert in alerts.listing(workspace, "desk")}
    assert second["edit_rate"] == first["edit_rate"]
    assert second["novelty"] != first["novelty"]


def test_a_move_between_reading_and_writing_is_refused_and_changes_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _see(workspace, _measured(30))
    [stale] = alerts.listing(workspace, "desk")
    _see(workspace, _measured(30))
    monkeypatch.setattr(alerts, "_unresolved", lambda *_: stale)
    with pytest.raises(ConflictError):
        _see(workspace, _measured(0, monitor="edit_rate"), _measured(0))
    monkeypatch.undo()
    [alert] = alerts.listing(workspace, "desk")
    assert (alert.status, alert.seen) == ("open", 2)
    assert len(alerts.events(workspace, alert.id)) == 2


def test_many_at_once_open_one_alert_and_count_every_crossing(workspace: Workspace) -> None:
    with ThreadPoolExecutor(8) as pool:
        changes = list(pool.map(lambda _: _see(workspace, _measured(30))[0], range(8)))
    assert sorted(changes) == ["opened"] + ["repeated"] * 7
    [alert] = alerts.listing(workspace, "desk")
    assert alert.seen == len(alerts.events(workspace, alert.id)) == 8


def test_unknown_and_resolved_alerts_cannot_be_acknowledged(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="no alert 'nope'"):
        alerts.acknowledge(workspace, "nope", actor="ana")
    _see(workspace, _measured(30))
    [alert] = alerts.listing(workspace, "desk")
    _see(workspace, _measured(0))
    with pytest.raises(UsageError, match="resolved already"):
        alerts.acknowledge(workspace, alert.id, actor="ana")
