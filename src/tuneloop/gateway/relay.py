"""Between the client and the model server: whole answers, streams, failures, departures.

Everything but the end of the answer is sent here. The end is handed back, to be sent when the
exchange has been captured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from tuneloop.gateway.answers import CLOSING, EventReader, read_completion
from tuneloop.gateway.capture import Exchange
from tuneloop.gateway.errors import ApiError, upstream_failure
from tuneloop.gateway.requests import upstream_body
from tuneloop.gateway.rsgi import HTTPProtocol, ProtocolClosed
from tuneloop.gateway.upstream import Answer, EventStream, Upstream

CLIENT_LEFT = 499
"""The status that captures and metrics show when the client left first (nginx's number)."""

SendLast = Callable[[], Awaitable[None]]
"""Sends what completes the answer."""

_Headers = list[tuple[str, str]]
_JSON: _Headers = [("content-type", "application/json")]
_EVENTS: _Headers = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
]
# Watching for a departure costs a task; most answers of a fast server come before it starts.
_WATCH_AFTER_SECONDS = 0.05


async def relay(exchange: Exchange, upstream: Upstream, protocol: HTTPProtocol) -> SendLast:
    """Ask the model server and pass on what it says; the answer's end is left to the caller."""
    departure = _Departure(protocol)
    try:
        if exchange.call.streamed:
            return await _stream(exchange, upstream, protocol)
        return await _whole(exchange, upstream, protocol)
    except ApiError as e:
        exchange.fail(e.status, e.code)
        return _last(protocol, e.status, exchange.headers(), e.body())
    except (ProtocolClosed, asyncio.CancelledError) as e:
        if isinstance(e, asyncio.CancelledError) and not departure.happened:
            raise
        exchange.fail(CLIENT_LEFT, "client_left")
        return _nothing
    finally:
        departure.stop()


async def _whole(exchange: Exchange, upstream: Upstream, protocol: HTTPProtocol) -> SendLast:
    target = exchange.route.target
    answer = await upstream.ask(target, upstream_body(exchange.call, target))
    if answer.status != 200:
        return _refused(exchange, protocol, answer)
    body = read_completion(answer.body, exchange.route.endpoint, exchange.facts)
    return _last(protocol, 200, exchange.headers(), body)


async def _stream(exchange: Exchange, upstream: Upstream, protocol: HTTPProtocol) -> SendLast:
    target = exchange.route.target
    async with upstream.stream(target, upstream_body(exchange.call, target)) as events:
        if (answer := await events.refusal()) is not None:
            return _refused(exchange, protocol, answer)
        transport = protocol.response_stream(200, exchange.headers() + _EVENTS)
        try:
            await _pass_on(exchange, events, transport.send_bytes)
        except ApiError as e:
            # The status has left already: the client learns of it from an event.
            exchange.fail(200, e.code)
            return partial(transport.send_bytes, b"data: " + e.body() + b"\n\n")
        return partial(transport.send_bytes, CLOSING)


async def _pass_on(
    exchange: Exchange, events: EventStream, send: Callable[[bytes], Awaitable[None]]
) -> None:
    call, facts = exchange.call, exchange.facts
    reader = EventReader(exchange.route.endpoint, facts, show_usage=call.wants_usage)
    while not reader.done and (piece := await events.read()) is not None:
        ready = reader.feed(piece)
        exchange.mark_first_token()
        if ready:
            await send(ready)
    if not reader.done and facts.finish_reason is None:
        raise upstream_failure(502, "upstream_truncated", "The model server's stream broke off.")


def _refused(exchange: Exchange, protocol: HTTPProtocol, answer: Answer) -> SendLast:
    """Pass an error of the model server on; what is no OpenAI error is wrapped in one."""
    if answer.status < 400:
        raise upstream_failure(
            502, "upstream_garbage", f"The model server answered with status {answer.status}."
        )
    exchange.fail(answer.status, "upstream_error")
    headers = exchange.headers()
    if answer.retry_after is not None:
        headers.append(("retry-after", answer.retry_after))
    body = answer.body if _is_error(answer.body) else _wrapped(answer)
    return _last(protocol, answer.status, headers, body)


def _is_error(body: bytes) -> bool:
    try:
        return "error" in msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _wrapped(answer: Answer) -> bytes:
    message = f"The model server answered with status {answer.status}."
    return upstream_failure(answer.status, "upstream_error", message).body()


def _last(protocol: HTTPProtocol, status: int, headers: _Headers, body: bytes) -> SendLast:
    async def send() -> None:
        protocol.response_bytes(status, headers + _JSON, body)

    return send


async def _nothing() -> None:
    """The client is gone."""


class _Departure:
    """Cancels the running task when the client goes away, until stopped."""

    def __init__(self, protocol: HTTPProtocol) -> None:
        self.happened = False
        self._protocol = protocol
        self._task = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.call_later(_WATCH_AFTER_SECONDS, self._watch)

    def stop(self) -> None:
        self._start.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self.happened and self._task is not None:
            self._task.uncancel()

    def _watch(self) -> None:
        self._watching = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        await self._protocol.client_disconnect()
        self.happened = True
        if self._task is not None:
            self._task.cancel()
