"""`tuneloop monitor list` and `history`, as people and programs see them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alert_data import END, measured
from live_desk import make_loop, put_live
from tuneloop.cli.main import app
from tuneloop.cli.monitoring import _line
from tuneloop.monitoring import series
from tuneloop.monitoring.monitors.table import MONITORS
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.manifest import Manifest
from tuneloop.workspace import Workspace

MODEL = "name: desk\nbase: tiny\ndata: {sources: [a.jsonl]}\nmonitors: {novelty_above: 0.3}\n"


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A model whose novelty was measured on three days, a quarter crossing its limit of 20 %."""
    file = tmp_path / "tuneloop.yaml"
    file.write_text(MODEL)
    workspace = Workspace.open(tmp_path / ".tuneloop")
    bundle = Bundle(id="b" * 64, model="desk", manifest=Manifest(), created_at=END)
    for day, bad in enumerate((10, 12, 25)):
        now = END + timedelta(days=day)
        series.store(workspace, [measured(bad)], bundle=bundle, endpoint="desk", now=now)
    workspace.records.close()
    return file


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["monitor", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("wide_terminal")
def test_the_list_has_every_monitor_with_its_limit_and_last_value(model_file: Path) -> None:
    listed = json.loads(_run("list", "-f", str(model_file), "--json"))
    assert [one["monitor"] for one in listed] == [one.name for one in MONITORS]
    novelty = next(one for one in listed if one["monitor"] == "novelty")
    assert (novelty["every"], novelty["limit"]) == ("week", "above 30%")
    assert (novelty["last"]["value"], novelty["last"]["verdict"]) == (0.25, "alert")
    assert next(one for one in listed if one["monitor"] == "errors")["last"] is None
    shown = _run("list", "-f", str(model_file))
    assert "one false alarm in 10 months over all 16 monitors together" in shown
    looks = {"hour": 365.25 * 2, "day": 365.25 / 12, "week": 365.25 / 12 / 7}
    rate = sum(one["false_alarm_chance"] * looks[one["every"]] for one in listed if one["applies"])
    assert rate == pytest.approx(0.1)
    assert "not measured yet" in shown
    assert "above 30%" in shown


def test_history_plots_one_monitor_the_newest_first(model_file: Path) -> None:
    lines = [
        line for line in _run("history", "novelty", "-f", str(model_file)).splitlines() if line
    ]
    values = [line for line in lines if "●" in line and "value" not in line]
    assert ["0.25" in line and "alert" in line for line in values] == [True, False, False]
    assert all("│" in line and "─" in line for line in values)
    # The newest value lies beyond the limit, the others on the good side of it.
    assert [line.index("●") > line.index("│") for line in values] == [True, False, False]
    found = json.loads(_run("history", "novelty", "-f", str(model_file), "--json"))
    assert [one["value"] for one in found] == [0.25, 0.12, 0.1]
    assert json.loads(_run("history", "errors", "-f", str(model_file), "--json")) == []
    assert "No measurements yet" in _run("history", "errors", "-f", str(model_file))


@pytest.mark.usefixtures("wide_terminal")
def test_what_a_person_called_normal_is_shown_with_the_reason(tmp_path: Path) -> None:
    loop = make_loop(Workspace.open(tmp_path / "desk" / ".tuneloop"), tmp_path / "desk")
    bundle, now = put_live(loop), loop.workspace.now()
    usual = replace(measured(30, monitor="refusals"), detail={"becomes_baseline": True})
    series.store(loop.workspace, [usual], bundle=bundle, endpoint="desk", now=now)
    loop.workspace.records.close()
    where = ("-f", str(tmp_path / "desk" / "tuneloop.yaml"))
    _run("accept", "refusals", "--reason", "[b] orders are refused since May", *where)
    for shown in (_run("list", *where), _run("history", "refusals", *where)):
        assert "called 0.3 normal on" in shown
        assert "[b] orders are refused since May" in shown
    listed = json.loads(_run("list", *where, "--json"))
    accepted = {one["monitor"]: one["accepted"] for one in listed}
    assert accepted["refusals"]["reason"] == "[b] orders are refused since May"
    assert accepted["errors"] is None
    undone = _run("accept", "refusals", "--undo", "--reason", "no", *where, "--json")
    assert json.loads(undone)["monitor"] == "refusals"
    assert "called 0.3 normal" not in _run("list", *where)
    assert "taken back by" in _run("history", "refusals", *where)


def test_a_plot_of_equal_values_is_drawn() -> None:
    one = measured(0, 100)
    assert _line(one, 0.0, 0.0).strip(" ─│●") == ""
    assert len(_line(one, 0.0, 0.2)) == 40
