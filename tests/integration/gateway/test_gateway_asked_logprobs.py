"""The gateway asks for log-probabilities itself; its clients neither see them nor pay for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, wait_for
from real_model import gateway_before_llamacpp

from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, CaptureRule, Endpoint, RouteSnapshot, Target
from tuneloop.testing.upstream import Received, Reply, Script, ScriptedUpstream

Scripted = Callable[[Script | Reply], ScriptedUpstream]
ASK: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "Hi"}]}
PIECES = ("Hello ", "there")


def told(received: Received) -> Reply:
    """Log-probabilities for whoever asks."""
    asked = received.body.get("logprobs") is True
    return Reply(text="Hello there", pieces=PIECES, logprobs=(-0.5, -1.5) if asked else ())


def refusing(status: int) -> Script:
    def script(received: Received) -> Reply:
        if "logprobs" in received.body:
            return Reply(status=status, text="logprobs: extra inputs are not permitted")
        return told(received)

    return script


def route(gateway: RunningGateway, base_url: str, *, share: float = 1.0) -> None:
    rule = CaptureRule(logprobs_share=share)
    gateway.version += 1
    snapshot = RouteSnapshot(
        version=gateway.version,
        endpoints={"desk": Endpoint(arms=(Arm(bundle="b1"),), capture=rule)},
        bundles={"b1": Target(base_url=base_url, served_name="served-b1")},
    )
    routes.publish(snapshot, gateway.routes_file)
    wait_for(lambda: json.loads(gateway.get("/readyz")[1]).get("routes_version") == gateway.version)


def post(gateway: RunningGateway, **fields: Any) -> bytes:
    status, body = gateway.call("/v1/chat/completions", json.dumps(ASK | fields).encode())
    assert status == 200
    return body


@pytest.mark.parametrize("streamed", [False, True])
def test_clients_get_the_same_bytes_and_the_capture_has_the_figure(
    gateway: RunningGateway, scripted: Scripted, streamed: bool
) -> None:
    upstream = scripted(told)
    route(gateway, upstream.base_url)
    plain, asked, again = (post(gateway, stream=streamed) for _ in range(3))
    assert plain == asked == again
    assert ["logprobs" in request.body for request in upstream.requests] == [False, True, True]
    kept = gateway.interactions()
    assert [one.mean_logprob for one in kept] == [None, -1.0, -1.0]
    assert {one.response for one in kept} == {"Hello there"}
    assert all("logprobs" not in json.loads(one.request) for one in kept)


def test_who_asks_for_them_gets_them(gateway: RunningGateway, scripted: Scripted) -> None:
    upstream = scripted(told)
    route(gateway, upstream.base_url)
    post(gateway)
    said = json.loads(post(gateway, logprobs=True, top_logprobs=2))
    assert len(said["choices"][0]["logprobs"]["content"]) == 2
    assert upstream.requests[-1].body["top_logprobs"] == 2
    assert gateway.interactions()[-1].mean_logprob == -1.0


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_that_refuses_them_costs_no_client_its_answer(
    gateway: RunningGateway, scripted: Scripted, status: int, streamed: bool
) -> None:
    upstream = scripted(refusing(status))
    route(gateway, upstream.base_url)
    answers = {post(gateway, stream=streamed) for _ in range(4)}
    assert len(answers) == 1
    # The first is not asked, the second is asked and then asked without, the rest are spared.
    asked = ["logprobs" in request.body for request in upstream.requests]
    assert asked == [False, True, False, False, False]
    assert [one.status for one in gateway.interactions()] == [200] * 4
    assert "refuses log-probabilities" in (gateway.folder / "gateway.log").read_text()


def test_a_request_that_the_server_refuses_anyway_tells_nothing_of_log_probabilities(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    def script(received: Received) -> Reply:
        wrong = "bad" in received.body
        return Reply(status=400, text="no such field") if wrong else told(received)

    upstream = scripted(script)
    route(gateway, upstream.base_url)
    post(gateway)
    status, _ = gateway.call("/v1/chat/completions", json.dumps(ASK | {"bad": 1}).encode())
    assert status == 400
    post(gateway)
    assert "logprobs" in upstream.requests[-1].body


def without_what_changes(answer: bytes) -> list[dict[str, Any]]:
    """The events of an answer but for names, clocks and caches; their fields stay in order."""
    texts = [line[6:] for line in answer.splitlines() if line.startswith(b"data: {")] or [answer]
    changing = {"id": "", "created": 0, "timings": {}, "usage": {}}
    return [{n: changing.get(n, v) for n, v in json.loads(text).items()} for text in texts]


@pytest.mark.process
def test_llama_cpp_says_the_same_when_it_is_asked(tmp_path: Path) -> None:
    greedy: dict[str, Any] = {"temperature": 0, "max_tokens": 24}
    with gateway_before_llamacpp(tmp_path) as (gateway, server):
        route(gateway, server.base_url)
        for streamed in (False, True):
            plain, asked = (post(gateway, stream=streamed, **greedy) for _ in range(2))
            assert without_what_changes(asked) == without_what_changes(plain)
            assert json.dumps(without_what_changes(asked)) == json.dumps(
                without_what_changes(plain)
            )
        figures = [one.mean_logprob for one in gateway.interactions()]
        assert [figure is not None for figure in figures] == [False, True, False, True]
        assert figures[1] == pytest.approx(figures[3], abs=0.001)
        tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
        post(gateway, stream=True, tools=tools, **greedy)
        assert "refuses" not in (gateway.folder / "gateway.log").read_text()
