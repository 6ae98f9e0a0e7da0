"""A model server that streams canned tokens at a fixed pace; a process of its own.

    python -m gateway_bench.stream_upstream --port P --tokens 200 --tokens-per-second 25

Plain asyncio protocols and prepared bytes: it must have room for far more events a second than any
proxy. Each stream keeps its own time from its first token on, so that a late event does not delay
the next ones, and streams that start apart stay apart.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import selectors

from gateway_bench.canned import TOKENS, event

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_FIRST = _HEAD + _chunk(event({"role": "assistant", "content": TOKENS[0]}))
_NEXT = [_chunk(event({"content": token})) for token in TOKENS]
_END = _chunk(event({}, "stop")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class _Stream(asyncio.Protocol):
    """One connection; answers one request after the other."""

    def __init__(self, tokens: int, pause_seconds: float) -> None:
        self._tokens = tokens
        self._pause = pause_seconds
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            self._received = b""
            self._sent = 1
            self._started = self._loop.time()
            self._transport.write(_FIRST)
            self._wait()

    def _wait(self) -> None:
        self._timer = self._loop.call_at(self._started + self._sent * self._pause, self._continue)

    def _continue(self) -> None:
        if self._sent < self._tokens:
            self._transport.write(_NEXT[self._sent % len(_NEXT)])
            self._sent += 1
            self._wait()
        else:
            self._transport.write(_END)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def _serve(port: int, tokens: int, pause_seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Stream(tokens, pause_seconds), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--tokens-per-second", type=float, required=True)
    options = parser.parse_args()
    gc.disable()
    # asyncio rounds epoll's time-outs up to whole milliseconds; poll's too. select's are exact.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(_serve(options.port, options.tokens, 1 / options.tokens_per_second))


if __name__ == "__main__":
    main()
