"""The whole loop on a tiny model: every stage real, through the commands that a user types.

The tests of this file tell one story and share one workspace; each begins where the one before
ended, as a team's days do.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import APIError, OpenAI
from typer.testing import CliRunner

import tuneloop as package
from tiny_desk import GATES, as_json, command, make_desk, tuneloop, written
from tuneloop import review
from tuneloop.cli.main import app

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    yield folder
    subprocess.run(command("down"), cwd=folder, check=False, capture_output=True)


def ask(url: str, message: str) -> tuple[str, str]:
    """Interaction id and bundle of one answer."""
    client = OpenAI(base_url=url, api_key="unused", max_retries=0)
    raw = client.chat.completions.with_raw_response.create(
        model="support-router", messages=[{"role": "user", "content": message}]
    )
    assert raw.parse().choices[0].finish_reason
    return raw.headers["x-tuneloop-interaction"], raw.headers["x-tuneloop-bundle"]


def correct(url: str, interaction: str) -> None:
    value = json.dumps({"intent": "setup", "product": "none", "urgency": "low"})
    body = {"interaction": interaction, "kind": "edit", "value": value}
    request = urllib.request.Request(
        f"{url}/feedback",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


def production(folder: Path) -> str:
    found: dict[str, Any] = as_json(folder, "status")
    return str(found["live"]["bundle"])


def test_before_anything_status_says_what_to_do(desk: Path) -> None:
    found = as_json(desk, "status")
    assert found["health"] == "not deployed"
    assert "tuneloop run" in found["next_steps"][0]
    assert "tuneloop run" in tuneloop(desk, "bundle", "list").stdout
    refused = tuneloop(desk, "rollback", code=2)
    assert "no previous bundle" in refused.stderr


def killed_when(folder: Path, there: Callable[[], object], *arguments: str) -> None:
    """Start `tuneloop run` and kill it, with all that it started, as soon as `there` is true."""
    process = subprocess.Popen(
        command("run", *arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not there():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def on_a_full_disk(folder: Path) -> str:
    """What `tuneloop run` says where a limit on the size of files fails the merged weights."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (450_000, 450_000))

    done = subprocess.run(
        command("run", "-m", "on a full disk"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        preexec_fn=small_files,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.timeout(600)
def test_a_kill_or_a_full_disk_is_continued_from(desk: Path) -> None:
    """In training, export and evaluation, one after the other."""
    work = desk / ".tuneloop" / "work" / "training"
    killed_when(desk, lambda: list(work.glob("*/spec.json")), "-m", "will be killed")
    (interrupted,) = as_json(desk, "runs", "list")
    assert interrupted["status"] == "running"
    assert any("was interrupted: go on" in step for step in as_json(desk, "status")["next_steps"])

    said = on_a_full_disk(desk)
    assert "error:" in said and "Free" in said and "Merging" in said, said
    assert as_json(desk, "status")["live"] is None
    assert [run["id"] for run in as_json(desk, "runs", "list")] == [interrupted["id"]]

    answers = desk / ".tuneloop" / "work" / "answers"
    killed_when(desk, lambda: list(answers.glob("20*/*.jsonl")), "-m", "during the evaluation")
    text = tuneloop(desk, "run", "-m", "the first version")
    assert "is in production" in text.stdout
    for finished in ("Merging", "Quantising", "Parity"):
        assert finished not in text.stderr, "the export is not repeated"
    (cycle,) = {move["reason"] for move in as_json(desk, "history")}
    assert "nothing was in production to compare it with" in cycle
    runs = as_json(desk, "runs", "list")
    assert [(run["id"], run["status"]) for run in runs] == [(interrupted["id"], "finished")]


def test_the_first_bundle_names_everything_that_decides_its_behaviour(desk: Path) -> None:
    manifest = as_json(desk, "bundle", "show")["manifest"]
    assert manifest["base"]["digest"] and manifest["dataset"]["digest"]
    assert set(manifest["artifacts"]) == {"dataset", "trained", "export", "evaluation"}
    assert manifest["training"]["hyperparameters"]["epochs"] == {"value": 1, "origin": "file"}
    assert manifest["task"]["system"].startswith("You sort messages")
    assert manifest["serving"]["quantisation"] == "q8_0" and manifest["serving"]["chat_template"]
    assert manifest["evaluation"]["verdict"] == "passed" and manifest["evaluation"]["gates"]
    assert manifest["evaluation"]["comparisons"]["base"]["verdict"]
    assert as_json(desk, "bundle", "verify")["intact"]


def test_the_same_again_is_recognised(desk: Path) -> None:
    before = production(desk)
    done = as_json(desk, "run")
    assert done["outcome"].startswith("Nothing new")
    assert production(desk) == before
    assert len(as_json(desk, "runs", "list")) == 1


def test_serving_capturing_and_noticing(desk: Path) -> None:
    tuneloop(desk, "up", "--detach")
    found = as_json(desk, "status")
    assert found["health"] == "healthy"
    url = found["gateway_url"]
    answered = [ask(url, f"Why is my Skerry number {n} beeping?") for n in range(20)]
    assert {bundle for _, bundle in answered} == {production(desk)}
    for interaction, _ in answered[::2]:
        correct(url, interaction)
    time.sleep(3)  # the gateway seals a segment of its spool every two seconds
    verdicts = {m["monitor"]: m for m in as_json(desk, "monitor", "run")}
    assert verdicts["edit_rate"]["verdict"] == "alert"
    assert verdicts["edit_rate"]["value"] == pytest.approx(0.5)
    assert verdicts["format_compliance"]["n"] == 20
    assert "skerry" in verdicts["novelty"]["message"]
    assert {alert["monitor"] for alert in as_json(desk, "alert", "list")} >= {"edit_rate"}
    assert as_json(desk, "status")["health"] == "alerts"

    trace = as_json(desk, "traffic", "show", answered[0][0])
    assert trace["feedback"][0]["kind"] == "edit"
    assert trace["answered_by"]["bundle"] == answered[0][1]
    assert trace["answered_by"]["deployed_because"]


def test_two_cycles_at_once_are_refused(desk: Path) -> None:
    loop = package.open(desk)
    with loop.workspace.exclusive("cycle-support-router", doing="run a cycle of support-router"):
        refused = tuneloop(desk, "run", code=1)
    loop.close()
    assert f"process {os.getpid()}" in refused.stderr


def test_a_gate_refuses_and_production_stays(desk: Path) -> None:
    before = production(desk)
    strict = {**GATES, "accuracy": ">= 0.99"}
    with written(desk / "tuneloop.yaml", "evaluation", gates=strict):
        done = as_json(desk, "run", code=3)
    assert done["refused"] and "accuracy" in done["outcome"]
    assert production(desk) == before
    refused = tuneloop(desk, "deploy", "candidate", code=3)
    assert "missed a gate" in refused.stderr
    made = len(as_json(desk, "bundle", "list"))
    with written(desk / "tuneloop.yaml", "evaluation", gates=strict):
        again = as_json(desk, "run", code=3)
    assert again["outcome"].startswith("Nothing new: candidate") and again["refused"]
    assert "was refused because" in again["outcome"] and again["bundle"] == done["bundle"]
    assert len(as_json(desk, "bundle", "list")) == made


def test_corrections_reach_training_only_after_review(desk: Path) -> None:
    before = production(desk)
    assert as_json(desk, "run")["outcome"].startswith("Nothing new"), "nothing is approved yet"
    queue = as_json(desk, "review", "list")
    items = [item for item in queue if item["kind"] == "correction"]
    assert len(items) == 10
    for other in (item for item in queue if item["kind"] != "correction"):
        tuneloop(desk, "review", "reject", other["id"])
    tuneloop(desk, "review", "reject", items[0]["id"])
    assert as_json(desk, "review", "approve", "--all", "--reviewer", "Ines") == {"approved": 9}
    done = as_json(desk, "run", "-m", "corrections")
    assert done["deployed"], done["outcome"]
    manifest = as_json(desk, "bundle", "show")["manifest"]
    assert manifest["dataset"]["corrections"] == 9
    assert manifest["dataset"]["reviewers"] == ["Ines"]
    assert manifest["evaluation"]["comparisons"]["production"]["verdict"]
    assert manifest["evaluation"]["production"] == before
    diff = as_json(desk, "bundle", "diff", "previous", "production")
    assert {"dataset.corrections", "artifacts.trained"} <= {one["key"] for one in diff}
    versions = as_json(desk, "data", "list")
    change = as_json(desk, "data", "diff", versions[-1]["label"], versions[0]["label"])
    assert change["moved"] == [], "what was held out stays held out"
    assert as_json(desk, "status")["previous"] == before


def test_rolling_back_moves_the_traffic_and_again_undoes_it(desk: Path) -> None:
    url = as_json(desk, "status")["gateway_url"]
    new = production(desk)
    gone_back = as_json(desk, "rollback", "-m", "rehearsal")
    old = gone_back["bundle"]
    assert gone_back["in_effect"] and old != new
    assert gone_back["took_effect_seconds"] < 5
    assert ask(url, "hello")[1] == old, "the very next request"
    again = as_json(desk, "run")
    assert "was rolled back" in again["outcome"] and "rehearsal" in again["outcome"]
    assert production(desk) == old, "the next run does not undo it"
    assert as_json(desk, "rollback", "-m", "back")["bundle"] == new
    reasons = [move["reason"] for move in as_json(desk, "history")]
    assert reasons[:2] == ["back", "rehearsal"]


def test_a_bundle_can_be_evaluated_again(desk: Path) -> None:
    report = as_json(desk, "evaluate", "previous")
    assert report["verdict"] == "passed"
    assert {"production", "base"} <= report["subjects"].keys()
    assert as_json(desk, "status")["health"] in ("healthy", "alerts")


def test_a_crashed_model_server_comes_back(desk: Path) -> None:
    url = as_json(desk, "status")["gateway_url"]
    bundle = production(desk)
    (server,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if {"tuneloop.deployment.backends.llamacpp_child", bundle}
        <= set(process.info["cmdline"] or ())
    )
    server.kill()
    deadline = time.monotonic() + 60
    answered_by = ""
    while answered_by != bundle:  # meanwhile the previous bundle answers, or nobody
        assert time.monotonic() < deadline
        with suppress(APIError):
            answered_by = ask(url, "still there?")[1]
        time.sleep(0.2)


REPORTS = (
    "status",
    "history",
    "doctor",
    "config check",
    "config show",
    "data list",
    "data show",
    "data quarantine",
    "runs list",
    "runs show latest",
    "evaluation list",
    "evaluation show latest",
    "bundle list",
    "bundle show",
    "monitor history",
    "alert list",
    "alert list --all",
    "traffic list",
    "traffic ingest",
    "review list --status all",
)


def test_every_report_is_text_and_json_on_demand(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    for words in REPORTS:
        text = CliRunner().invoke(app, words.split())
        assert text.exit_code == 0 and text.stdout.strip(), words
        found = CliRunner().invoke(app, [*words.split(), "--json"])
        assert found.exit_code == 0, words
        assert json.loads(found.stdout) is not None
    assert json.loads(CliRunner().invoke(app, ["config", "schema"]).stdout)["properties"]


def test_the_report_is_one_html_file(desk: Path) -> None:
    tuneloop(desk, "evaluation", "show", "latest", "--html", "report.html")
    page = (desk / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "default-src 'none'" in page, "nothing is loaded from anywhere"


def test_serving_twice_and_a_taken_port_are_refused(desk: Path) -> None:
    assert "running already" in tuneloop(desk, "up", "--detach", code=1).stderr
    assert as_json(desk, "down")["stopped"]
    assert not as_json(desk, "down")["stopped"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = tuneloop(desk, "up", "--set", f"endpoint.port={port}", code=2)
    assert f"Cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert as_json(desk, "status")["health"] == "down"


def test_a_corrupted_artifact_is_never_served(desk: Path) -> None:
    loop = package.open(desk)
    manifest = loop.bundle("production").manifest
    files = loop.workspace.artifacts.describe(manifest.artifacts.export).files
    blob = next(file.digest for file in files if file.path.endswith("q8_0.gguf"))
    path = desk / ".tuneloop" / "artifacts" / "blobs" / blob[:2] / blob
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    loop.close()
    refused = tuneloop(desk, "bundle", "verify", code=1)
    assert "is corrupt" in refused.stderr and "backup" in refused.stderr
    assert "is corrupt" in tuneloop(desk, "up", "--detach", code=1).stderr
    path.write_bytes(good)
    assert as_json(desk, "bundle", "verify")["intact"]


def test_the_loop_in_a_notebook(desk: Path) -> None:
    """The README's lines, on the tiny model."""
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    code = readme.split("<!-- api -->")[1].split("```python")[1].split("```")[0]
    here = Path.cwd()
    os.chdir(desk)
    try:
        names: dict[str, Any] = {}
        exec(compile(code, "README.md", "exec"), names)
    finally:
        os.chdir(here)
    loop = names["loop"]
    assert loop.status().next_steps
    assert review.listing(loop.workspace, "support-router", status="approved")
    loop.close()
