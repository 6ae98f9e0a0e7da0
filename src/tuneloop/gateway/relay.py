"""Between the client and the model server: whole answers, streams, failures, departures.

Everything but the end of the answer is sent here. The end is handed back, to be sent when the
exchange has been captured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from tuneloop.gateway.answers import (
    CLOSING,
    EventReader,
    Hiding,
    read_completion,
    read_embeddings,
)
from tuneloop.gateway.breaker import Breaker
from tuneloop.gateway.capture import Exchange
from tuneloop.gateway.errors import ApiError, UpstreamError, beyond_context, in_openai_form
from tuneloop.gateway.logprobs import REFUSALS, LogprobAsking
from tuneloop.gateway.requests import EMBEDDING, upstream_body
from tuneloop.gateway.routing import Route
from tuneloop.gateway.rsgi import HTTPProtocol, ProtocolClosed
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream import Answer, EventStream, Request, Upstream
from tuneloop.storage.spool import CLIENT_LEFT


class End(msgspec.Struct, frozen=True):
    """What completes an answer."""

    send: Callable[[], Awaitable[None]]
    refuse: Callable[[ApiError], Awaitable[None]]
    """Sends an error in its place."""


_Headers = list[tuple[str, str]]
_JSON: _Headers = [("content-type", "application/json")]
_EVENTS: _Headers = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
]
# Watching for a departure costs a task; most answers of a fast server come before it starts.
_WATCH_AFTER_SECONDS = 0.05


class BrokenServerError(UpstreamError):
    """The model server answered that it is broken (5xx)."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(
            answer.status,
            "upstream_error",
            f"The model server answered with status {answer.status}.",
        )
        self.answer = answer

    @property
    def is_refusal(self) -> bool:
        """Whether the server is well and the request is not.

        llama.cpp says 500 to a picture and to half a tool, 501 to embeddings: with an error of the
        API. Were such a server spared, one client could take it from all others.
        """
        return self.status in (500, 501) and in_openai_form(self.answer.body) is not None


class LogprobsRefusedError(Exception):
    """The model server refused a request that asked for log-probabilities on our behalf."""


class Relay:
    """Asks model servers for one gateway process."""

    def __init__(self, upstream: Upstream, breaker: Breaker, sweep: Sweep) -> None:
        self._upstream = upstream
        self._sweep = sweep
        self._breaker = breaker
        self._logprobs = LogprobAsking()

    async def answer(self, exchange: Exchange, protocol: HTTPProtocol) -> End:
        """Pass on what the model server says; the answer's end is left to the caller."""
        departure = _Departure(protocol, self._sweep)
        try:
            return await self._answer(exchange, protocol)
        except BrokenServerError as e:
            return _passed_on(exchange, protocol, e.answer)
        except ApiError as e:
            exchange.fail(e.status, e.code)
            return _whole_end(protocol, e.status, exchange.headers(), e.body())
        except (ProtocolClosed, asyncio.CancelledError) as e:
            if isinstance(e, asyncio.CancelledError) and not departure.happened:
                raise
            exchange.fail(CLIENT_LEFT, "client_left")
            return _NOTHING
        finally:
            departure.stop()

    async def _answer(self, exchange: Exchange, protocol: HTTPProtocol) -> End:
        """From the chosen bundle, else from the one that stands in for it.

        Nothing has been sent to the client when an UpstreamError comes out of an attempt, and a
        model server keeps nothing of a request, so asking another one is safe.
        """
        fallback = exchange.route.fallback
        try:
            return await self._attempt(exchange, protocol)
        except UpstreamError as e:
            if fallback is None or not e.elsewhere or not self._breaker.allows(fallback.bundle):
                raise
            exchange.fail_over(fallback)
        return await self._attempt(exchange, protocol)

    async def _attempt(self, exchange: Exchange, protocol: HTTPProtocol) -> End:
        bundle = exchange.route.bundle
        if not self._breaker.allows(bundle):
            raise UpstreamError(
                503, "upstream_unavailable", "The model server failed a moment ago and is spared."
            )
        try:
            end = await self._ask(exchange, protocol)
        except UpstreamError as e:
            if not (isinstance(e, BrokenServerError) and e.is_refusal):
                self._breaker.failed(bundle)
            raise
        if exchange.error is None:
            self._breaker.succeeded(bundle)
        return end

    async def _ask(self, exchange: Exchange, protocol: HTTPProtocol) -> End:
        """For log-probabilities too, on their share; a refusal of those costs the client nothing.

        A server refuses before the first token, so nothing has been sent then.
        """
        make = self._stream if exchange.call.streamed else self._whole
        hide = self._logprobs.hiding(exchange)
        if hide is None:
            end = await make(exchange, protocol)
            if exchange.error is None:
                self._logprobs.learn(exchange)
            return end
        try:
            return await make(exchange, protocol, hide)
        except LogprobsRefusedError:
            pass
        end = await make(exchange, protocol)
        if exchange.error is None:
            self._logprobs.refused(exchange)
        return end

    async def _whole(
        self, exchange: Exchange, protocol: HTTPProtocol, hide: Hiding | None = None
    ) -> End:
        call, endpoint, facts = exchange.call, exchange.route.endpoint, exchange.facts
        answer = await self._upstream.ask(request_for(exchange.route, exchange, hide))
        if answer.status != 200:
            return _refused(exchange, protocol, answer, hide)
        if call.operation is EMBEDDING:
            body = read_embeddings(answer.body, endpoint, facts)
        else:
            body = read_completion(answer.body, endpoint, facts, hide=hide)
        return _whole_end(protocol, 200, exchange.headers(), body)

    async def _stream(
        self, exchange: Exchange, protocol: HTTPProtocol, hide: Hiding | None = None
    ) -> End:
        call, facts = exchange.call, exchange.facts
        reader = EventReader(exchange.route.endpoint, facts, show_usage=call.wants_usage, hide=hide)
        async with self._upstream.stream(request_for(exchange.route, exchange, hide)) as events:
            # Until the first piece has come another server can take over.
            try:
                async with asyncio.timeout(exchange.route.rules.timeouts.first_token):
                    if (answer := await events.refusal()) is not None:
                        return _refused(exchange, protocol, answer, hide)
                    first = await events.read()
            except TimeoutError:
                raise _too_slow() from None
            ready = _read(exchange, reader, first)
            transport = protocol.response_stream(200, exchange.headers() + _EVENTS)

            async def send_error(error: ApiError) -> None:
                # The status has left already: the client learns of it from an event.
                await transport.send_bytes(b"data: " + error.body() + b"\n\n")

            try:
                if ready:
                    await transport.send_bytes(ready)
                await _pass_on(exchange, reader, events, transport.send_bytes)
            except ApiError as e:
                exchange.fail(200, e.code)
                self._breaker.failed(exchange.route.bundle)
                return End(partial(send_error, e.with_traceback(None)), send_error)
            return End(partial(transport.send_bytes, CLOSING), send_error)


def request_for(route: Route, exchange: Exchange, hide: Hiding | None = None) -> Request:
    """What the model server of a route is asked: with `hide` for log-probabilities too."""
    call = exchange.call
    return Request(
        target=route.target,
        path=call.operation.path,
        body=upstream_body(call, route.target, logprobs=hide is not None),
        total_seconds=route.rules.timeouts.total,
    )


async def _pass_on(
    exchange: Exchange,
    reader: EventReader,
    events: EventStream,
    send: Callable[[bytes], Awaitable[None]],
) -> None:
    """The rest of a stream; before its first token the clock of the first token runs."""
    while not reader.done:
        if exchange.first_token_seconds is None:
            left = exchange.route.rules.timeouts.first_token - exchange.elapsed_seconds
            try:
                async with asyncio.timeout(left):
                    piece = await events.read()
            except TimeoutError:
                raise _too_slow() from None
        else:
            piece = await events.read()
        if piece is None:
            break
        if ready := _read(exchange, reader, piece):
            await send(ready)
    if not reader.done and exchange.facts.finish_reason is None:
        raise UpstreamError(502, "upstream_truncated", "The model server's stream broke off.")


def _read(exchange: Exchange, reader: EventReader, piece: bytes | None) -> bytes:
    if piece is None:
        return b""
    ready = reader.feed(piece)
    exchange.mark_first_token()
    return ready


def _too_slow() -> UpstreamError:
    return UpstreamError(
        504, "upstream_timeout", "The model server sent no token in time.", elsewhere=False
    )


def _refused(
    exchange: Exchange, protocol: HTTPProtocol, answer: Answer, hide: Hiding | None = None
) -> End:
    if hide is not None and answer.status in REFUSALS:
        raise LogprobsRefusedError
    if answer.status < 400:
        raise UpstreamError(
            502, "upstream_garbage", f"The model server answered with status {answer.status}."
        )
    if answer.status >= 500:
        raise BrokenServerError(answer)
    return _passed_on(exchange, protocol, answer)


def _passed_on(exchange: Exchange, protocol: HTTPProtocol, answer: Answer) -> End:
    """Pass an error of the model server on; what is no OpenAI error is wrapped in one."""
    too_long = beyond_context(answer.status, answer.body, param=exchange.call.operation.input)
    if too_long is not None:
        exchange.fail(too_long.status, too_long.code)
        return _whole_end(protocol, too_long.status, exchange.headers(), too_long.body())
    exchange.fail(answer.status, "upstream_error")
    headers = exchange.headers()
    if answer.retry_after is not None:
        headers.append(("retry-after", answer.retry_after))
    body = in_openai_form(answer.body) or BrokenServerError(answer).body()
    return _whole_end(protocol, answer.status, headers, body)


def _whole_end(protocol: HTTPProtocol, status: int, headers: _Headers, body: bytes) -> End:
    async def send() -> None:
        protocol.response_bytes(status, headers + _JSON, body)

    async def refuse(error: ApiError) -> None:
        protocol.response_bytes(error.status, headers + _JSON, error.body())

    return End(send, refuse)


async def _nothing(*_: object) -> None:
    """The client is gone."""


_NOTHING = End(_nothing, _nothing)


class _Departure:
    """Cancels the running task when the client goes away, until stopped."""

    def __init__(self, protocol: HTTPProtocol, sweep: Sweep) -> None:
        self.happened = False
        self._protocol = protocol
        self._task = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._sweep = sweep
        sweep.add(self, _WATCH_AFTER_SECONDS, self._watch)

    def stop(self) -> None:
        self._sweep.discard(self)
        if self._watching is not None:
            self._watching.cancel()
        if self.happened and self._task is not None:
            self._task.uncancel()

    def _watch(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        await self._protocol.client_disconnect()
        self.happened = True
        if self._task is not None:
            self._task.cancel()
