"""Model servers that refuse, hang, break off, send garbage, are broken or are slow."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from chaos.arena import Arena, echo, mixed_up
from chaos.client import Client
from chaos.raw_upstream import RawUpstream, http_answer
from chaos.trial import Place, Trial
from chaos.waiting import wait_for
from tuneloop.registry.routes import Timeouts
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

SPARED = "upstream_unavailable"
"""The code of a server that refuses, and of one that is spared after failing."""
_ALONE_SECONDS = 10.0
"""How long the next piece of an answer may take, without other traffic."""


def upstream_refuses(trial: Trial, place: Place) -> None:
    """Nothing listens where the model server was."""
    with ScriptedUpstream() as gone:
        pass

    @contextmanager
    def back() -> Iterator[None]:
        with ScriptedUpstream(echo, port=gone.port):
            yield

    _fall_ill(trial, place, gone.base_url, back, errors={SPARED})


def upstream_hangs(trial: Trial, place: Place) -> None:
    """The model server takes requests and says nothing."""
    well = threading.Event()

    def script(received: Received) -> Reply:
        well.wait(60)
        return echo(received)

    errors = {"upstream_timeout", SPARED}
    timeouts = Timeouts(first_token=0.3, total=0.6)
    _fall_ill_and_recover(trial, place, script, well, errors=errors, timeouts=timeouts)


def upstream_resets(trial: Trial, place: Place) -> None:
    """The model server resets the connection: before an answer, and in the middle of a stream."""
    well, struck = threading.Event(), _EverySecond()

    def script(received: Received) -> Reply:
        streamed = bool(received.body["stream"])
        if well.is_set() or struck.number(streamed) is None:
            return echo(received)
        return Reply(pieces=("a", "b", "c"), reset_after_pieces=2 if streamed else 0)

    _fall_ill_and_recover(trial, place, script, well, errors={"upstream_reset", SPARED})


def upstream_sends_500s(trial: Trial, place: Place) -> None:
    """The model server answers with all kinds of status 5xx."""
    well, struck = threading.Event(), _EverySecond()
    replies = (
        Reply(status=500, text="broken"),
        Reply(status=502, body=b"<html>Bad Gateway</html>"),
        Reply(status=503, body=b""),
        Reply(status=599, body=b'{"detail": "\xff"}'),
    )

    def script(received: Received) -> Reply:
        number = struck.number(bool(received.body["stream"]))
        if well.is_set() or number is None:
            return echo(received)
        return replies[number % len(replies)]

    errors = {"scripted", "upstream_error", SPARED}
    _fall_ill_and_recover(trial, place, script, well, errors=errors)


def upstream_is_slow(trial: Trial, place: Place) -> None:
    """Many streams at once from a slow server; some clients leave. Nobody else is held up."""
    leavers = max(2, place.size.attackers // 20)

    def script(received: Received) -> Reply:
        time.sleep(0.3)
        pieces = echo(received).pieces
        return Reply(text="".join(pieces), pieces=(*pieces, *[""] * 8), piece_delay_seconds=0.05)

    with Arena(place.folder) as arena, ScriptedUpstream(script) as slow:
        arena.route(slow.base_url)
        with arena.calm_load() as calm, arena.load("desk", place.size.attackers // 2) as desk:
            for _ in range(leavers):
                _leave_in_mid_stream(arena.port)
            desk.wait_for(max(place.size.answers, place.size.attackers))
        healed = time.monotonic()
        with arena.load("desk", 1) as after:
            trial.recovered(after.wait_for_success(healed))
        for load in (calm, desk, after):
            trial.count(load.answers)
        left = {"endpoint": "desk", "reason": "client_left"}
        wait_for(lambda: arena.metric("tuneloop_errors_total", **left) == leavers, "the leavers")
        rows = arena.settle(trial)
        trial.expect(not mixed_up(rows), "every answer to its own question")


def upstream_sends_garbage(trial: Trial, place: Place) -> None:
    """The model server sends what is no HTTP, no JSON, no completion, or less than it said."""
    well, struck = threading.Event(), _EverySecond()

    def answer(request: bytes) -> Iterable[bytes]:
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        number = struck.number(bool(body["stream"]))
        if well.is_set() or number is None:
            return _completion(body)
        garbage = GARBAGE_STREAMS if body["stream"] else GARBAGE
        return garbage[number % len(garbage)]

    def all_kinds() -> bool:
        return struck.times(True) > len(GARBAGE_STREAMS) and struck.times(False) > len(GARBAGE)

    @contextmanager
    def back() -> Iterator[None]:
        well.set()
        yield

    errors = {"upstream_garbage", "upstream_reset", "upstream_truncated", SPARED}
    with RawUpstream(answer) as upstream:
        _fall_ill(trial, place, upstream.base_url, back, errors=errors, until=all_kinds)


def upstream_sends_too_much(trial: Trial, place: Place) -> None:
    """Behind each answer comes another, whole or half: it must not become that of the next one."""
    numbers = count()

    def answer(request: bytes) -> Iterable[bytes]:
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        right = _whole_completion(f"re: {body['messages'][-1]['content']}")
        wrong = _whole_completion("This is what somebody else was told.")
        return [right + wrong[: next(numbers) % 3 * len(wrong) // 2]]

    with RawUpstream(answer) as upstream, Arena(place.folder) as arena:
        arena.route(upstream.base_url)
        with (
            arena.calm_load() as calm,
            arena.load("desk", place.size.clients, stream=False) as desk,
        ):
            desk.wait_for(place.size.answers)
        trial.count(calm.answers)
        trial.count(desk.answers, errors={"upstream_reset", SPARED})
        with ScriptedUpstream(echo) as well:
            arena.route(well.base_url)
            healed = time.monotonic()
            with arena.load("desk", 1) as after:
                trial.recovered(after.wait_for_success(healed))
        trial.count(after.answers)
        rows = arena.settle(trial)
        trial.expect(not mixed_up(rows), "every answer to its own question")


class _EverySecond:
    """Which requests an ill server spoils: every second one, or the gateway would spare it."""

    def __init__(self) -> None:
        self._asked = {True: 0, False: 0}

    def number(self, streamed: bool) -> int | None:
        """The how-manieth of its kind the next request is, from 0; None where it is not spoilt."""
        asked = self._asked[streamed]
        self._asked[streamed] += 1
        return None if asked % 2 else asked // 2

    def times(self, streamed: bool) -> int:
        """How many of the kind were spoilt."""
        return (self._asked[streamed] + 1) // 2


def _fall_ill_and_recover(
    trial: Trial,
    place: Place,
    script: Callable[[Received], Reply],
    well: threading.Event,
    *,
    errors: set[str],
    timeouts: Timeouts = Timeouts(),
) -> None:
    """The server follows `script`, which makes it ill until `well` is set."""

    @contextmanager
    def back() -> Iterator[None]:
        well.set()
        yield

    with ScriptedUpstream(script) as upstream:
        try:
            _fall_ill(trial, place, upstream.base_url, back, errors=errors, timeouts=timeouts)
        finally:
            well.set()


def _fall_ill(
    trial: Trial,
    place: Place,
    url: str,
    back: Callable[[], Any],
    *,
    errors: set[str],
    timeouts: Timeouts = Timeouts(),
    until: Callable[[], bool] = lambda: True,
) -> None:
    """Load on an ill server beside load on a healthy one, until `back` makes it well again.

    Nothing that an ill server says may pass as an answer to the question. The first two requests
    come alone: what ends their answers must not be the traffic that follows.
    """
    with Arena(place.folder) as arena:
        arena.route(url, timeouts=timeouts)
        with Client(arena.port, seconds=_ALONE_SECONDS) as client:
            alone = [client.chat("desk", stream=stream) for stream in (True, False)]
        with arena.calm_load() as calm:
            with arena.load("desk", place.size.clients) as ill:
                time.sleep(place.size.ill_seconds)
                ill.wait_for(place.size.answers)
                wait_for(until, "all kinds of answers")
            open_files = arena.descriptors()
            with back():
                healed = time.monotonic()
                with arena.load("desk", place.size.clients) as well:
                    trial.recovered(well.wait_for_success(healed))
                    well.wait_for(place.size.answers)
        trial.count(calm.answers)
        trial.count([*alone, *ill.answers], errors=errors)
        trial.count(well.answers, errors=errors)
        trial.expect(open_files < 200, f"few open files after the fault, got {open_files}")
        rows = arena.settle(trial)
        trial.expect(not mixed_up(rows), "every answer to its own question")


def _leave_in_mid_stream(port: int) -> None:
    body = json.dumps({"model": "desk", "stream": True, "messages": [_asked("bye")]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head % len(body) + body)
        connection.recv(1)


def _asked(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _completion(body: dict[str, Any]) -> Iterable[bytes]:
    said = f"re: {body['messages'][-1]['content']}"
    if not body.get("stream"):
        return [_whole_completion(said)]
    choices = [{"index": 0, "delta": {"content": said}, "finish_reason": "stop"}]
    event = json.dumps({"id": "c", "choices": choices}).encode()
    return [_EVENTS, b"data: " + event + b"\n\n", b"data: [DONE]\n\n"]


def _whole_completion(said: str) -> bytes:
    message = {"role": "assistant", "content": said}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return http_answer(json.dumps({"id": "c", "choices": [choice]}).encode(), keep=True)


_EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_CHUNKED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
)
_GOOD = b'{"id": "c", "choices": [{"index": 0, "message": {"content": "Hi"}}]%b}'
_DEEP = b"[" * 100_000 + b"]" * 100_000

GARBAGE: tuple[tuple[bytes, ...], ...] = (
    (b"",),
    (b"\x00\xff\xfe\x13 this is no HTTP\r\n\r\n",),
    (b"HTTP/1.1 twohundred OK\r\n\r\n",),
    (b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"y" * 1_000_000 + b"\r\n\r\n{}",),
    (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}",),  # and then it closes
    (_CHUNKED + b"ZZ\r\n{}\r\n0\r\n\r\n",),
    (_CHUNKED + b"5\r\n{}",),
    (http_answer(b"<html>It works!</html>"),),
    (http_answer(b""),),
    (http_answer(b"null"),),
    (http_answer(b'{"choices": 1}'),),
    (http_answer(b'{"choices": [{"message": {"content": "cut off'),),
    (http_answer(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),),
    (http_answer(_DEEP),),
    (http_answer(_GOOD % (b', "x": ' + _DEEP)),),
    (http_answer(_GOOD % b', "usage": {"prompt_tokens": 1' + b"0" * 30 + b"}}"),),
    (http_answer(_GOOD % b', "usage": {"prompt_tokens": "many"}'),),
    (http_answer(gzip.compress(b" " * 50_000_000), head=["content-encoding: gzip"]),),
    (http_answer(b"", status="302 Found", head=["location: http://127.0.0.1:1/"]),),
    (http_answer(b"", status="204 No Content"),),
    (http_answer(b"{}", status="101 Switching Protocols", head=["upgrade: x"]),),
)
"""Whole answers; each as the pieces that are sent."""

GARBAGE_STREAMS: tuple[tuple[bytes, ...], ...] = (
    *GARBAGE,
    (_EVENTS,),
    (_EVENTS, b"data: {nonsense\n\n"),
    (_EVENTS, b"data: [1, 2]\n\n"),
    (_EVENTS, b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'),
    (_EVENTS, b"data: " + _DEEP + b"\n\n"),
    (_EVENTS, b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', b"data: {oh\n\n"),
    (_EVENTS, b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'),  # no end
    (_EVENTS, *[b"data: " + b"x" * 1_000_000] * 20),  # a line without end
)
