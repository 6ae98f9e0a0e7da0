"""The life of an alert, on a real records store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from alert_data import before_each, measured, see
from tuneloop.errors import ConflictError, UsageError
from tuneloop.monitoring import alerts
from tuneloop.monitoring.measurement import Measurement
from tuneloop.storage import tables
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


@pytest.mark.parametrize(
    ("measurement", "unresolved", "expected"),
    [
        (measured(21), False, "opened"),
        (measured(21), True, "repeated"),
        (measured(20), False, None),
        (measured(20), True, None),  # good again, by a hair: stays open
        (measured(19), True, None),
        (measured(18), True, "resolved"),  # a tenth of the way back to 0
        (measured(0), False, None),
        (measured(0, verdict="not_enough_data"), True, None),  # to call it over
        (measured(29, verdict="not_enough_data"), False, None),  # to call it a crossing
        (measured(0, verdict="not_measured"), True, None),
    ],
)
def test_what_a_measurement_does(
    measurement: Measurement, unresolved: bool, expected: str | None
) -> None:
    assert alerts.change(measurement, unresolved=unresolved) == expected


def test_an_alert_opens_repeats_is_acknowledged_and_resolves(workspace: Workspace, clock) -> None:
    opened = clock.time
    assert see(workspace, measured(30)) == ["opened"]
    clock.advance(days=1)
    assert see(workspace, measured(40)) == ["repeated"]
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
    assert see(workspace, measured(41)) == ["repeated"]
    [alert] = alerts.listing(workspace, "desk")
    assert (alert.status, alert.seen) == ("acknowledged", 3)

    assert see(workspace, measured(20)) == [None]
    assert see(workspace, measured(2)) == ["resolved"]
    assert alerts.listing(workspace, "desk") == []
    assert [(event.event, event.actor) for event in alerts.events(workspace, alert.id)] == [
        ("opened", "monitoring"),
        ("repeated", "monitoring"),
        ("acknowledged", "ana"),
        ("repeated", "monitoring"),
        ("resolved", "monitoring"),
    ]


def test_one_open_alert_of_a_model_and_monitor_and_a_new_one_long_after_it_is_resolved(
    workspace: Workspace, clock
) -> None:
    see(workspace, measured(30), measured(30, monitor="edit_rate"))
    see(workspace, measured(30), measured(30, monitor="edit_rate"))
    see(workspace, measured(30), model="other")
    first = {alert.monitor: alert.id for alert in alerts.listing(workspace, "desk")}
    assert sorted(first) == ["edit_rate", "novelty"]
    assert see(workspace, measured(0)) == ["resolved"]
    clock.advance(seconds=alerts.SAME_ALERT_WITHIN.total_seconds())
    assert see(workspace, measured(30)) == ["opened"]
    assert len(alerts.listing(workspace, "desk", unresolved_only=False)) == 3
    second = {alert.monitor: alert.id for alert in alerts.listing(workspace, "desk")}
    assert second["edit_rate"] == first["edit_rate"]
    assert second["novelty"] != first["novelty"]


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_crossing_soon_after_the_end_is_the_same_alert_looked_after_or_not(
    workspace: Workspace, clock, acknowledged: bool
) -> None:
    opened = clock.time
    see(workspace, measured(30))
    [alert] = alerts.listing(workspace, "desk")
    if acknowledged:
        alerts.acknowledge(workspace, alert.id, actor="ana")
    for seen in (2, 3):
        clock.advance(days=1)
        assert see(workspace, measured(0)) == ["resolved"]
        assert alerts.find(workspace, alert.id).resolved_at == clock.time
        clock.advance(days=2.9)
        assert see(workspace, measured(30)) == ["reopened"]
        [again] = alerts.listing(workspace, "desk", unresolved_only=False)
        assert (again.id, again.opened_at, again.seen) == (alert.id, opened, seen)
        assert again.status == ("acknowledged" if acknowledged else "open")
        assert again.resolved_at is None


def test_a_move_between_reading_and_writing_is_refused_and_changes_nothing(
    workspace: Workspace,
) -> None:
    see(workspace, measured(30))
    see(workspace, measured(30))

    def seen_by_another(connection: sa.Connection) -> None:
        connection.execute(sa.update(tables.alerts).values(seen=tables.alerts.c.seen + 7))

    with (
        before_each(workspace, "UPDATE alerts", seen_by_another),
        pytest.raises(ConflictError),
    ):
        see(workspace, measured(30, monitor="edit_rate"), measured(0))
    [alert] = alerts.listing(workspace, "desk")
    assert (alert.status, alert.seen) == ("open", 2)
    assert len(alerts.events(workspace, alert.id)) == 2


def test_many_at_once_open_one_alert_and_count_every_crossing(workspace: Workspace) -> None:
    with ThreadPoolExecutor(8) as pool:
        changes = list(pool.map(lambda _: see(workspace, measured(30))[0], range(8)))
    assert sorted(changes) == ["opened"] + ["repeated"] * 7
    [alert] = alerts.listing(workspace, "desk")
    assert alert.seen == len(alerts.events(workspace, alert.id)) == 8


def test_unknown_and_resolved_alerts_cannot_be_acknowledged(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="no alert 'nope'"):
        alerts.acknowledge(workspace, "nope", actor="ana")
    see(workspace, measured(30))
    [alert] = alerts.listing(workspace, "desk")
    see(workspace, measured(0))
    with pytest.raises(UsageError, match="resolved already"):
        alerts.acknowledge(workspace, alert.id, actor="ana")
