"""A team's own figures: shares and means by name, and which of them are watched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitoring_data import END, START, baseline, interaction, measure
from tuneloop import intervals
from tuneloop.errors import UsageError
from tuneloop.intervals import Figure
from tuneloop.modelfile import DataSettings, MetricSettings, ModelSettings, MonitorSettings
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors import metrics
from tuneloop.monitoring.monitors.table import chosen, levels
from tuneloop.monitoring.window import Window
from tuneloop.workspace import Workspace

ROWS = [interaction() for _ in range(400)]


def measured(values: list[Any], *, better: str | None = None, **watched: Any) -> Any:
    said = [(number, "metric:refund", value) for number, value in enumerate(values)]
    said.append((399, "metric:other", 17))
    monitor = metrics.monitor_of("refund", MetricSettings(better=better))
    return measure(monitor.tally, ROWS, said=said, parts=3, **watched)


def test_yes_and_no_make_a_share_with_its_interval() -> None:
    found = measured([True] * 20 + [False] * 70 + [0, 1] * 5)
    assert (found.monitor, found.value, found.n) == ("metric:refund", 0.25, 100)
    assert 0.17 < found.low < found.value < found.high < 0.35
    assert found.detail["kind"] == "share"
    assert "reported on 100 of 400 answers" in found.message


def test_numbers_make_a_mean_in_their_own_unit() -> None:
    found = measured([2.5, 3.5] * 50)
    assert (found.value, found.n, found.detail["kind"]) == (3.0, 100, "mean")
    assert found.low < 3 < found.high
    assert "3 (95 % interval" in found.message


@pytest.mark.parametrize(
    ("better", "up", "down"),
    [("lower", "alert", "ok"), ("higher", "ok", "alert"), (None, "alert", "alert")],
)
def test_which_way_is_good_is_declared(better: str | None, up: str, down: str) -> None:
    before = baseline(0.5, 0.48, 0.52)
    more = measured([True] * 180 + [False] * 120, better=better, before=before)
    fewer = measured([True] * 120 + [False] * 180, better=better, before=before)
    assert (more.verdict, fewer.verdict) == (up, down)


def test_of_a_rare_thing_a_small_rise_matters() -> None:
    before = baseline(0.01, 0.005, 0.02)
    assert measured([True] * 20 + [False] * 370, before=before).verdict == "alert"
    assert measured([True] * 4 + [False] * 386, before=before).verdict == "ok"


def test_what_must_not_move_is_measured_by_all_windows_of_the_baseline() -> None:
    weeks = [
        earlier(value=hits / 50, figure=intervals.share(hits, 50), week=week)
        for week, hits in enumerate((1, 5, 6))
    ]
    before = replace(baseline(0.02, 0.0, 0.1), candidates=weeks)
    found = measured([True] * 8 + [False] * 92, before=before)
    assert found.detail["baseline_windows"] == 3
    # 12 of 150, and a quarter of it; of the first window alone the limit would be 2.5 %.
    assert found.limit.threshold == pytest.approx(0.08 * 1.25, rel=0.01)


def earlier(value: float, figure: Figure, week: int) -> Measurement:
    end = START - timedelta(days=7 * (3 - week))
    return Measurement(
        monitor="metric:refund",
        window_start=end - timedelta(days=7),
        window_end=end,
        value=value,
        low=figure.low,
        high=figure.high,
        n=figure.n,
        verdict="ok",
        message="",
    )


def test_a_move_within_chance_is_none() -> None:
    before = baseline(10.0, 8.0, 12.0)
    found = measured([0.0, 26.0] * 20, before=before)
    assert found.value == 13.0
    assert (found.verdict, "may be chance" in found.message) == ("ok", True)


def test_few_reports_alert_nobody() -> None:
    assert measured([True] * 29).verdict == "not_enough_data"


def test_where_only_yes_is_reported_the_message_says_what_is_missing() -> None:
    assert "where it did not happen, report that too" in measured([True] * 50).message
    assert "report that too" not in measured([True] * 49 + [False]).message


def _said(interaction_: str, kind: str, endpoint: str | None = None) -> dict[str, Any]:
    at = END - timedelta(hours=1)
    who = {"id": f"f{interaction_}{kind}", "interaction": interaction_, "time": at}
    return who | {"kind": kind, "value": "1", "endpoint": endpoint}


def test_what_is_reported_is_watched_and_what_is_declared_too(workspace: Workspace) -> None:
    at = END - timedelta(days=1)
    chat = {"endpoint": "desk", "bundle": "b1", "status": 200, "tags": "{}"}
    chats = [{"id": f"{number:032x}", "time": at} | chat for number in range(3)]
    workspace.traffic.append("interactions", chats)
    window = Window(endpoint="desk", bundle="b1", start=END - timedelta(days=7), end=END)
    settings = MonitorSettings(metrics={"refund": "lower is better"})

    def watched(*only: str) -> list[str]:
        found = metrics.wanted(only or None, settings, workspace.traffic, window)
        return list(found)

    assert watched() == ["metric:refund"]
    said = [_said(f"{n:032x}", "metric:handling_minutes") for n in range(3)]
    said += [_said(f"{n:032x}", "metric:sale") for n in range(2)]
    said += [_said("f" * 32, "metric:of_another_endpoint"), _said("0" * 32, "edit")]
    workspace.traffic.append("feedback", said)
    assert watched() == ["metric:handling_minutes", "metric:refund", "metric:sale"]
    assert watched("metric:*", "errors") == watched()
    assert watched("errors") == []
    assert watched("metric:sale") == ["metric:sale"]
    assert watched("metric:never_heard_of") == ["metric:never_heard_of"]


def test_a_client_that_makes_up_names_gets_no_monitor_for_each(workspace: Workspace) -> None:
    chat = {"endpoint": "desk", "bundle": "b1", "status": 200, "tags": "{}"}
    at = END - timedelta(days=1)
    workspace.traffic.append("interactions", [{"id": "0" * 32, "time": at} | chat])
    names = [f"metric:n{number}" for number in range(50)]
    workspace.traffic.append("feedback", [_said("0" * 32, name) for name in names])
    window = Window(endpoint="desk", bundle="b1", start=END - timedelta(days=7), end=END)
    found = metrics.reported(workspace.traffic, window)
    assert len(found) == metrics.MOST_UNDECLARED


def test_figures_of_your_own_share_the_declared_rate_while_they_are_measured(
    workspace: Workspace,
) -> None:
    settings = MonitorSettings(metrics={"refund": "lower is better"})
    sources = DataSettings(sources=("a.jsonl",))
    model = ModelSettings(name="desk", base="tiny", data=sources, monitors=settings)

    def looked(name: str, days_ago: int) -> None:
        at = workspace.now() - timedelta(days=days_ago)
        told = json.dumps({"message": "", "limit": None, "seen": {}})
        row = {"id": f"{name}{days_ago}", "time": at, "model": "desk", "monitor": f"metric:{name}"}
        end = {"window_start": at - timedelta(days=7), "window_end": at}
        row |= end | {"verdict": "ok", "n": 30, "detail": told, "bundle": "b"}
        workspace.traffic.append("measurements", [row])

    looked("refund", 40)
    looked("given_up", 40)
    looked("sale", 3)
    own = metrics.counted(workspace, model)
    assert list(own) == ["metric:refund", "metric:sale"]
    alone, together, monitors = levels(model, {}), levels(model, {}, own), len(chosen(task={}))
    assert together["errors"] == pytest.approx(alone["errors"] * monitors / (monitors + 2))
    assert together["metric:sale"] == together["errors"]
    for number in range(metrics.MOST_UNDECLARED + 5):
        looked(f"n{number}", 1)
    assert len(metrics.counted(workspace, model)) == metrics.MOST_UNDECLARED + 1


def test_a_name_that_no_figure_can_have_is_an_unknown_monitor() -> None:
    assert list(chosen(["errors", "metric:refund"])) == ["errors"]
    with pytest.raises(UsageError):
        chosen(["metric:Refund!"])
