"""A team's own figures and what is said late, from the feedback to the alert and the plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuneloop.cli.main import app
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.monitoring import alerts, stage
from tuneloop.monitoring.measurement import Measurement
from tuneloop.progress import Silent
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.spool import new_id
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

DAY = timedelta(days=1)


@pytest.fixture
def bundle(workspace: Workspace) -> Bundle:
    empty: dict[str, Any] = {
        part: {}
        for part in ("base", "artifacts", "dataset", "training", "serving", "evaluation", "routing")
    }
    return bundles.register(workspace, manifest_of(model="desk", task={}, **empty))


def serve(workspace: Workspace, bundle: Bundle, *, at: datetime, n: int = 100) -> list[str]:
    """Answers of the minutes from then on; their ids."""
    rows = []
    for number in range(n):
        time = at + timedelta(minutes=number)
        identity = new_id(int(time.timestamp()) * 10**9)
        asked = {"endpoint": "desk", "bundle": bundle.id, "operation": "chat", "status": 200}
        said = {"messages": "[]", "request": "{}", "response": "fine", "conversation": identity}
        rows.append({"id": identity, "time": time, "tags": "{}", "latency_ms": 1.0} | asked | said)
    workspace.traffic.append("interactions", rows)
    return [row["id"] for row in rows]


def say(
    workspace: Workspace, about: Sequence[str], kind: str, value: object, *, at: datetime
) -> None:
    rows = [
        {"id": f"{one}{kind}", "interaction": one, "kind": kind, "value": json.dumps(value)}
        for one in about
    ]
    workspace.traffic.append("feedback", [row | {"time": at} for row in rows])


def run(
    workspace: Workspace, bundle: Bundle, *only: str, **monitors: Any
) -> dict[str, Measurement]:
    settings = ModelSettings(
        name="desk", base="tiny", data=DataSettings(sources=("a.jsonl",)), monitors=monitors
    )
    found = stage.run_monitors(
        workspace,
        model_file=ModelFile(path=Path("tuneloop.yaml"), settings=settings, origins={}),
        bundle=bundle,
        endpoint="desk",
        only=only,
        progress=Silent(),
    )
    return {one.monitor: one for one in found}


def test_a_figure_that_gets_worse_alerts_under_its_name(
    workspace: Workspace, bundle: Bundle, clock: Any
) -> None:
    for refunded in (4, 30):
        ids = serve(workspace, bundle, at=clock.time)
        clock.advance(days=0.5)
        say(workspace, ids[:refunded], "metric:refund", True, at=clock.time)
        say(workspace, ids[refunded:], "metric:refund", False, at=clock.time)
        say(workspace, ids, "metric:minutes", 4.5, at=clock.time)
        clock.advance(days=0.5)
        found = run(
            workspace,
            bundle,
            "metric:*",
            window_days=1,
            feedback_days=0,
            metrics={"refund": "lower is better"},
        )
        assert list(found) == ["metric:minutes", "metric:refund"]
        assert (found["metric:refund"].value, found["metric:refund"].n) == (refunded / 100, 100)
    opened = [alert.monitor for alert in alerts.listing(workspace, "desk")]
    assert opened == ["metric:refund"]


def test_what_is_said_days_later_counts_for_its_answers(
    workspace: Workspace, bundle: Bundle, clock: Any
) -> None:
    """Weekly windows: without waiting no edit would be in the week of its answer."""
    start = clock.time
    for week in range(4):
        ids = serve(workspace, bundle, at=clock.time + 5 * DAY)
        # A tenth of the first three weeks' answers, three tenths of the last one's.
        say(workspace, ids[: 30 if week == 3 else 10], "edit", "no", at=clock.time + 8.5 * DAY)
        clock.advance(days=7)
    at_once = run(workspace, bundle, "edit_rate", feedback_days=0)["edit_rate"]
    assert (at_once.value, at_once.verdict) == (0.0, "ok")  # nobody has had the time yet

    found = run(workspace, bundle, "edit_rate", "errors")
    assert found["errors"].window_end == clock.time
    waiting = found["edit_rate"]
    assert waiting.window_end == clock.time - timedelta(hours=84)
    assert (waiting.value, waiting.n, waiting.verdict) == (0.1, 100, "ok")
    clock.advance(days=7)
    grown = run(workspace, bundle, "edit_rate")["edit_rate"]
    assert (grown.value, grown.verdict) == (0.3, "alert")
    assert "hours old" in grown.message
    assert grown.window_end < start + 5 * 7 * DAY


@pytest.mark.usefixtures("wide_terminal")
def test_the_list_and_the_plot_show_figures_and_releases(
    workspace: Workspace, bundle: Bundle, clock: Any, tmp_path: Path
) -> None:
    for day in range(2):
        ids = serve(workspace, bundle, at=clock.time)
        say(workspace, ids, "metric:minutes", 4.0 + day, at=clock.time + DAY / 2)
        clock.advance(days=1)
        run(workspace, bundle, "metric:*", window_days=1, feedback_days=0)
        if day == 0:
            with workspace.records.begin() as tx:
                aliases.move(
                    tx,
                    model="desk",
                    name="production",
                    bundle=bundle.id,
                    expected=None,
                    actor="test",
                    reason="release",
                    now=clock.time + DAY / 4,
                )
    (tmp_path / ".tuneloop").symlink_to(tmp_path / "workspace")
    file = tmp_path / "tuneloop.yaml"
    file.write_text(
        "name: desk\nbase: tiny\ndata: {sources: [a.jsonl]}\n"
        "monitors: {metrics: {refund: lower is better}}\n"
    )

    def shown(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["monitor", *arguments, "-f", str(file)])
        assert result.exit_code == 0, result.output
        return result.stdout

    listed = {one["monitor"]: one for one in json.loads(shown("list", "--json"))}
    assert listed["metric:refund"]["limit"] == "25% or 5 points above baseline"
    assert listed["metric:minutes"]["last"]["value"] == 5.0
    assert listed["metric:minutes"]["last"]["bundle"] == bundle.id
    lines = [line for line in shown("history", "metric:minutes").splitlines() if line]
    marks = ["●" if "●" in line else "▲" for line in lines[1:-1] if "●" in line or "▲" in line]
    assert marks == ["●", "▲", "●"]
