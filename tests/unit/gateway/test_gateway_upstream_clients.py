"""Both clients for model servers, against a server that says just what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Literal, get_args

import pytest

from tuneloop.gateway.errors import UpstreamError
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream import Request, Upstream, local
from tuneloop.gateway.upstream.local import LocalClient
from tuneloop.gateway.upstream.messages import Client
from tuneloop.gateway.upstream.remote import RemoteClient
from tuneloop.registry.routes import Target

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TWO_BYTES = b"Content-Length: 2\r\n\r\n{}"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


class Server:
    """Each connection is handled by `serve`; they are counted."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def request(self, *, total_seconds: float = 20.0, api_key_env: str | None = None) -> Request:
        target = Target(
            base_url=f"http://127.0.0.1:{self.port}/v1/", served_name="m", api_key_env=api_key_env
        )
        return Request(
            target=target, path="/chat/completions", body=b"{}", total_seconds=total_seconds
        )


Kind = Literal["local", "remote"]
both = pytest.mark.parametrize("kind", get_args(Kind))


@asynccontextmanager
async def client(kind: Kind = "local", *, silence_seconds: float = 20.0) -> AsyncIterator[Client]:
    sweep = Sweep(asyncio.get_running_loop())
    limits = {"connect_timeout_seconds": 5.0, "silence_timeout_seconds": silence_seconds}
    upstream = LocalClient(sweep, **limits) if kind == "local" else RemoteClient(**limits)
    try:
        yield upstream
    finally:
        await upstream.close()
        sweep.close()


def says(*answers: bytes, then_close: bool = False) -> Serve:
    """One answer for each request, on as many connections as it takes."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            await read_request(reader)
            writer.write(left.pop(0))
            await writer.drain()
            if then_close:
                return
        await reader.read()

    return serve


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


@both
@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (JSON + b'Content-Length: 8\r\n\r\n{"a": 1}', False),
        (
            JSON
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + chunk(b'{"a"')
            + chunk(b": 1}")
            + b"0\r\n\r\n",
            False,
        ),
        (JSON + b'\r\n{"a": 1}', True),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b'{"a": 1}', True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + JSON + b'Content-Length: 8\r\n\r\n{"a": 1}', False),
    ],
    ids=["length", "chunks", "to the end", "http/1.0", "go on first"],
)
def test_an_answer_may_end_in_every_way_that_http_knows(
    kind: Kind, answer: bytes, closes: bool
) -> None:
    async def test() -> None:
        async with (
            Server(says(answer, answer, then_close=closes)) as server,
            client(kind) as upstream,
        ):
            for _ in range(2):
                found = await upstream.ask(server.request())
                assert (found.status, found.body) == (200, b'{"a": 1}')
            assert server.connections == (2 if closes else 1)

    run(test)


@both
def test_what_the_server_gets_is_plain_http(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_KEY", "of-the-server")

    async def test() -> None:
        seen = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await read_request(reader))
            writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n" + TWO_BYTES)
            await reader.read()

        async with Server(serve) as server, client(kind) as upstream:
            asked = server.request(api_key_env="SERVER_KEY")
            answer = await upstream.ask(asked)
            assert (answer.status, answer.body, answer.retry_after) == (503, b"{}", "7")
            head, body = seen[0]
            first, *lines = head.lower().strip().split(b"\r\n")
            assert first == b"post /v1/chat/completions http/1.1"
            assert {
                b"host: 127.0.0.1:%d" % server.port,
                b"content-type: application/json",
                b"authorization: bearer of-the-server",
            } <= set(lines)
            assert not any(line.startswith(b"accept-encoding") for line in lines)
            assert body == b"{}"

    run(test)


@both
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no http at all\r\n\r\n",
        JSON + b"Content-Length: 80\r\n\r\n{",
        JSON + b"Content-Length: -1\r\n\r\n{}",
        JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"{"),
    ],
    ids=["nothing", "no http", "short", "bad length", "bad chunk", "no last chunk"],
)
def test_a_broken_answer_is_the_servers_fault(kind: Kind, answer: bytes) -> None:
    async def test() -> None:
        async with Server(says(answer, then_close=True)) as server, client(kind) as upstream:
            with pytest.raises(UpstreamError) as caught:
                await upstream.ask(server.request())
            assert (caught.value.status, caught.value.code) == (502, "upstream_reset")
            assert server.connections == 1

    run(test)


def test_an_answer_without_an_end_is_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_ANSWER_BYTES", 1 << 20)

    async def test() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(JSON + b"\r\n")
            while True:  # until the client has had enough
                writer.write(b"x" * 65_536)
                await writer.drain()

        async with Server(serve) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await upstream.ask(server.request())
            assert (caught.value.status, caught.value.code) == (502, "upstream_garbage")

    run(test)


@both
def test_nobody_listens(kind: Kind) -> None:
    async def test() -> None:
        async with Server(says()) as server:
            request = server.request()
        async with client(kind) as upstream:
            with pytest.raises(UpstreamError) as caught:
                await upstream.ask(request)
            assert caught.value.code == "upstream_unavailable"

    run(test)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    """pyreqwest does not: there the request fails, and another bundle may stand in."""

    async def test() -> None:
        asked = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            await read_request(reader)
            asked += 1
            writer.write(JSON + TWO_BYTES)
            await writer.drain()
            # The second request on this connection arrives and is not read.
            await reader.readexactly(1)
            writer.transport.abort()

        async with Server(serve) as server, client() as upstream:
            for _ in range(3):
                assert (await upstream.ask(server.request())).body == b"{}"
            assert (server.connections, asked) == (3, 3)

    run(test)


@both
def test_a_new_connection_that_breaks_is_not_asked_twice(kind: Kind) -> None:
    async def test() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.transport.abort()

        async with Server(serve) as server, client(kind) as upstream:
            with pytest.raises(UpstreamError):
                await upstream.ask(server.request())
            assert server.connections == 1

    run(test)


@both
@pytest.mark.parametrize(("total", "silence"), [(0.1, 20.0), (20.0, 0.1)])
@pytest.mark.parametrize("begun", [b"", JSON + b"Content-Length: 9\r\n\r\n{"])
def test_a_server_that_falls_silent_is_given_up(
    kind: Kind, total: float, silence: float, begun: bytes
) -> None:
    async def test() -> None:
        left = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(begun)
            with pytest.raises(ConnectionError):
                await reader.read()
                writer.write(b"x")
                await writer.drain()
                raise ConnectionError
            left.set()

        async with Server(serve) as server, client(kind, silence_seconds=silence) as upstream:
            with pytest.raises(UpstreamError) as caught:
                await upstream.ask(server.request(total_seconds=total))
            assert (caught.value.status, caught.value.elsewhere) == (504, False)
            await left.wait()

    run(test)


def test_cancelling_closes_the_connection() -> None:
    """pyreqwest's connection stays open until the answer's head has come."""

    async def test() -> None:
        came, left = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            came.set()
            try:
                await reader.read()
            finally:
                left.set()

        async with Server(serve) as server, client() as upstream:
            asking = asyncio.create_task(upstream.ask(server.request()))
            await came.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            del asking
            await left.wait()

    run(test)


@both
def test_a_stream_comes_piece_by_piece_and_its_connection_is_used_again(kind: Kind) -> None:
    async def test() -> None:
        next_piece = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                writer.write(EVENTS)
                for piece in (b"data: a\n\n", b"data: b\n\n"):
                    writer.write(chunk(piece))
                    await next_piece.wait()
                    next_piece.clear()
                writer.write(b"0\r\n\r\n")

        async with Server(serve) as server, client(kind) as upstream:
            for _ in range(2):
                async with upstream.stream(server.request()) as events:
                    assert await events.refusal() is None
                    assert await events.read() == b"data: a\n\n"
                    next_piece.set()
                    assert await events.read() == b"data: b\n\n"
                    next_piece.set()
                    assert await events.read() is None
                    assert await events.read() is None
            assert server.connections == 1

    run(test)


@both
def test_a_refused_stream_is_read_whole(kind: Kind) -> None:
    async def test() -> None:
        refusal = (
            b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        async with (
            Server(says(refusal)) as server,
            client(kind) as upstream,
            upstream.stream(server.request()) as events,
        ):
            answer = await events.refusal()
            assert answer is not None and (answer.status, answer.body) == (400, b"{}")

    run(test)


@both
def test_a_stream_that_breaks_gives_what_came_and_then_the_error(kind: Kind) -> None:
    async def test() -> None:
        came = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(EVENTS + chunk(b"data: a\n\n"))
            await writer.drain()
            await came.wait()
            writer.write(chunk(b"data: b\n\n"))
            await writer.drain()

        async with (
            Server(serve) as server,
            client(kind) as upstream,
            upstream.stream(server.request()) as events,
        ):
            assert await events.read() == b"data: a\n\n"
            came.set()
            await asyncio.sleep(0.1)  # both the piece and the end have come
            assert await events.read() == b"data: b\n\n"
            with pytest.raises(UpstreamError, match="went away"):
                await events.read()

    run(test)


@both
def test_leaving_a_stream_early_closes_the_connection(kind: Kind) -> None:
    async def test() -> None:
        left = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(EVENTS + chunk(b"data: a\n\n"))
            try:
                await reader.read()
            finally:
                left.set()

        async with Server(serve) as server, client(kind) as upstream:
            async with upstream.stream(server.request()) as events:
                await events.read()
            await left.wait()

    run(test)


@both
def test_a_slow_reader_holds_the_server_back(kind: Kind) -> None:
    async def test() -> None:
        piece, pieces, sent = b"x" * 65_536, 400, 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(EVENTS)
            for _ in range(pieces):
                writer.write(chunk(piece))
                await writer.drain()
                sent += 1
            writer.write(b"0\r\n\r\n")
            await reader.read()

        async with (
            Server(serve) as server,
            client(kind) as upstream,
            upstream.stream(server.request()) as events,
        ):
            received = len(await events.read() or b"")
            before = -1
            while before != sent:  # until the server cannot send any more
                before = sent
                await asyncio.sleep(0.3)
            assert sent < pieces
            while (more := await events.read()) is not None:
                received += len(more)
            assert received == pieces * len(piece)

    run(test)


@both
@pytest.mark.parametrize(
    ("key", "problem"), [(None, "is missing"), ("two\nlines", "cannot be sent")]
)
def test_a_key_that_cannot_be_sent_is_told(
    kind: Kind, key: str | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVER_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("SERVER_KEY", key)

    async def test() -> None:
        async with Server(says()) as server, client(kind) as upstream:
            with pytest.raises(UpstreamError, match=problem) as caught:
                await upstream.ask(server.request(api_key_env="SERVER_KEY"))
            assert caught.value.code == "upstream_key_missing"
            assert "lines" not in str(caught.value)

    run(test)


@pytest.mark.parametrize(
    ("base_url", "chosen"),
    [
        ("http://127.0.0.1:9001/v1", LocalClient),
        ("http://localhost:9001/v1", LocalClient),
        ("http://[::1]:9001/v1", LocalClient),
        ("https://127.0.0.1:9001/v1", RemoteClient),
        ("http://10.0.0.7:9001/v1", RemoteClient),
    ],
)
def test_only_plain_http_on_this_machine_is_asked_by_our_own_client(
    base_url: str, chosen: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_by = []

    async def ask(self: object, request: Request) -> None:
        asked_by.append(type(self))

    for one in (LocalClient, RemoteClient):
        monkeypatch.setattr(one, "ask", ask)

    async def test() -> None:
        sweep = Sweep(asyncio.get_running_loop())
        request = Request(
            target=Target(base_url=base_url, served_name="m"), path="", body=b"", total_seconds=1.0
        )
        await Upstream(sweep).ask(request)
        sweep.close()

    run(test)
    assert asked_by == [chosen]
