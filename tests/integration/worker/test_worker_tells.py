"""A real worker tells a real web hook what happened, and each thing once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import played_worker
from tuneloop import modelfile, review
from tuneloop.deployment import endpoints
from tuneloop.monitoring.notifications import outbox
from tuneloop.registry import people
from tuneloop.workspace import Workspace
from webhook import Server, running

pytestmark = pytest.mark.timeout(180)
ONE, TWO = "1" * 64, "2" * 64


def test_a_worker_tells_of_deployments_and_waiting_reviews(tmp_path: Path) -> None:
    server = Server()
    file = tmp_path / "tuneloop.yaml"
    with running(server) as port:
        file.write_text(
            "name: desk\nbase: base\ndata: {sources: [rows.jsonl]}\n"
            f"alerts: {{notify: ['json://127.0.0.1:{port}/hook'], group_minutes: 0}}\n"
        )
        workspace = Workspace.open(tmp_path / ".tuneloop")
        model = modelfile.load(file).settings
        people.add(workspace, "ana", ["admin"], actor="ana")  # told to nobody
        move = {"model": model, "actor": "ana", "reason": "better"}
        endpoints.point(workspace, bundle=ONE, expected=None, **move)
        proposal = review.Proposal(
            kind="correction",
            key="1",
            messages=[{"role": "user", "content": "q"}],
            answer="a",
            proposal="b",
        )
        review.enqueue(workspace, [proposal], model="desk", double_share=0.0)
        with (tmp_path / "log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, played_worker.__file__, str(file)],
                env={
                    **os.environ,
                    "PLAYED_LOG": str(tmp_path / "played"),
                    "PLAYED_SECONDS": "1",
                    "PLAYED_HOLD": str(tmp_path / "hold"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(server, "is in production", "waits for review")
            endpoints.point(workspace, bundle=TWO, expected=ONE, **move)
            endpoints.roll_back(workspace, model="desk", actor="bo", reason="it is slow")
            wait_for(server, "was rolled back")
            deadline = time.monotonic() + 30  # it was taken here a moment before that is noted
            while any(sent.status == "sending" for sent in outbox.listing(workspace, "desk")):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            worker.kill()
            worker.wait()
    text = "\n\n".join(one["message"] for one in server.taken)
    assert text.count(f"{ONE[:12]} is in production\nby ana") == 1
    assert text.count(f"{TWO[:12]} is in production, after {ONE[:12]}") == 1
    assert "by bo" in text and "why: it is slow" in text
    assert text.count("1 answer waits for review\n") == 1 and "next: tuneloop review" in text
    found = outbox.listing(workspace, "desk")
    assert {(one.status, one.attempts) for one in found} == {("sent", 1)}
    assert sorted(one.kind for one in found) == [
        "deployments",
        "deployments",
        "reviews",
        "rollbacks",
    ]
    workspace.records.close()


def wait_for(server: Server, *texts: str) -> None:
    deadline = time.monotonic() + 90
    while not all(any(text in one["message"] for one in server.taken) for text in texts):
        assert time.monotonic() < deadline, server.taken
        time.sleep(0.1)
