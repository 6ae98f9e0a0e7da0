"""Messages reach a real HTTP server through Apprise, whatever dies on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from alert_data import measured, see
from tuneloop.cli.alerts import app
from tuneloop.modelfile import AlertSettings
from tuneloop.monitoring import alerts
from tuneloop.monitoring.notifications import outbox
from tuneloop.monitoring.notifications.delivery import deliver_due
from tuneloop.workspace import Workspace
from webhook import Server, running

# A plug-in of Apprise imports it, whichever service is asked for.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def settings(port: int) -> dict[str, AlertSettings]:
    return {"desk": AlertSettings.model_validate({"notify": [f"json://127.0.0.1:{port}/hunter2"]})}


def test_a_message_with_its_numbers_arrives(workspace: Workspace, clock) -> None:
    server = Server()
    detail = {"examples": [{"interaction": "i", "prompt": "what does the solar tariff pay"}]}
    see(workspace, measured(31, detail=detail), bundle="5f2b9a10c4de" + "0" * 52)
    clock.advance(minutes=5)
    with running(server) as port:
        [attempt] = deliver_due(workspace, settings(port))
    assert attempt.error is None
    [alert] = alerts.listing(workspace, "desk")
    [taken] = server.taken
    assert taken["path"] == "/hunter2" and taken["title"] == "tuneloop: desk: novelty opened"
    for part in (
        "31.0 % (95 % interval 22.",
        "n = 100), above the limit of 20.0 %",
        f"alert {alert.id}, since 2026-03-02 09:00 UTC, seen 1 ×, bundle 5f2b9a10c4de",
        "what does the solar tariff pay",
        f"tuneloop alert show {alert.id}",
    ):
        assert part in taken["message"]


def test_a_server_that_is_down_or_refuses_gets_the_message_later(
    workspace: Workspace, clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    with running(server) as port:
        pass
    see(workspace, measured(30))
    clock.advance(minutes=5)
    of = settings(port)
    [attempt] = deliver_due(workspace, of)
    assert attempt.error is not None and "Connection error" in attempt.error
    clock.advance(minutes=1)
    with running(server, port):
        server.status = 500
        [attempt] = deliver_due(workspace, of)
        assert attempt.error is not None and "500" in attempt.error
        assert deliver_due(workspace, of) == []
        server.status = 200
        clock.advance(minutes=2)
        [attempt] = deliver_due(workspace, of)
    assert attempt.error is None
    assert len(server.taken) == 2 and server.taken[0] == server.taken[1]
    [one] = outbox.listing(workspace, "desk")
    assert (one.status, one.attempts, one.channel) == ("sent", 3, "json://****")
    assert "hunter2" not in caplog.text


_WORKER = """
import sys, time
from datetime import datetime
from pathlib import Path
from tuneloop.modelfile import AlertSettings
from tuneloop.monitoring.notifications import delivery, sending
from tuneloop.workspace import Workspace

root, url, now, dies = sys.argv[1:]
workspace = Workspace.open(Path(root), now=lambda: datetime.fromisoformat(now))
settings = {"desk": AlertSettings(notify=(url,))}

def stuck(channel, message):
    print("decided", flush=True)
    time.sleep(60)

delivery.deliver_due(workspace, settings, send=stuck if dies == "before" else sending.send)
"""


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_kill_between_decided_and_noted_sends_again_what_people_can_recognise(
    workspace: Workspace, clock, dies: str
) -> None:
    """Killed before it sends: told once. Killed before it notes the answer: told twice, alike."""
    server = Server()
    server.answers.clear()
    see(workspace, measured(30))
    clock.advance(minutes=5)
    with running(server) as port:
        url = f"json://127.0.0.1:{port}/hunter2"
        with subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(workspace.root), url, clock().isoformat(), dies],
            stdout=subprocess.PIPE,
        ) as worker:
            assert worker.stdout is not None
            if dies == "before":
                assert worker.stdout.readline() == b"decided\n"
            else:
                assert server.arrived.wait(60)
            worker.kill()
        server.answers.set()
        assert [one.status for one in outbox.listing(workspace, "desk")] == ["sending"]
        assert deliver_due(workspace, settings(port)) == []
        clock.advance(seconds=outbox.LEASE.total_seconds())
        [attempt] = deliver_due(workspace, settings(port))
        assert attempt.error is None
        assert deliver_due(workspace, settings(port)) == []
    [alert] = alerts.listing(workspace, "desk")
    assert [alert.id in taken["message"] for taken in server.taken] == [True] * (
        1 if dies == "before" else 2
    )
    assert all(taken == server.taken[0] for taken in server.taken)


@pytest.mark.usefixtures("wide_terminal")
def test_the_commands_show_what_was_told_and_try_the_channels(
    tmp_path: Any, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = Server()

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == code, done.output
        assert "hunter2" not in done.output
        return done.stdout

    with running(server) as port:
        monkeypatch.setenv("TEAM_CHAT", f"json://127.0.0.1:{port}/hunter2")
        notify = "  - ${TEAM_CHAT}\n  - json://127.0.0.1:1/hunter2\n"
        (tmp_path / "tuneloop.yaml").write_text(
            "name: desk\nbase: b\ndata:\n  sources: [rows.jsonl]\nalerts:\n  notify:\n" + notify
        )
        tried = json.loads(run("test", "--json", code=1))
        assert [one["channel"] for one in tried] == ["${TEAM_CHAT}", "json://****"]
        assert tried[0]["error"] is None and "Connection error" in tried[1]["error"]
        tests = json.loads(run("deliveries", "--json"))
        assert {(one["kind"], one["channel"], one["status"]) for one in tests} == {
            ("test", "${TEAM_CHAT}", "sent"),
            ("test", "json://****", "gave_up"),
        }
        assert run("deliveries").count("test message") == 2

        workspace = Workspace.open(tmp_path / ".tuneloop")
        later = Workspace.open(
            tmp_path / ".tuneloop", now=lambda: workspace.now() + timedelta(minutes=6)
        )
        see(workspace, measured(30, detail={"examples": ["solar tariff"]}))
        urls = [url.strip(" -") for url in notify.splitlines()]
        deliver_due(later, {"desk": AlertSettings.model_validate({"notify": urls})})
        [alert] = alerts.listing(workspace, "desk")
        workspace.records.close()
        later.records.close()
    assert [taken["title"] for taken in server.taken] == [
        "tuneloop: test from desk",
        "tuneloop: desk: novelty opened",
    ]
    listed = json.loads(run("deliveries", "--json"))
    assert {(one["kind"], one["channel"], one["status"]) for one in listed[:2]} == {
        ("alerts", "${TEAM_CHAT}", "sent"),
        ("alerts", "json://****", "waiting"),
    }
    assert listed[2:] == tests, "the newest first"
    text = run("show", alert.id)
    for part in ("novelty of desk is open", "solar tariff", "${TEAM_CHAT}", "Connection error"):
        assert part in text
    assert len(json.loads(run("show", alert.id, "--json"))["deliveries"]) == 2
    run("show", "nope", code=1)


@pytest.mark.usefixtures("wide_terminal")
def test_the_channels_are_shown_with_what_each_is_told_of(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begin = "name: desk\nbase: b\ndata: {sources: [rows.jsonl]}\n"

    def run(*words: str, alerts: str = "") -> str:
        (tmp_path / "tuneloop.yaml").write_text(begin + alerts)
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert "hunter2" not in done.output
        return done.stdout

    assert "names no channel" in run("channels") and "names no channel" in run("deliveries")
    assert json.loads(run("channels", "--json")) == json.loads(run("deliveries", "--json")) == []
    with running(Server()) as port:
        alerts = (
            f"alerts:\n  notify: [json://127.0.0.1:{port}/hunter2]\n  events: [alerts, reviews]\n"
            "  also: [{notify: ['${ON_CALL}'], events: [rollbacks]}]\n"
        )
        assert "Nothing was sent yet" in run("deliveries", alerts=alerts)
        monkeypatch.setenv("ON_CALL", f"json://127.0.0.1:{port}/hunter2")
        assert run("test", alerts=alerts).count("delivered") == 2
    first, second = json.loads(run("channels", "--json", alerts=alerts))
    assert (first["channel"], first["events"]) == ("json://****", ["alerts", "reviews"])
    assert (second["channel"], second["events"]) == ("${ON_CALL}", ["rollbacks"])
    assert second["last"]["kind"] == "test" and second["last"]["status"] == "sent"
    shown = run("channels", alerts=alerts)
    assert "alerts, reviews" in shown and shown.count("sent ") == 2
