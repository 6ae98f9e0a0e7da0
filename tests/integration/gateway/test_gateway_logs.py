"""The log of a gateway: structured, about failures, and never with a secret in it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import openai
import pytest
from gateway_process import RunningGateway, wait_for

from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, Key, RouteSnapshot, Target
from tuneloop.testing.upstream import Reply, Script, ScriptedUpstream

Scripted = Callable[[Script | Reply], ScriptedUpstream]
ASK: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "Hi"}]}
CLIENTS_KEY = f"tl_ann_{'k' * 43}"
SERVERS_KEY = "sk-upstream-0123456789"
COLLECTORS_KEY = "c0llector"
GATEWAYS_SECRET = "5ec7e7" * 10


def _lines(gateway: RunningGateway) -> list[dict[str, Any]]:
    log = (gateway.folder / "gateway.log").read_bytes()
    return [json.loads(line) for line in log.splitlines()]


def test_a_failure_is_a_line_with_its_interaction_endpoint_and_code(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    gateway.route(scripted(Reply(status=500, body=b"{}")).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    with pytest.raises(openai.InternalServerError) as failed:
        gateway.client().chat.completions.create(**ASK)
    wait_for(lambda: len(_lines(gateway)) == 3)  # it is logged when the client has its answer
    began, routed, line = _lines(gateway)
    assert began["message"] == f"tuneloop gateway on {gateway.url}/v1"
    assert "Routes version 1" in routed["message"]
    assert line["level"] == "warning"
    assert line["interaction"] == failed.value.response.headers["x-tuneloop-interaction"]
    assert (line["endpoint"], line["bundle"], line["status"]) == ("desk", "b1", 500)
    assert line["error"] == "upstream_error"


def test_no_secret_is_ever_logged(
    cold_gateway: RunningGateway, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the clients' keys, the model server's, the collector's, nor the ids' secret."""
    monkeypatch.setenv("DESK_KEY", SERVERS_KEY)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_HEADERS", f"api-key={COLLECTORS_KEY},@ ={COLLECTORS_KEY}"
    )
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    gateway = cold_gateway

    def tell(request: Any) -> Reply:
        """A model server that repeats what it was sent, as an error."""
        assert request.headers["authorization"] == f"Bearer {SERVERS_KEY}"
        told = json.dumps({"error": {"message": f"{request.headers}"}})
        status = 401 if len(upstream.requests) % 2 else 500
        return Reply(status=status, body=told.encode())

    upstream = scripted(tell)
    target = Target(base_url=upstream.base_url, served_name="s", api_key_env="DESK_KEY")
    key = Key(digest=sha256(CLIENTS_KEY.encode()).hexdigest(), owner="ann")
    snapshot = RouteSnapshot(
        version=1,
        endpoints={"desk": Endpoint(arms=(Arm(bundle="b1"),))},
        bundles={"b1": target},
        keys={"ann": key},
        secret=GATEWAYS_SECRET,
    )
    routes.publish(snapshot, gateway.routes_file)
    gateway.start()
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    # The file is broken for a moment, with its secret in it.
    gateway.routes_file.write_text(f'{{"secret": "{GATEWAYS_SECRET}", "version": "x"}}')
    wait_for(lambda: gateway.metric("tuneloop_routes_stale") == 1)

    client = gateway.client(api_key=CLIENTS_KEY)
    for stream in (False, True):
        for _ in range(2):
            with suppress(openai.APIError):
                list(client.chat.completions.create(**ASK, stream=stream))
    for wrong in (CLIENTS_KEY[:-1] + "x", SERVERS_KEY, f"{CLIENTS_KEY}\x01", f"{CLIENTS_KEY} ü"):
        _send_raw(gateway, "/v1/chat/completions", wrong)
    _send_raw(gateway, f"/v1/models/{CLIENTS_KEY}", CLIENTS_KEY)
    feedback = {"interaction": "ab" * 16, "kind": "edit", "value": CLIENTS_KEY}
    assert (
        gateway.call(
            "/v1/feedback", json.dumps(feedback).encode(), authorization=f"Bearer {CLIENTS_KEY}"
        )[0]
        == 403
    )
    assert gateway.stop() == 0

    loggers = {line["logger"].split(".")[0] for line in _lines(gateway)}
    assert loggers == {"tuneloop", "opentelemetry"}  # the collector does not answer
    log = (gateway.folder / "gateway.log").read_text()
    for secret in (CLIENTS_KEY, "k" * 30, SERVERS_KEY, COLLECTORS_KEY, GATEWAYS_SECRET, key.digest):
        assert secret not in log


def _send_raw(gateway: RunningGateway, path: str, key: str) -> None:
    """Whatever the key looks like; the answer does not matter here."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    with suppress(OSError, ValueError, http.client.HTTPException):
        connection.request("POST", path, json.dumps(ASK), {"authorization": f"Bearer {key}"})
        connection.getresponse().read()
    connection.close()
