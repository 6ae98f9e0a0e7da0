"""The `openai` client in all its ways of asking: a real gateway before a real and a scripted model.

The real one is llama.cpp's server with a tiny random model. What it cannot do (call tools, make
embeddings, say exactly what a test wants) the scripted one does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest
from gateway_process import RunningGateway, wait_for
from openai_description import needs_description, validator
from real_model import gateway_before_llamacpp

from tuneloop.deployment.backends.base import ServerHandle
from tuneloop.evaluation.targets import OpenAITarget
from tuneloop.testing.upstream import Received, Reply, Script, ScriptedUpstream

Scripted = Callable[[Script | Reply], ScriptedUpstream]
ASK: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "My parcel?"}]}
GREEDY: dict[str, Any] = {**ASK, "temperature": 0, "max_tokens": 24}


@pytest.fixture(scope="module")
def real(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningGateway, ServerHandle]]:
    with gateway_before_llamacpp(tmp_path_factory.mktemp("real")) as both:
        yield both


@pytest.fixture
def desk(real: tuple[RunningGateway, ServerHandle]) -> openai.OpenAI:
    """A client of the real model."""
    return real[0].client()


@pytest.fixture
def serving(gateway: RunningGateway, scripted: Scripted) -> Callable[[Script | Reply], Any]:
    """A client of a scripted model, and that model."""

    def serve(script: Script | Reply) -> tuple[openai.OpenAI, ScriptedUpstream]:
        upstream = scripted(script)
        gateway.route(upstream.base_url)
        wait_for(lambda: gateway.get("/readyz")[0] == 200)
        return gateway.client(), upstream

    return serve


def test_a_stream_says_what_the_whole_answer_says(desk: openai.OpenAI) -> None:
    whole = desk.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=2)
    chunks = list(
        desk.chat.completions.create(
            **GREEDY,
            logprobs=True,
            top_logprobs=2,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert {chunk.model for chunk in chunks} == {whole.model} == {"desk"}
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == (
        whole.choices[0].message.content
    )
    assert choices[-1].finish_reason == whole.choices[0].finish_reason == "length"
    streamed = [t for c in choices if c.logprobs for t in c.logprobs.content or ()]
    assert whole.choices[0].logprobs is not None
    said = whole.choices[0].logprobs.content
    assert said is not None
    # llama.cpp joins the tokens of one character: there may be fewer than it counts.
    assert 20 <= len(said) == len(streamed) <= 24
    for one, other in zip(said, streamed, strict=True):
        assert (one.token, len(one.top_logprobs)) == (other.token, len(other.top_logprobs))
        assert one.logprob == pytest.approx(other.logprob, abs=0.001)
    usage = chunks[-1].usage
    assert usage is not None
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens == 24
    assert usage.prompt_tokens == whole.usage.prompt_tokens > 0


def test_nothing_but_the_name_differs_from_what_the_model_server_says(
    real: tuple[RunningGateway, ServerHandle],
) -> None:
    gateway, server = real
    through = gateway.client().chat.completions.with_raw_response.create(**GREEDY)
    direct = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
    with direct:
        asked = {**GREEDY, "model": server.served_name}
        itself = direct.chat.completions.with_raw_response.create(**asked)
    got, expected = json.loads(through.content), json.loads(itself.content)
    assert list(got) == list(expected)
    assert got.pop("model") == "desk"
    assert expected.pop("model") == server.served_name
    for answer in (got, expected):
        for varies in ("id", "created", "timings"):
            del answer[varies]
        del answer["usage"]["prompt_tokens_details"]  # of its prompt cache
    assert got == expected


# What llama.cpp leaves out or says otherwise than OpenAI; the gateway adds nothing to the list.
LLAMACPP_DEVIATES = {
    "'logprobs' is a required property",
    "'refusal' is a required property",
}


@needs_description
def test_answers_deviate_from_the_openai_description_where_the_server_does(
    real: tuple[RunningGateway, ServerHandle],
) -> None:
    gateway, _ = real

    def problems(schema: str, path: str, **asked: Any) -> set[str]:
        body = {"model": "desk", "max_tokens": 24, "temperature": 0, **asked}
        _, answer = gateway.call(f"/v1/{path}", json.dumps(body).encode())
        texts = [answer]
        if asked.get("stream"):
            *texts, done = [e.removeprefix(b"data: ") for e in answer.split(b"\n\n") if e]
            assert (done, len(texts) > 3) == (b"[DONE]", True)
        checked = validator(schema)
        return {e.message for text in texts for e in checked.iter_errors(json.loads(text))}

    chat: dict[str, Any] = {"path": "chat/completions", "messages": ASK["messages"]}
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    assert problems("CreateChatCompletionResponse", **chat) <= LLAMACPP_DEVIATES
    assert problems("CreateChatCompletionStreamResponse", **chat, **usage) == set()
    text: dict[str, Any] = {"path": "completions", "prompt": "The parcel"}
    assert problems("CreateCompletionResponse", **text) == set()
    assert problems("CreateCompletionResponse", **text, stream=True) <= {
        "None is not one of ['stop', 'length', 'content_filter']",
        "None is not of type 'string'",
    }


class Ticket(pydantic.BaseModel):
    """What the answer's form demands; every value is bounded, for the model is random."""

    intent: Literal["refund", "delivery"]
    urgent: bool


def test_a_response_format_reaches_the_real_model(desk: openai.OpenAI) -> None:
    answer = desk.chat.completions.parse(
        model="desk", messages=ASK["messages"], max_tokens=100, response_format=Ticket
    )
    ticket = answer.choices[0].message.parsed
    assert isinstance(ticket, Ticket)
    with desk.chat.completions.stream(
        model="desk", messages=ASK["messages"], max_tokens=100, response_format=Ticket
    ) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(streamed, Ticket)
    assert {"chunk", "content.delta", "content.done"} <= kinds


def test_completions_whole_and_streamed(desk: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "desk", "prompt": "The parcel", "temperature": 0}
    whole = desk.completions.create(**asked, max_tokens=12)
    chunks = list(desk.completions.create(**asked, max_tokens=12, stream=True))
    assert whole.choices[0].text
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert {chunk.model for chunk in chunks} == {whole.model} == {"desk"}


def test_what_the_real_server_refuses_is_the_clients_exception(desk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        desk.chat.completions.create(**ASK, response_format={"type": "nonsense"})
    assert refused.value.response.headers["x-tuneloop-bundle"] == "b1"
    assert (refused.value.code, refused.value.param) == ("400", None)  # llama.cpp numbers its codes


def test_what_is_longer_than_the_window_is_refused_with_both_numbers_and_counted(
    desk: openai.OpenAI, real: tuple[RunningGateway, ServerHandle]
) -> None:
    """Of a window of 512 tokens each slot has all: nothing is cut, divided or moved on."""
    gateway, server = real
    long: dict[str, Any] = {**ASK, "messages": [_says("parcel " * 1000)]}
    before = _counted(gateway, "context_length_exceeded")
    for streamed in (False, True):
        with pytest.raises(openai.BadRequestError, match=r"512 tokens.* \d{4} tokens") as refused:
            desk.chat.completions.create(**long, stream=streamed)
        told = refused.value
        assert (told.code, told.param) == ("context_length_exceeded", "messages")
        assert told.type == "invalid_request_error"
        assert told.response.headers["x-tuneloop-bundle"] == "b1"
    with pytest.raises(openai.BadRequestError, match="Please reduce the length of the prompt"):
        desk.completions.create(model="desk", prompt="parcel " * 1000)
    wait_for(lambda: _counted(gateway, "context_length_exceeded") == before + 3)

    fits = desk.chat.completions.create(**{**ASK, "messages": [_says("x" * 480)]}, max_tokens=200)
    assert fits.usage is not None and fits.usage.total_tokens <= 512

    asked = OpenAITarget(base_url=server.base_url, model=server.served_name, identity="b1")
    evaluated = asked.complete(tuple(long["messages"]))
    assert evaluated.error is not None
    assert evaluated.error.startswith("context_length_exceeded: This model's maximum context")


def _counted(gateway: RunningGateway, reason: str) -> int:
    """Requests that `/metrics` says failed for this reason."""
    found = re.search(
        rf'tuneloop_errors_total{{.*reason="{reason}"}} (\d+)', gateway.get("/metrics")[1].decode()
    )
    return int(found.group(1)) if found else 0


def test_what_the_real_server_cannot_do_costs_nobody_else_anything(desk: openai.OpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    for _ in range(6):  # more failures in a row than a broken server is allowed
        with pytest.raises(openai.InternalServerError, match="does not support embeddings"):
            desk.embeddings.create(model="desk", input="parcel")
        with pytest.raises(openai.InternalServerError, match="image input is not supported"):
            desk.chat.completions.create(model="desk", messages=[_says([picture])])
    assert desk.chat.completions.create(**GREEDY).choices[0].message.content


def test_the_async_client_with_many_at_once(real: tuple[RunningGateway, ServerHandle]) -> None:
    gateway, _ = real

    async def whole(client: openai.AsyncOpenAI) -> str:
        answer = await client.chat.completions.create(**GREEDY)
        return answer.choices[0].message.content or ""

    async def streamed(client: openai.AsyncOpenAI) -> str:
        pieces = []
        async for chunk in await client.chat.completions.create(**GREEDY, stream=True):
            pieces.extend(choice.delta.content or "" for choice in chunk.choices)
        return "".join(pieces)

    async def raw(client: openai.AsyncOpenAI) -> str:
        asking = client.chat.completions.with_streaming_response.create(**GREEDY)
        async with asking as response:
            assert len(response.headers["x-tuneloop-interaction"]) == 32
            return str(json.loads(await response.read())["choices"][0]["message"]["content"])

    async def ask() -> list[str]:
        async with _async_client(gateway) as client:
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(**{**ASK, "model": "dsek"})
            asking = [way(client) for way in (whole, streamed, raw) for _ in range(4)]
            return await asyncio.gather(*asking)

    answers = asyncio.run(ask())
    assert len(answers) == 12
    assert len(set(answers)) == 1
    assert answers[0]


def test_raw_bytes_pass_in_both_directions(serving: Callable[..., Any]) -> None:
    odd = b'{"choices": [{"index":0, "message":{"role":"assistant","content":"\\u00fc"}}],'
    odd += b'"model":"x","precise": 1.10000000000000000000000000001 ,"deep":[[{"k" : 1e2}]]}'
    client, upstream = serving(Reply(body=odd))
    raw = client.chat.completions.with_raw_response.create(
        **ASK, extra_body={"mirostat": 2, "grammar": 'root ::= "ü"', "nested": {"a": [None]}}
    )
    for kept in (b'"precise":1.10000000000000000000000000001', b'[[{"k" : 1e2}]]', b"\\u00fc"):
        assert kept in raw.content
    assert raw.parse().choices[0].message.content == "ü"
    (sent,) = upstream.requests
    assert {k: sent.body[k] for k in ("mirostat", "grammar", "nested")} == {
        "mirostat": 2,
        "grammar": 'root ::= "ü"',
        "nested": {"a": [None]},
    }


def test_the_lines_of_a_stream(serving: Callable[..., Any]) -> None:
    client, _ = serving(Reply(pieces=("a", "b")))
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-tuneloop-bundle"] == "b1"
        lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert [c["choices"][0]["delta"].get("content") for c in chunks] == ["a", "b", None]


def test_tool_calls_in_pieces_and_their_results(serving: Callable[..., Any]) -> None:
    pieces = (
        {"index": 0, "id": "t1", "type": "function", "function": {"name": "find", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"order"'}},
        {"index": 0, "function": {"arguments": ":17}"}},
        {"index": 1, "id": "t2", "type": "function", "function": {"name": "now", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    )

    def script(request: Received) -> Reply:
        answered = any(message["role"] == "tool" for message in request.body["messages"])
        return Reply(text="On its way.") if answered else Reply(tool_calls=pieces)

    client, upstream = serving(script)
    tools: Any = [_tool("find", {"order": {"type": "integer"}}), _tool("now", {})]
    with client.chat.completions.stream(**ASK, tools=tools, parallel_tool_calls=True) as stream:
        message = stream.get_final_completion().choices[0].message
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
        ("t1", "find", '{"order":17}'),
        ("t2", "now", "{}"),
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "{}"} for call in message.tool_calls
    ]
    called = {"role": "assistant", "tool_calls": [c.model_dump() for c in message.tool_calls]}
    answer = client.chat.completions.create(
        model="desk", messages=[*ASK["messages"], called, *results], tools=tools
    )
    assert answer.choices[0].message.content == "On its way."
    first, second = upstream.requests
    assert first.body["tools"] == second.body["tools"] == tools
    assert first.body["parallel_tool_calls"] is True
    assert [m["role"] for m in second.body["messages"]] == ["user", "assistant", "tool", "tool"]


def test_embeddings_as_numbers_and_as_base64(serving: Callable[..., Any]) -> None:
    vector = (0.5, -0.25)

    def script(request: Received) -> Reply:
        packed = base64.b64encode(struct.pack("<2f", *vector)).decode()
        chosen = packed if request.body.get("encoding_format") == "base64" else vector
        one = {"object": "embedding", "index": 0, "embedding": chosen}
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer = {"object": "list", "model": "x", "data": [one], "usage": usage}
        return Reply(body=json.dumps(answer).encode())

    client, upstream = serving(script)
    for encoding in ({}, {"encoding_format": "float"}):  # base64 is what the client asks for itself
        answer = client.embeddings.create(model="desk", input="parcel", **encoding)
        assert (answer.model, tuple(answer.data[0].embedding)) == ("desk", vector)
    assert [r.body["encoding_format"] for r in upstream.requests] == ["base64", "float"]


def _says(text: Any) -> Any:
    return {"role": "user", "content": text}


def _tool(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def _async_client(gateway: RunningGateway) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
