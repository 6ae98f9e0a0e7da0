"""The gateway as its clients see it: a real process, a scripted upstream, the `openai` client."""

from __future__ import annotations

import asyncio
import http.client
import json
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from gateway_process import RunningGateway, wait_for

from tuneloop.gateway import server
from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, RouteSnapshot, Target
from tuneloop.storage.spool import Account, Feedback
from tuneloop.testing.upstream import Received, Reply, Script, ScriptedUpstream

Scripted = Callable[[Script | Reply], ScriptedUpstream]
ASK: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "Hi"}]}


def test_an_answer_carries_its_interaction_and_is_captured(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    upstream = scripted(Reply(text="Hello there", logprobs=(-0.5, -1.5)))
    gateway.route(upstream.base_url, system="Be brief.", sampling={"temperature": 0})
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    raw = gateway.client().chat.completions.with_raw_response.create(
        **ASK, user="ann", seed=7, extra_headers={"x-tuneloop-tags": "probe=golden"}
    )
    answer = raw.parse()
    assert (answer.model, answer.choices[0].message.content) == ("desk", "Hello there")
    assert raw.headers["x-tuneloop-bundle"] == "b1"

    (sent,) = upstream.requests
    assert sent.body == {
        "model": "served-b1",
        "messages": [{"role": "system", "content": "Be brief."}, *ASK["messages"]],
        "user": "ann",
        "seed": 7,
        "temperature": 0,
    }
    assert "authorization" not in sent.headers  # the client's key is not the server's business

    (kept,) = gateway.interactions()
    assert kept.id == raw.headers["x-tuneloop-interaction"]
    assert (kept.endpoint, kept.bundle, kept.status, kept.error) == ("desk", "b1", 200, None)
    assert json.loads(kept.messages) == ASK["messages"]
    assert json.loads(kept.request) == {"seed": 7}
    assert (kept.response, kept.finish_reason) == ("Hello there", "stop")
    assert (kept.prompt_tokens, kept.completion_tokens) == (7, 2)
    assert (kept.mean_logprob, kept.user, kept.tags) == (-1.0, "ann", {"probe": "golden"})
    assert 0 < kept.latency_ms < 5000


def test_a_stream_arrives_as_it_comes_and_is_captured_whole(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    upstream = scripted(Reply(pieces=("Grü", "ße", "!"), piece_delay_seconds=0.15))
    gateway.route(upstream.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    stream = gateway.client().chat.completions.create(**ASK, stream=True)
    texts, times = [], []
    for chunk in stream:
        assert chunk.model == "desk"
        assert chunk.choices  # the token counts were not asked for
        if chunk.choices[0].delta.content:
            texts.append(chunk.choices[0].delta.content)
            times.append(time.monotonic())
    assert texts == ["Grü", "ße", "!"]
    assert times[2] - times[0] > 0.25
    assert stream.response.headers["x-tuneloop-bundle"] == "b1"

    (kept,) = gateway.interactions()
    assert kept.id == stream.response.headers["x-tuneloop-interaction"]
    assert (kept.streamed, kept.response, kept.completion_tokens) == (True, "Grüße!", 3)
    assert kept.first_token_ms is not None
    assert kept.first_token_ms < 150 < 450 < kept.latency_ms


def test_the_async_client_and_usage_in_streams(gateway: RunningGateway, scripted: Scripted) -> None:
    gateway.route(scripted(Reply(pieces=("a", "b"))).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)

    async def ask() -> list[Any]:
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
        async with client:
            models = await client.models.list()
            assert [model.id for model in models.data] == ["desk"]
            assert (await client.models.retrieve("desk")).id == "desk"
            stream = await client.chat.completions.create(
                **ASK, stream=True, stream_options={"include_usage": True}
            )
            return [chunk async for chunk in stream]

    chunks = asyncio.run(ask())
    assert chunks[-1].usage.completion_tokens == 2
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "ab"


def test_tool_calls_pass_and_are_captured(gateway: RunningGateway, scripted: Scripted) -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}}
    gateway.route(scripted(Reply(tool_calls=(call,))).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()
    answer = client.chat.completions.create(**ASK)
    assert answer.choices[0].message.tool_calls[0].function.name == "find"
    assert list(client.chat.completions.create(**ASK, stream=True))
    whole, streamed = gateway.interactions()
    assert json.loads(whole.tool_calls or "") == json.loads(streamed.tool_calls or "") == [call]
    assert whole.finish_reason == streamed.finish_reason == "tool_calls"


FAILURES = [
    (Reply(status=429, text="slow down", headers=(("retry-after", "3"),)), 429, "scripted"),
    (Reply(status=500, text="broken"), 500, "scripted"),
    (Reply(status=503, body=b"<html>"), 503, "upstream_error"),
    (Reply(status=302, body=b"{}"), 502, "upstream_garbage"),
    (Reply(body=b"<html>"), 502, "upstream_garbage"),
    (Reply(body=b'{"choices": 1}'), 502, "upstream_garbage"),
    (Reply(reset_after_pieces=0), 502, "upstream_reset"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_failures_of_the_model_server_keep_the_form_and_are_captured(
    gateway: RunningGateway, scripted: Scripted, stream: bool
) -> None:
    def script(request: Received) -> Reply:
        return FAILURES[request.body["seed"]][0] if "seed" in request.body else Reply()

    upstream = scripted(script)
    gateway.route(upstream.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()
    for number, (reply, status, code) in enumerate(FAILURES):
        with pytest.raises(openai.APIStatusError) as failed:
            client.chat.completions.create(**ASK, stream=stream, seed=number)
        assert (failed.value.status_code, failed.value.code) == (status, code)
        headers = failed.value.response.headers
        assert headers["x-tuneloop-bundle"] == "b1"
        if reply.headers:
            assert headers["retry-after"] == "3"
        kept = gateway.interactions()[-1]
        assert (kept.id, kept.status) == (headers["x-tuneloop-interaction"], status)
        assert kept.error is not None
        client.chat.completions.create(**ASK)  # one that answers in between is not spared
    assert len(gateway.interactions()) == 2 * len(FAILURES)


def test_a_model_server_that_is_not_there(gateway: RunningGateway, scripted: Scripted) -> None:
    with ScriptedUpstream() as gone:
        pass
    gateway.route(gone.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    with pytest.raises(openai.InternalServerError) as failed:
        gateway.client().chat.completions.create(**ASK)
    assert (failed.value.status_code, failed.value.code) == (503, "upstream_unavailable")
    (kept,) = gateway.interactions()
    assert (kept.status, kept.error) == (503, "upstream_unavailable")


def test_a_stream_that_breaks_off_ends_in_an_error_event(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    upstream = scripted(Reply(pieces=("a", "b", "c"), reset_after_pieces=2))
    gateway.route(upstream.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    got = []
    with pytest.raises(openai.APIError, match="went away"):
        stream = gateway.client().chat.completions.create(**ASK, stream=True)
        got.extend(chunk.choices[0].delta.content for chunk in stream)
    assert got == ["a", "b"]
    (kept,) = gateway.interactions()
    assert (kept.response, kept.error) == ("ab", "upstream_reset")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_is_captured_and_its_stream_is_stopped(
    gateway: RunningGateway, scripted: Scripted, stream: bool
) -> None:
    reply = Reply(pieces=("x",) * 200, delay_seconds=0.4, piece_delay_seconds=0.05)
    upstream = scripted(reply)
    gateway.route(upstream.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    body = json.dumps({**ASK, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        if stream:
            assert connection.recv(1)
        else:
            wait_for(lambda: upstream.requests)
            time.sleep(0.1)
    wait_for(lambda: gateway.metric('tuneloop_served_total{endpoint="desk"}') == 1)
    (kept,) = gateway.interactions()
    assert (kept.status, kept.error) == (499, "client_left")
    if stream:
        wait_for(lambda: upstream.disconnects == 1)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(delay_seconds=3),
        Reply(pieces=("a", "b"), piece_delay_seconds=3),
    ],
)
def test_a_model_server_that_falls_silent(
    cold_gateway: RunningGateway, scripted: Scripted, reply: Reply
) -> None:
    gateway = cold_gateway
    gateway.flags = ("--silence-timeout-seconds", "0.3")
    gateway.route(scripted(reply).base_url)
    gateway.start()
    with pytest.raises(openai.APIError) as failed:
        list(gateway.client().chat.completions.create(**ASK, stream=True))
    assert failed.value.code == "upstream_timeout"
    (kept,) = gateway.interactions()
    assert kept.error == "upstream_timeout"
    assert kept.status == (200 if reply.pieces else 504)


def test_requests_that_cannot_be_routed(cold_gateway: RunningGateway, scripted: Scripted) -> None:
    gateway = cold_gateway
    gateway.flags = ("--body-bytes", "10000")
    gateway.start()
    assert gateway.get("/readyz")[0] == 503
    ask = json.dumps(ASK).encode()
    status, body = gateway.call("/v1/chat/completions", ask)
    assert (status, json.loads(body)["error"]["code"]) == (503, "no_routes")

    gateway.route(scripted(Reply()).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    with pytest.raises(openai.NotFoundError, match="known: desk"):
        gateway.client().chat.completions.create(**{**ASK, "model": "dsek"})
    for path, body, expected, code in (
        ("/v1/chat/completions", b"{", 400, "invalid_json"),
        ("/v1/chat/completions", b" " * 10_001, 413, "request_too_large"),
        ("/v1/chat/completions", None, 405, "method_not_allowed"),
        ("/v1/chat/completions/", ask, 404, "unknown_url"),
        ("/v1/../etc/passwd", None, 404, "unknown_url"),
        ("/v1/models/nope", None, 404, "model_not_found"),
        ("/v1/feedback", b"{}", 400, "invalid_feedback"),
    ):
        status, answer = gateway.call(path, body)
        assert (status, json.loads(answer)["error"]["code"]) == (expected, code), path
    assert gateway.call("/v1/chat/completions", ask)[0] == 200  # none of it did any harm
    assert len(gateway.interactions()) == 1


def test_a_chunked_body_has_the_same_limit(
    cold_gateway: RunningGateway, scripted: Scripted
) -> None:
    cold_gateway.flags = ("--body-bytes", "10000")
    cold_gateway.route(scripted(Reply()).base_url)
    cold_gateway.start()
    connection = http.client.HTTPConnection("127.0.0.1", cold_gateway.port, timeout=10)
    pieces = (b"x" * 4000 for _ in range(3))
    connection.request("POST", "/v1/chat/completions", pieces, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_opting_out_is_counted_and_leaves_no_trace(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    gateway.route(scripted(Reply()).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()
    client.chat.completions.create(**ASK)
    client.chat.completions.create(**ASK, extra_headers={"x-tuneloop-capture": "off"})
    gateway.route(scripted(Reply()).base_url, capture=False)
    wait_for(lambda: gateway.metric("tuneloop_routes_version") == 2)
    client.chat.completions.create(**ASK)
    assert len(gateway.interactions()) == 1
    desk = 'endpoint="desk"'
    assert gateway.metric(f"tuneloop_served_total{{{desk}}}") == 3
    assert gateway.metric(f"tuneloop_captured_total{{{desk}}}") == 1
    assert gateway.metric(f'tuneloop_dropped_total{{{desk},reason="opt_out"}}') == 1
    assert gateway.metric(f'tuneloop_dropped_total{{{desk},reason="capture_off"}}') == 1


def test_a_full_disk_stops_the_capture_and_not_the_answers(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    """A limit on the sizes of its files stands for the full disk."""
    gateway.route(scripted(Reply(text="served all the same")).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()
    assert gateway.process is not None
    unlimited = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (0, -1))
    for _ in range(3):
        answer = client.chat.completions.create(**ASK)
        assert answer.choices[0].message.content == "served all the same"
    feedback = {"interaction": "ab" * 16, "kind": "rating", "value": 1}
    status, body = gateway.call("/v1/feedback", json.dumps(feedback).encode())
    assert (status, json.loads(body)["error"]["code"]) == (503, "feedback_not_stored")

    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, unlimited)
    client.chat.completions.create(**ASK)
    assert len(gateway.interactions()) == 1
    assert gateway.metric('tuneloop_served_total{endpoint="desk"}') == 4
    assert gateway.metric('tuneloop_captured_total{endpoint="desk"}') == 1
    dropped = 'tuneloop_dropped_total{endpoint="desk",reason="disk_full"}'
    assert gateway.metric(dropped) == 3


def test_a_gateway_that_is_stopped_says_so_and_one_that_is_killed_does_not(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    gateway.route(scripted(Reply()).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    gateway.client().chat.completions.create(**ASK)
    with pytest.raises(openai.NotFoundError):
        gateway.client().chat.completions.create(**ASK | {"model": "none"})
    gateway.kill()
    assert not [record for record in gateway.records() if isinstance(record, Account)]
    gateway.start()
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    gateway.client().chat.completions.create(**ASK)
    with pytest.raises(openai.NotFoundError):
        gateway.client().chat.completions.create(**ASK | {"model": "none"})
    assert gateway.stop() == 0
    [account] = [record for record in gateway.records() if isinstance(record, Account)]
    told = (account.served, account.refused, account.stopped)
    assert told == ({"desk": 1}, {"model_not_found": 1}, True)


def test_feedback_is_kept(gateway: RunningGateway, scripted: Scripted) -> None:
    gateway.route(scripted(Reply()).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    body = {"interaction": "ab" * 16, "kind": "edit", "value": "Better.", "user": "ann"}
    status, answer = gateway.call("/v1/feedback", json.dumps(body).encode())
    assert status == 200
    (kept,) = gateway.records()
    assert isinstance(kept, Feedback)
    assert kept.id == json.loads(answer)["id"]
    assert (kept.interaction, kept.kind, kept.value) == ("ab" * 16, "edit", '"Better."')
    assert gateway.metric('tuneloop_feedback_total{kind="edit"}') == 1


def test_a_route_change_takes_effect_within_a_second(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    gateway.route(scripted(Reply(text="old")).base_url, bundle="old")
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()

    def text() -> str | None:
        return client.chat.completions.create(**ASK).choices[0].message.content

    assert text() == "old"
    upstream = scripted(Reply(text="new"))
    changed = time.monotonic()
    gateway.route(upstream.base_url, bundle="new")
    wait_for(lambda: text() == "new")
    assert time.monotonic() - changed < 1.0


def test_routes_that_vanish_or_break_change_nothing(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    gateway.route(scripted(Reply(text="still here")).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()
    gateway.routes_file.write_text("{ broken")
    wait_for(lambda: gateway.metric("tuneloop_routes_stale") == 1)
    assert client.chat.completions.create(**ASK).choices[0].message.content == "still here"
    gateway.routes_file.unlink()
    time.sleep(0.5)
    assert client.chat.completions.create(**ASK).choices[0].message.content == "still here"
    assert json.loads(gateway.get("/readyz")[1])["routes_stale"] is True


def test_a_kill_loses_no_answer_that_a_client_has(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    gateway.route(scripted(Reply(pieces=("a", "b"))).base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    received: list[str] = []
    threads = [
        threading.Thread(target=_ask_until_it_fails, args=(gateway, received, bool(n % 2)))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(received) >= 60)
    gateway.kill()
    for thread in threads:
        thread.join()
    kept = [interaction.id for interaction in gateway.interactions()]
    assert len(kept) == len(set(kept))
    assert set(received) <= set(kept)

    gateway.start()  # it starts again in the same folder and goes on
    gateway.client().chat.completions.create(**ASK)
    assert len(gateway.interactions()) == len(kept) + 1


def _ask_until_it_fails(gateway: RunningGateway, received: list[str], stream: bool) -> None:
    client = gateway.client()
    while True:
        try:
            if stream:
                events = client.chat.completions.create(**ASK, stream=True)
                assert "".join(c.choices[0].delta.content or "" for c in events) == "ab"
                received.append(events.response.headers["x-tuneloop-interaction"])
            else:
                raw = client.chat.completions.with_raw_response.create(**ASK)
                received.append(raw.headers["x-tuneloop-interaction"])
        except (openai.APIError, openai.APIConnectionError, AssertionError):
            return
        except Exception as e:
            if type(e).__module__.startswith("http"):  # the stream was cut
                return
            raise


def test_a_stop_finishes_what_is_under_way(gateway: RunningGateway, scripted: Scripted) -> None:
    upstream = scripted(Reply(text="done", delay_seconds=0.7))
    gateway.route(upstream.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    answers: list[str | None] = []

    def ask() -> None:
        answer = gateway.client().chat.completions.create(**ASK)
        answers.append(answer.choices[0].message.content)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: upstream.requests)
    assert gateway.stop() == 0
    thread.join()
    assert answers == ["done"]
    assert [kept.response for kept in gateway.interactions()] == ["done"]


def test_a_port_in_use_is_one_clear_message(cold_gateway: RunningGateway) -> None:
    with socket.create_server(("127.0.0.1", cold_gateway.port)):
        done = subprocess.run(
            server.command(
                routes=cold_gateway.routes_file, spool=cold_gateway.spool, port=cold_gateway.port
            ),
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{cold_gateway.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_sessions_stay_on_their_arm(gateway: RunningGateway, scripted: Scripted) -> None:
    def echo(received: Received) -> Reply:
        return Reply(text=str(received.body["model"]))

    target = scripted(echo).base_url
    snapshot = RouteSnapshot(
        version=1,
        endpoints={"desk": Endpoint(arms=(Arm(bundle="a", weight=3), Arm(bundle="b", weight=1)))},
        bundles={name: Target(base_url=target, served_name=name) for name in "ab"},
    )
    routes.publish(snapshot, gateway.routes_file)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()
    arms = {
        session: {
            client.chat.completions.create(
                model="desk",
                messages=[{"role": "user", "content": f"turn {turn}"}],
                extra_headers={"x-tuneloop-session": session},
            )
            .choices[0]
            .message.content
            for turn in range(3)
        }
        for session in (f"s{number}" for number in range(24))
    }
    assert all(len(seen) == 1 for seen in arms.values())
    assert {"a", "b"} == set.union(*arms.values())
    kept = gateway.interactions()
    assert len({interaction.conversation for interaction in kept}) == 24


def test_a_connection_sends_small_pieces_at_once() -> None:
    """Else the first token of a stream waits for the acknowledgement of the head before it."""
    with server.listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address):
            listener.setblocking(True)
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
