"""Answers, chunks and errors against the published description of the OpenAI API.

The model server is scripted to answer as that description demands: what is found is the gateway's
own. With a real model: test_gateway_openai_client.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from gateway_process import RunningGateway, wait_for
from openai_description import needs_description, validator

from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, Key, RouteSnapshot, Target, Timeouts
from tuneloop.testing.upstream import Received, Reply, Script, ScriptedUpstream

pytestmark = needs_description
Scripted = Callable[[Script | Reply], ScriptedUpstream]
ASK: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "Hi"}]}
KEY, LIMITED = (f"tl_{name}_{'s' * 43}" for name in ("ann", "bob"))


TOOL_CALL = {
    "id": "t1",
    "type": "function",
    "function": {"name": "find", "arguments": '{"order":17}'},
}
LOGPROBS = {
    "content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}],
    "refusal": None,
}
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def _conformant(request: Received) -> Reply:
    """What the description demands of a whole answer; streams are the scripted server's own."""
    if request.body.get("stream"):
        calls = request.body.get("tools")
        return Reply(pieces=("a", "b"), tool_calls=(TOOL_CALL,) if calls else ())
    frame = {"id": "a-1", "created": 1_700_000_000, "model": request.body["model"]}
    if request.path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}]
        answer = {"object": "list", "model": "x", "data": data, "usage": USAGE}
    elif request.path.endswith("/chat/completions"):
        message: dict[str, Any] = {"role": "assistant", "content": "Hi", "refusal": None}
        if request.body.get("tools"):
            message |= {"content": None, "tool_calls": [TOOL_CALL]}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": LOGPROBS}
        answer = frame | {"object": "chat.completion", "choices": [choice], "usage": USAGE}
    else:
        text = {"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}
        answer = frame | {"object": "text_completion", "choices": [text], "usage": USAGE}
    return Reply(body=json.dumps(answer).encode())


@pytest.fixture
def open_gateway(gateway: RunningGateway, scripted: Scripted) -> RunningGateway:
    gateway.route(scripted(_conformant).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    return gateway


@pytest.mark.parametrize(
    ("path", "asked", "schema"),
    [
        ("chat/completions", ASK, "CreateChatCompletionResponse"),
        ("chat/completions", ASK | {"tools": [{}]}, "CreateChatCompletionResponse"),
        ("completions", {"model": "desk", "prompt": "Hi"}, "CreateCompletionResponse"),
        ("embeddings", {"model": "desk", "input": "Hi"}, "CreateEmbeddingResponse"),
        ("models", None, "ListModelsResponse"),
        ("models/desk", None, "Model"),
    ],
)
def test_whole_answers(
    open_gateway: RunningGateway,
    path: str,
    asked: dict[str, Any] | None,
    schema: str,
) -> None:
    body = None if asked is None else json.dumps(asked).encode()
    status, answer = open_gateway.call(f"/v1/{path}", body)
    assert status == 200
    _checked(schema, answer)


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("tools", [[], [{}]])
def test_chunks(open_gateway: RunningGateway, usage: bool, tools: list[Any]) -> None:
    asked = ASK | {"stream": True, "tools": tools, "stream_options": {"include_usage": usage}}
    _, answer = open_gateway.call("/v1/chat/completions", json.dumps(asked).encode())
    chunks = [_checked("CreateChatCompletionStreamResponse", data) for data in _events(answer)]
    assert len(chunks) == (2 if tools else 3) + usage
    assert [bool(chunk["choices"]) for chunk in chunks][-1] is not usage


def test_errors(cold_gateway: RunningGateway, scripted: Scripted) -> None:
    gateway = cold_gateway
    gateway.flags = ("--body-bytes", "10000")
    gateway.start()
    _serve_badly(gateway, scripted)
    ask = json.dumps(ASK).encode()
    feedback = {"interaction": "ab" * 16, "kind": "rating", "value": 1}
    for status, code, path, body, headers in (
        (400, "invalid_json", "chat/completions", b"{", {}),
        (400, "invalid_value", "embeddings", b'{"model": "desk"}', {}),
        (400, "invalid_header", "chat/completions", ask, {"x-tuneloop-tags": "x"}),
        (400, "invalid_header", "chat/completions", ask, {"x-tuneloop-session": "ü"}),
        (401, "invalid_api_key", "chat/completions", ask, {"authorization": "Bearer none"}),
        (403, "not_your_interaction", "feedback", json.dumps(feedback).encode(), {}),
        (404, "model_not_found", "chat/completions", ask.replace(b"desk", b"dsek"), {}),
        (404, "model_not_found", "models/dsek", None, {}),
        (404, "unknown_url", "images", ask, {}),
        (405, "method_not_allowed", "chat/completions", None, {}),
        (413, "request_too_large", "chat/completions", b" " * 10_001, {}),
        (415, "unsupported_encoding", "chat/completions", ask, {"content-encoding": "gzip"}),
        (502, "upstream_garbage", "chat/completions", _to("garbage"), {}),
        (502, "upstream_reset", "chat/completions", _to("reset"), {}),
        (503, "upstream_unavailable", "chat/completions", _to("gone"), {}),
        (504, "upstream_timeout", "chat/completions", _to("slow"), {}),
        (500, "upstream_error", "chat/completions", _to("broken"), {}),
    ):
        sent = {"authorization": f"Bearer {KEY}"} | headers
        answered, answer = gateway.call(f"/v1/{path}", body, **sent)
        error = _checked("ErrorResponse", answer)["error"]
        assert (answered, error["code"]) == (status, code)
    for status in (200, 429):
        answered, answer = gateway.call(
            "/v1/chat/completions", ask, authorization=f"Bearer {LIMITED}"
        )
        assert answered == status
    assert _checked("ErrorResponse", answer)["error"]["code"] == "rate_limit_exceeded"


def test_a_stream_that_breaks_off_ends_in_an_error(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    gateway.route(scripted(Reply(pieces=("a", "b"), reset_after_pieces=1)).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    status, answer = gateway.call("/v1/chat/completions", _to("desk", stream=True))
    assert status == 200
    first, last = _events(answer, closed=False)  # and it does end: `call` has read it all
    _checked("CreateChatCompletionStreamResponse", first)
    assert _checked("ErrorResponse", last)["error"]["code"] == "upstream_reset"


def test_no_routes(gateway: RunningGateway) -> None:
    status, answer = gateway.call("/v1/models")
    assert (status, _checked("ErrorResponse", answer)["error"]["code"]) == (503, "no_routes")


def _checked(name: str, body: bytes) -> dict[str, Any]:
    """The parsed body, which conforms to a named schema."""
    value: dict[str, Any] = json.loads(body)
    validator(name).validate(value)
    return value


def _serve_badly(gateway: RunningGateway, scripted: Scripted) -> None:
    """One endpoint for each way to fail."""
    with ScriptedUpstream() as gone:
        pass
    servers = {
        "desk": scripted(Reply()),
        "garbage": scripted(Reply(body=b"<html>")),
        "reset": scripted(Reply(reset_after_pieces=0)),
        "gone": gone,
        "slow": scripted(Reply(delay_seconds=2)),
        "broken": scripted(Reply(status=500, body=b"<html>")),
    }
    quick = Timeouts(first_token=0.3, total=0.3)
    snapshot = RouteSnapshot(
        version=1,
        endpoints={name: Endpoint(arms=(Arm(bundle=name),), timeouts=quick) for name in servers},
        bundles={
            name: Target(base_url=server.base_url, served_name=name)
            for name, server in servers.items()
        },
        keys={"ann": _key(KEY), "bob": _key(LIMITED, requests_per_minute=1)},
        secret="5ec7e7",
    )
    routes.publish(snapshot, gateway.routes_file)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)


def _key(text: str, **limits: Any) -> Key:
    return Key(digest=sha256(text.encode()).hexdigest(), owner=text.split("_")[1], **limits)


def _to(endpoint: str, **fields: Any) -> bytes:
    return json.dumps({**ASK, "model": endpoint, **fields}).encode()


def _events(body: bytes, *, closed: bool = True) -> list[bytes]:
    """The JSON texts of a stream, without the closing event."""
    events = [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]
    if closed:
        assert events.pop() == b"[DONE]"
    return events
