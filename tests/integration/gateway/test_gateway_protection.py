"""The gateway as attackers and faults meet it: keys, limits, failover, shadows, captures."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import openai
import pytest
from gateway_process import RunningGateway, wait_for

from tuneloop.gateway import server
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.shadowing import Shadowing
from tuneloop.registry import routes
from tuneloop.registry.routes import (
    Arm,
    CaptureRule,
    Endpoint,
    Key,
    RouteSnapshot,
    Shadow,
    Target,
    Timeouts,
)
from tuneloop.storage import spool
from tuneloop.testing.upstream import Received, Reply, Script, ScriptedUpstream

Scripted = Callable[[Script | Reply], ScriptedUpstream]
ASK: dict[str, Any] = {"model": "desk", "messages": [{"role": "user", "content": "Hi"}]}
ALICE, BOB, STAFF = (f"tl_{name}_{'s' * 43}" for name in ("alice", "bob", "staff"))


def _key(text: str, **limits: Any) -> Key:
    digest = sha256(text.encode()).hexdigest()
    return Key(digest=digest, owner=text.split("_")[1], **limits)


def _publish(gateway: RunningGateway, snapshot: RouteSnapshot) -> None:
    routes.publish(snapshot, gateway.routes_file)
    line = "tuneloop_routes_version"
    wait_for(lambda: gateway.metric(line) == snapshot.version)


def _target(upstream: ScriptedUpstream, name: str = "b1") -> Target:
    return Target(base_url=upstream.base_url, served_name=name)


def _guarded(upstream: ScriptedUpstream, keys: dict[str, Key]) -> RouteSnapshot:
    endpoint = Endpoint(arms=(Arm(bundle="b1"),))
    return RouteSnapshot(
        version=1,
        endpoints={"desk": endpoint, "hr": endpoint},
        bundles={"b1": _target(upstream)},
        keys=keys,
        secret="5ec7e7",
    )


def test_a_key_opens_its_endpoints_and_nothing_else(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    keys = {"alice": _key(ALICE, endpoints=("desk",)), "bob": _key(BOB, endpoints=("hr",))}
    upstream = scripted(Reply())
    _publish(gateway, _guarded(upstream, keys))
    gateway.client(api_key=ALICE).chat.completions.create(**ASK)
    assert [m.id for m in gateway.client(api_key=ALICE).models.list()] == ["desk"]
    with pytest.raises(openai.NotFoundError, match="known: hr"):
        gateway.client(api_key=BOB).chat.completions.create(**ASK)
    for wrong in ("none", ALICE[:-1] + "x", f"tl_carol_{'s' * 43}", "tl_alice_", "tl__", "ü"):
        status, body = gateway.call(
            "/v1/chat/completions", json.dumps(ASK).encode(), authorization=f"Bearer {wrong}"
        )
        assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key"), wrong
    assert gateway.call("/v1/models")[0] == 401
    assert gateway.call("/healthz")[0] == 200
    (kept,) = gateway.interactions()
    assert kept.owner == "alice"
    assert len(upstream.requests) == 1
    spooled = b"".join(p.read_bytes() for p in gateway.spool.iterdir())
    log = (gateway.folder / "gateway.log").read_bytes()
    assert b"s" * 43 not in spooled + log  # no secret is ever written


def test_a_refused_client_hears_why_though_its_body_comes_late(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    """The gateway does not read it, so the connection ends; the client's next request needs another
    one, and has to be told."""
    _publish(gateway, _guarded(scripted(Reply()), {"alice": _key(ALICE)}))
    body = json.dumps(ASK).encode()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    refused = {"/v1/chat/completions": 401, "/v1/feedback": 401, "/v2": 404, "/v1/models": 405}
    for _ in range(10):
        for path, status in refused.items():
            connection.putrequest("POST", path)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders()
            time.sleep(0.003)
            with suppress(OSError):
                connection.send(body)
            answer = connection.getresponse()
            assert answer.status == status and answer.will_close, path
            assert json.loads(answer.read())["error"]["code"]
    connection.request("GET", "/v1/models")
    answer = connection.getresponse()
    assert answer.status == 401 and not answer.will_close, "nothing was left unread"
    connection.close()


def test_feedback_is_taken_from_the_owner_and_from_staff_only(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    keys = {
        "alice": _key(ALICE),
        "bob": _key(BOB),
        "staff": _key(STAFF, endpoints=("desk",), feedback_for_all=True),
    }
    _publish(gateway, _guarded(scripted(Reply()), keys))
    ids = {}
    for endpoint in ("desk", "hr"):
        raw = gateway.client(api_key=ALICE).chat.completions.with_raw_response.create(
            **{**ASK, "model": endpoint}
        )
        ids[endpoint] = raw.headers["x-tuneloop-interaction"]

    def give(key: str, identity: str) -> int:
        body = json.dumps({"interaction": identity, "kind": "rating", "value": 1}).encode()
        return gateway.call("/v1/feedback", body, authorization=f"Bearer {key}")[0]

    assert give(ALICE, ids["desk"]) == 200
    assert give(STAFF, ids["desk"]) == 200
    assert give(STAFF, ids["hr"]) == 403  # its key does not open that endpoint
    assert give(BOB, ids["desk"]) == 403
    assert give(ALICE, "ab" * 16) == 403
    assert give(ALICE, ids["desk"][:-1] + ("0" if ids["desk"][-1] != "0" else "1")) == 403


def test_limits_of_a_key(gateway: RunningGateway, scripted: Scripted) -> None:
    keys = {
        "alice": _key(ALICE, requests_per_minute=3),
        "bob": _key(BOB, concurrent_requests=1),
    }
    upstream = scripted(Reply(pieces=("a", "b"), piece_delay_seconds=0.3))
    _publish(gateway, _guarded(upstream, keys))
    alice, bob = gateway.client(api_key=ALICE), gateway.client(api_key=BOB)
    for _ in range(3):
        alice.chat.completions.create(**ASK)
    with pytest.raises(openai.RateLimitError) as refused:
        alice.chat.completions.create(**ASK)
    assert refused.value.code == "rate_limit_exceeded"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 20
    stream = bob.chat.completions.create(**ASK, stream=True)
    with pytest.raises(openai.RateLimitError, match="at a time"):
        bob.chat.completions.create(**ASK)
    assert list(stream)
    bob.chat.completions.create(**ASK)


def test_the_previous_bundle_takes_over_and_is_named(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    with ScriptedUpstream() as gone:
        pass
    healthy = scripted(Reply(text="still here"))
    endpoint = Endpoint(arms=(Arm(bundle="new"),), previous="old")
    bundles = {"new": _target(gone, "new"), "old": _target(healthy, "old")}
    _publish(gateway, RouteSnapshot(version=1, endpoints={"desk": endpoint}, bundles=bundles))
    client = gateway.client()
    for number in range(8):
        if number % 2:
            events = client.chat.completions.create(**ASK, stream=True)
            headers = events.response.headers
            assert "".join(e.choices[0].delta.content or "" for e in events) == "still here"
        else:
            headers = client.chat.completions.with_raw_response.create(**ASK).headers
        assert (headers["x-tuneloop-bundle"], headers["x-tuneloop-failover-from"]) == ("old", "new")
    kept = gateway.interactions()
    assert {(k.bundle, k.failover_from, k.status, k.error) for k in kept} == {
        ("old", "new", 200, None)
    }
    assert gateway.metric('tuneloop_failovers_total{endpoint="desk",bundle="new"}') == 8
    endpoint = Endpoint(arms=(Arm(bundle="new"),), previous="old", failover=False)
    _publish(gateway, RouteSnapshot(version=2, endpoints={"desk": endpoint}, bundles=bundles))
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**ASK)


def test_a_server_that_comes_back_is_asked_again(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    healthy = False

    def script(request: Received) -> Reply:
        return Reply(text="back") if healthy else Reply(status=503, text="broken")

    upstream = scripted(script)
    gateway.route(upstream.base_url)
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    client = gateway.client()
    for _ in range(12):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**ASK)
    assert len(upstream.requests) < 12  # it is spared after a few failures in a row
    healthy = True

    def answered() -> bool:
        try:
            return client.chat.completions.create(**ASK).choices[0].message.content == "back"
        except openai.InternalServerError:
            return False

    wait_for(answered)


def test_a_stream_without_a_first_token_in_time(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    slow = scripted(Reply(pieces=("", "late"), piece_delay_seconds=3))
    endpoint = Endpoint(arms=(Arm(bundle="b1"),), timeouts=Timeouts(first_token=0.4, total=1.0))
    snapshot = RouteSnapshot(version=1, endpoints={"desk": endpoint}, bundles={"b1": _target(slow)})
    _publish(gateway, snapshot)
    began = time.monotonic()
    with pytest.raises(openai.APIError, match="in time"):
        list(gateway.client().chat.completions.create(**ASK, stream=True))
    assert time.monotonic() - began < 2.5
    (kept,) = gateway.interactions()
    assert kept.error == "upstream_timeout"


def test_copies_for_a_candidate_stay_out_of_the_interactions(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    production = scripted(Reply(text="production"))
    candidate = scripted(Reply(text="candidate", delay_seconds=0.2))
    endpoint = Endpoint(arms=(Arm(bundle="b1"),), shadow=Shadow(bundle="c1"))
    bundles = {"b1": _target(production), "c1": _target(candidate, "c1")}
    _publish(gateway, RouteSnapshot(version=1, endpoints={"desk": endpoint}, bundles=bundles))
    client = gateway.client()
    whole = client.chat.completions.create(**ASK)
    streamed = list(client.chat.completions.create(**ASK, stream=True))
    client.chat.completions.create(**ASK, extra_headers={"x-tuneloop-capture": "off"})
    assert whole.choices[0].message.content == "production"
    assert streamed[0].choices[0].delta.content == "production"
    answered = 'tuneloop_shadows_total{endpoint="desk",outcome="answered"}'
    wait_for(lambda: gateway.metric(answered) == 2)
    assert [r.body.get("stream") for r in candidate.requests] == [None, None]
    records = gateway.records()
    shadows = [r for r in records if isinstance(r, spool.Shadow)]
    interactions = [r for r in records if isinstance(r, spool.Interaction)]
    assert {s.interaction for s in shadows} == {i.id for i in interactions}
    assert {(s.bundle, s.response, s.status) for s in shadows} == {("c1", "candidate", 200)}
    assert {i.bundle for i in interactions} == {"b1"}


def test_what_production_fails_is_copied_too(gateway: RunningGateway, scripted: Scripted) -> None:
    """Else an equal candidate, which fails as often, would look worse."""
    failures = iter([Reply(status=429), Reply(status=503)])
    production = scripted(lambda _: next(failures))
    before, candidate = scripted(Reply(text="before")), scripted(Reply(text="candidate"))
    endpoint = Endpoint(arms=(Arm(bundle="b1"),), previous="b0", shadow=Shadow(bundle="c1"))
    bundles = {"b0": _target(before), "b1": _target(production), "c1": _target(candidate, "c1")}
    _publish(gateway, RouteSnapshot(version=1, endpoints={"desk": endpoint}, bundles=bundles))
    client = gateway.client()
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASK)
    taken_over = client.chat.completions.create(**ASK)
    assert taken_over.choices[0].message.content == "before"
    answered = 'tuneloop_shadows_total{endpoint="desk",outcome="answered"}'
    wait_for(lambda: gateway.metric(answered) == 2)
    shadows = [r for r in gateway.records() if isinstance(r, spool.Shadow)]
    assert {(s.bundle, s.response) for s in shadows} == {("c1", "candidate")}


def test_a_candidate_that_hangs_costs_no_client_anything(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    production, candidate = scripted(Reply(text="quick")), scripted(Reply(delay_seconds=3))
    endpoint = Endpoint(arms=(Arm(bundle="b1"),), shadow=Shadow(bundle="c1"))
    bundles = {"b1": _target(production), "c1": _target(candidate, "c1")}
    _publish(gateway, RouteSnapshot(version=1, endpoints={"desk": endpoint}, bundles=bundles))
    client = gateway.client()
    for _ in range(100):
        client.chat.completions.create(**ASK)
    full = gateway.metric('tuneloop_shadows_total{endpoint="desk",outcome="queue_full"}')
    assert full >= 100 - 64 - 4
    assert gateway.metric('tuneloop_captured_total{endpoint="desk"}') == 100


def test_copies_that_a_stop_lets_go_of_are_counted() -> None:
    metrics = Metrics()
    answered: Any = SimpleNamespace(call=None, route=SimpleNamespace(endpoint="desk"))

    async def stop_at_once() -> None:
        shadowing = Shadowing(cast(Any, None), cast(Any, None), metrics)
        shadowing._queue.extend([answered] * 3)
        shadowing.close()

    asyncio.run(stop_at_once())
    assert metrics.shadows["desk", "stopped"] == 3


def test_what_must_be_captured_and_cannot_is_not_served(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    endpoint = Endpoint(arms=(Arm(bundle="b1"),), capture=CaptureRule(required=True))
    upstream = scripted(Reply(text="served"))
    snapshot = RouteSnapshot(
        version=1, endpoints={"desk": endpoint}, bundles={"b1": _target(upstream)}
    )
    _publish(gateway, snapshot)
    client = gateway.client()
    with pytest.raises(openai.BadRequestError, match="captures every request"):
        client.chat.completions.create(**ASK, extra_headers={"x-tuneloop-capture": "off"})
    assert gateway.process is not None
    unlimited = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (0, -1))
    for stream in (False, True):
        with pytest.raises(openai.APIError) as refused:
            list(client.chat.completions.create(**ASK, stream=stream))
        assert refused.value.code == "capture_unavailable"
    asked = len(upstream.requests)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**ASK)
    assert len(upstream.requests) == asked  # known to be full: the model is not even asked
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert client.chat.completions.create(**ASK).choices[0].message.content == "served"
    assert [kept.response for kept in gateway.interactions()] == ["served"]


def test_personal_data_is_replaced_before_it_is_written(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    endpoint = Endpoint(arms=(Arm(bundle="b1"),), capture=CaptureRule(redact=True))
    upstream = scripted(Reply(text="Write to bo@example.org"))
    snapshot = RouteSnapshot(
        version=1, endpoints={"desk": endpoint}, bundles={"b1": _target(upstream)}
    )
    _publish(gateway, snapshot)
    messages = [{"role": "user", "content": "I am ann@example.com, 4111 1111 1111 1111"}]
    answer = gateway.client().chat.completions.create(
        model="desk", messages=messages, seed=4111111111111111, user="ann@example.com"
    )
    assert answer.choices[0].message.content == "Write to bo@example.org"
    (kept,) = gateway.interactions()
    assert json.loads(kept.messages)[0]["content"] == "I am [EMAIL], [CARD]"
    assert (kept.response, kept.user) == ("Write to [EMAIL]", "[EMAIL]")
    assert json.loads(kept.request) == {"seed": 4111111111111111}
    spooled = b"".join(p.read_bytes() for p in gateway.spool.iterdir())
    assert b"example.com" not in spooled


def test_a_share_of_the_conversations_is_captured_whole(
    gateway: RunningGateway, scripted: Scripted
) -> None:
    endpoint = Endpoint(arms=(Arm(bundle="b1"),), capture=CaptureRule(share=0.5))
    snapshot = RouteSnapshot(
        version=1, endpoints={"desk": endpoint}, bundles={"b1": _target(scripted(Reply()))}
    )
    _publish(gateway, snapshot)
    client = gateway.client()
    for _ in range(2):
        for person in range(30):
            client.chat.completions.create(**ASK, user=f"p{person}")
    kept = gateway.interactions()
    conversations = [k.conversation for k in kept]
    assert 5 < len(set(conversations)) < 25
    assert all(conversations.count(one) == 2 for one in conversations)
    dropped = gateway.metric('tuneloop_dropped_total{endpoint="desk",reason="sampled_out"}')
    assert dropped + len(kept) == 60


@pytest.mark.parametrize(
    ("operation", "path", "body", "answer"),
    [
        (
            "completion",
            "/v1/completions",
            {"prompt": "Once"},
            {"choices": [{"index": 0, "text": " upon", "finish_reason": "stop"}]},
        ),
        ("embedding", "/v1/embeddings", {"input": ["a", "b"]}, {"data": [{"embedding": [0.5]}]}),
    ],
)
def test_completions_and_embeddings(
    gateway: RunningGateway,
    scripted: Scripted,
    operation: str,
    path: str,
    body: dict[str, Any],
    answer: dict[str, Any],
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    upstream = scripted(Reply(body=json.dumps({**answer, "model": "x", "usage": usage}).encode()))
    gateway.route(upstream.base_url, system="Be brief.", sampling={"temperature": 0})
    wait_for(lambda: gateway.get("/readyz")[0] == 200)
    status, got = gateway.call(path, json.dumps({"model": "desk", **body}).encode())
    assert (status, json.loads(got)) == (200, {**answer, "model": "desk", "usage": usage})
    (sent,) = upstream.requests
    assert sent.path == path
    sampled = {"temperature": 0} if operation == "completion" else {}
    assert sent.body == {"model": "served-b1", **body, **sampled}
    (kept,) = gateway.interactions()
    assert (kept.operation, kept.prompt_tokens) == (operation, 5)
    assert kept.response == (" upon" if operation == "completion" else "")
    assert json.loads(kept.request) == body


def test_a_body_that_never_ends_and_one_that_is_a_bomb(
    cold_gateway: RunningGateway, scripted: Scripted
) -> None:
    cold_gateway.flags = ("--body-seconds", "0.5")
    cold_gateway.route(scripted(Reply()).base_url)
    cold_gateway.start()
    with socket.create_connection(("127.0.0.1", cold_gateway.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
        )
        assert connection.recv(200).startswith(b"HTTP/1.1 408 ")
    bomb = gzip.compress(b" " * 50_000_000)
    status, body = cold_gateway.call("/v1/chat/completions", bomb, **{"content-encoding": "gzip"})
    assert (status, json.loads(body)["error"]["code"]) == (415, "unsupported_encoding")


def test_processes_take_turns_on_one_socket_and_a_restart_drops_no_request(
    cold_gateway: RunningGateway, scripted: Scripted
) -> None:
    cold_gateway.route(scripted(Reply(delay_seconds=0.01)).base_url)
    listener = server.listen("127.0.0.1", cold_gateway.port)
    processes = [_on_socket(cold_gateway, listener)]
    wait_for(lambda: cold_gateway.get("/healthz")[0] == 200)
    statuses: list[int] = []
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_ask_on_one_connection, args=(cold_gateway, statuses, stopping))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(3):
        old, new = processes[-1], _on_socket(cold_gateway, listener)
        wait_for(lambda: b"tuneloop gateway on" in (cold_gateway.folder / "new.log").read_bytes())
        old.terminate()
        assert old.wait(15) == 0
        processes.append(new)
    stopping.set()
    for thread in threads:
        thread.join()
    processes[-1].terminate()
    assert processes[-1].wait(15) == 0
    listener.close()
    assert len(statuses) > 100
    assert set(statuses) == {200}
    assert len(cold_gateway.interactions()) == len(statuses)


def _on_socket(gateway: RunningGateway, listener: socket.socket) -> subprocess.Popen[bytes]:
    command = server.command(
        routes=gateway.routes_file, spool=gateway.spool, port=gateway.port, segment_seconds=0.2
    )
    extra = ["--fd", str(listener.fileno()), "--drain-seconds", "0.5"]
    with (gateway.folder / "new.log").open("wb") as log:
        return subprocess.Popen(
            [*command, *extra], stdout=log, stderr=log, pass_fds=[listener.fileno()]
        )


def _ask_on_one_connection(
    gateway: RunningGateway, statuses: list[int], stopping: threading.Event
) -> None:
    """Keeps its connection open for as long as the gateway does."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    while not stopping.is_set():
        connection.request("POST", "/v1/chat/completions", json.dumps(ASK))
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
