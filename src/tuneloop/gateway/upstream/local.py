"""Model servers on this machine: HTTP/1.1 on the event loop itself.

What is asked of them is little: POST a JSON body, read an answer that ends by its length, its last
chunk or with the connection. httptools (llhttp, the parser of Node.js) reads it. Why not the
client that is used for all other servers: docs/decisions/0010-local-client.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import httptools

from tuneloop.gateway.errors import UpstreamError
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream.messages import (
    Answer,
    Request,
    api_key,
    is_events,
    timed_out,
    too_large,
    unavailable,
    went_away,
)
from tuneloop.registry.routes import Target

_IDLE_CONNECTIONS = 32
"""Kept open for each server; to some, llama.cpp's among them, every connection costs a thread."""
_ANSWER_BYTES = 64 << 20
"""Of an answer that is read whole."""
_WAITING_BYTES = 256 << 10
"""Of a stream whose client reads slowly; then the server has to wait as well."""


class LocalClient:
    """A `Client`; cancelling closes the connection, so that the server can stop."""

    def __init__(
        self, sweep: Sweep, *, connect_timeout_seconds: float, silence_timeout_seconds: float
    ) -> None:
        self._sweep = sweep
        self._connect_seconds = connect_timeout_seconds
        self._silence_seconds = silence_timeout_seconds
        self._servers: dict[str, _Server] = {}

    async def ask(self, request: Request) -> Answer:
        """As `Client.ask`."""
        incoming = await self.begin(request, streamed=False)
        return incoming.answer()

    def stream(self, request: Request) -> LocalStream:
        """As `Client.stream`."""
        return LocalStream(self, request)

    async def close(self) -> None:
        """Close all connections."""
        for server in self._servers.values():
            for connection in list(server.idle):
                connection.close()

    async def begin(self, request: Request, *, streamed: bool) -> _Incoming:
        """Ask, and wait for the head of the answer (`streamed`), else for all of it."""
        server = self._server(request.target)
        message = server.message(request)
        while True:
            connection = await server.connection(self._connect_seconds)
            incoming = _Incoming(
                connection,
                self._sweep,
                total_seconds=request.total_seconds,
                silence_seconds=self._silence_seconds,
                streamed=streamed,
            )
            connection.send(message, incoming)
            try:
                await incoming.wait()
            except UpstreamError:
                # The server had closed the connection before the request came: nobody has read it.
                if connection.reused and not incoming.begun and connection.lost:
                    continue
                raise
            return incoming

    def _server(self, target: Target) -> _Server:
        server = self._servers.get(target.base_url)
        if server is None:
            server = self._servers[target.base_url] = _Server(target.base_url)
        return server


class LocalStream:
    """An `EventStream`."""

    def __init__(self, client: LocalClient, request: Request) -> None:
        self._client = client
        self._request = request

    async def __aenter__(self) -> Self:
        self._incoming = await self._client.begin(self._request, streamed=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._incoming.leave()

    async def refusal(self) -> Answer | None:
        """As `EventStream.refusal`."""
        incoming = self._incoming
        if is_events(incoming.status, incoming.content_type):
            return None
        await incoming.rest()
        return incoming.answer()

    async def read(self) -> bytes | None:
        """As `EventStream.read`."""
        return await self._incoming.read()


class _Server:
    """One base URL: how it is addressed, and its idle connections."""

    def __init__(self, base_url: str) -> None:
        where = urlsplit(base_url)
        self._host, self._port = where.hostname or "", where.port or 80
        self._path = where.path.rstrip("/")
        self._netloc = where.netloc.rpartition("@")[2]
        self._heads: dict[tuple[str, str | None], bytes] = {}
        self.idle: dict[_Connection, None] = {}

    def message(self, request: Request) -> bytes:
        """The request as it goes over the wire."""
        variable = request.target.api_key_env
        head = self._heads.get((request.path, variable))
        if head is None:
            head = self._heads[request.path, variable] = self._head(request.path, variable)
        return b"%b%d\r\n\r\n%b" % (head, len(request.body), request.body)

    async def connection(self, timeout_seconds: float) -> _Connection:
        """An idle one, the youngest first, or a new one.

        Raises:
            UpstreamError: 503, nobody accepts connections.
        """
        if self.idle:
            connection, _ = self.idle.popitem()
            connection.reused = True
            return connection
        try:
            async with asyncio.timeout(timeout_seconds):
                _, new = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self), self._host, self._port
                )
        except (OSError, TimeoutError) as e:
            raise unavailable() from e
        return new

    def _head(self, path: str, variable: str | None) -> bytes:
        lines = [
            f"POST {self._path}{path} HTTP/1.1",
            f"host: {self._netloc}",
            "content-type: application/json",
        ]
        if variable is not None:
            lines.append(f"authorization: Bearer {api_key(variable)}")
        return "\r\n".join([*lines, "content-length: "]).encode()


class _Incoming:
    """One answer on its way in."""

    def __init__(
        self,
        connection: _Connection,
        sweep: Sweep,
        *,
        total_seconds: float,
        silence_seconds: float,
        streamed: bool,
    ) -> None:
        """`streamed`: a reader wants the head and every piece as it comes."""
        self._connection = connection
        self._sweep = sweep
        self._loop = asyncio.get_running_loop()
        self._too_late = self._loop.time() + total_seconds
        self._silence_seconds = silence_seconds
        self._streamed = streamed
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Callable[[], UpstreamError] | None = None
        """Made anew each time: a kept one would keep those who caught it, and their streams."""
        self.begun = False
        """Whether anything has come."""
        self.status = 0
        """0 until the head has come."""
        self.content_type = ""
        self.retry_after: str | None = None
        self.sized = False
        """Whether the answer says where it ends; else it ends with the connection."""

    def answer(self) -> Answer:
        """All of it."""
        return Answer(status=self.status, body=b"".join(self._pieces), retry_after=self.retry_after)

    async def read(self) -> bytes | None:
        """What has come since the last time; None at the end."""
        if not self._pieces:
            await self.wait()
        if not self._pieces:
            return None
        pieces, self._pieces, self._waiting_bytes = self._pieces, [], 0
        self._connection.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def rest(self) -> None:
        """Wait for the end."""
        self._streamed = False
        self._connection.resume()
        await self.wait()

    async def wait(self) -> None:
        """Until something new has come, or all of it when it is not streamed."""
        if not self._ended:
            self._waiter = self._loop.create_future()
            left = self._too_late - self._loop.time()
            self._sweep.add(self, min(left, self._silence_seconds), self.give_up)
            try:
                await self._waiter
            except asyncio.CancelledError:
                self.leave()
                raise
            finally:
                self._sweep.discard(self)
                self._waiter = None
        if self._error is not None:
            raise self._error()

    def leave(self) -> None:
        """Nobody reads it any more: what has not come yet need not come."""
        if not self._ended:
            self._connection.close()

    def give_up(self) -> None:
        """The time is used up."""
        self.fail(timed_out)
        self._connection.close()

    def fail(self, error: Callable[[], UpstreamError]) -> None:
        """There will be no more of it."""
        if not self._ended:
            self._error = error
            self._ended = True
            self._wake()

    def headed(self, status: int) -> None:
        """The head is complete."""
        self.status = status
        if self._streamed:
            self._wake()

    def add(self, piece: bytes) -> bool:
        """A piece of the body; whether its reader is far behind."""
        self._pieces.append(piece)
        self._waiting_bytes += len(piece)
        if not self._streamed:
            if self._waiting_bytes > _ANSWER_BYTES:
                self.fail(too_large)
                self._connection.close()
            return False
        self._wake()
        return self._waiting_bytes > _WAITING_BYTES

    def end(self) -> None:
        """All of it has come."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Connection(asyncio.Protocol):
    """One connection; an answer at a time."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._parser = httptools.HttpResponseParser(self)
        self._incoming: _Incoming | None = None
        self._paused = False
        self.reused = False
        self.lost = False

    def send(self, message: bytes, incoming: _Incoming) -> None:
        """Write a request."""
        self._incoming = incoming
        self.resume()
        self._transport.write(message)

    def resume(self) -> None:
        """The reader has caught up."""
        if self._paused and not self.lost:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """At once: the server learns that nobody waits."""
        self._server.idle.pop(self, None)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of `asyncio.Protocol`, as those that follow."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._incoming is None:  # nobody asked
            self.close()
            return
        self._incoming.begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail()
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Which is how an answer without a length ends."""
        self.lost = True
        self._server.idle.pop(self, None)
        incoming = self._incoming
        if incoming is not None and incoming.status and not incoming.sized and exc is None:
            self._incoming = None
            incoming.end()
        self._fail()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the parser, as those that follow."""
        incoming = self._incoming
        if incoming is None:
            return
        lower = name.lower()
        if lower == b"content-type":
            incoming.content_type = value.decode("latin-1")
        elif lower == b"retry-after":
            incoming.retry_after = value.decode("latin-1")
        elif lower in (b"content-length", b"transfer-encoding"):
            incoming.sized = True

    def on_headers_complete(self) -> None:
        """Anything but "go on" is the head of the answer."""
        status = self._parser.get_status_code()
        if self._incoming is not None and status >= 200:
            self._incoming.headed(status)

    def on_body(self, piece: bytes) -> None:
        """Hold the server back while the reader is behind."""
        if self._incoming is not None and self._incoming.add(piece) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The connection is free for the next request."""
        incoming = self._incoming
        if incoming is None or not incoming.status:  # it was a "go on"
            return
        self._incoming = None
        if self._parser.should_keep_alive() and len(self._server.idle) < _IDLE_CONNECTIONS:
            self._server.idle[self] = None
        else:
            self._transport.close()
        incoming.end()

    def _fail(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.fail(went_away)
