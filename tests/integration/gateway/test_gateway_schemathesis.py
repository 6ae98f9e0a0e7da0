"""Requests that schemathesis makes from our own description, good and bad, to a real gateway.

Its own checks: no server error; status, content type, headers and body as described; what the
description forbids is refused and what it allows is not; keys are asked for; other methods get a
405 with `allow`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, wait_for

from tuneloop.gateway import openapi
from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, Key, RouteSnapshot, Target
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

KEY = f"tl_ann_{'s' * 43}"
# What the description does not speak of is ignored, as HTTP has it, and not refused.
SETTINGS = f"""
[generation]
allow-extra-parameters = false
[auth.openapi.key]
bearer = "{KEY}"
"""


def _reply(request: Received) -> Reply:
    if request.path.endswith("/embeddings"):
        return Reply(body=json.dumps({"data": [{"embedding": [0.5]}], "model": "x"}).encode())
    if request.body.get("stream") or request.path.endswith("/chat/completions"):
        return Reply(pieces=("a", "b"))
    text = {"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}
    return Reply(body=json.dumps({"choices": [text], "model": "x"}).encode())


@pytest.fixture
def guarded(gateway: RunningGateway) -> Iterator[RunningGateway]:
    """A gateway that wants a key."""
    key = Key(digest=sha256(KEY.encode()).hexdigest(), owner="ann")
    with ScriptedUpstream(_reply) as upstream:
        snapshot = RouteSnapshot(
            version=1,
            endpoints={"desk": Endpoint(arms=(Arm(bundle="b1"),))},
            bundles={"b1": Target(base_url=upstream.base_url, served_name="served-b1")},
            keys={"ann": key},
            secret="5ec7e7",
        )
        routes.publish(snapshot, gateway.routes_file)
        wait_for(lambda: gateway.get("/readyz")[0] == 200)
        yield gateway


def test_the_description_is_served(gateway: RunningGateway) -> None:
    assert gateway.call("/openapi.json") == (200, openapi.description())


def test_requests_made_from_the_description(guarded: RunningGateway, tmp_path: Path) -> None:
    (tmp_path / "description.json").write_text(json.dumps(_of_this_gateway()))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", "schemathesis.toml", "--no-color"),
            *("run", "description.json", "--url", guarded.url),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", "12", "--generation-deterministic", "--continue-on-failure"),
            *("--report", "json", "--report-json-path", "report.json"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["complete"]
    assert not any(report["warnings"].values())
    assert {phase["status"] for phase in report["phases"].values()} == {"success"}
    assert report["test_cases"]["generated"] > 500
    # It was not refusals alone that conformed: every operation has also been served.
    served = {
        name
        for name, phases in report["valid_rates"].items()
        if sum(rates["accepted"] for rates in phases.values()) > 0
    }
    described = {
        f"{method.upper()} {path}"
        for path, methods in _of_this_gateway()["paths"].items()
        for method in methods
    }
    assert served == described - {"POST /v1/feedback"}
    # For feedback it takes an interaction, which a link of the description leads it to.
    assert guarded.metric('tuneloop_feedback_total{kind="rating"}') > 0


def _of_this_gateway() -> dict[str, Any]:
    """With the one endpoint that there is, and without the errors of a model server's own."""
    described: dict[str, Any] = json.loads(openapi.description())
    described["components"]["schemas"]["EndpointName"]["enum"] = ["desk"]
    for operations in described["paths"].values():
        for operation in operations.values():
            for passed_on in ("4XX", "5XX"):
                operation["responses"].pop(passed_on, None)
    return described
