"""A small HTTP/1.1 client for the load generators: prepared requests over kept connections.

A general client costs several times what the answers cost to read, on the core that the upstream
needs too. This one reads what the proxies here send: a status line, headers, then a body with a
length or in chunks without trailers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

OnBody = Callable[[bytes], None]
OnEnd = Callable[[int | None], None]
"""Called with the status once the answer is complete; None where the connection broke."""


def request(url: str, body: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of a POST request."""
    where, content = urlsplit(url), body.encode()
    lines = [f"POST {where.path} HTTP/1.1", f"host: {where.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["content-type: application/json", f"content-length: {len(content)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.open = False
        self._on_end: OnEnd | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.open = True

    def send(self, data: bytes, on_body: OnBody, on_end: OnEnd) -> None:
        """Send a request; the callbacks follow its answer."""
        self._rest = b""
        self._status: int | None = None
        self._left: int | None = None
        """Bytes to come of the body, or of the chunk where it is chunked."""
        self._on_body, self._on_end = on_body, on_end
        self._transport.write(data)

    def close(self) -> None:
        """Leave, whatever is still to come."""
        self._on_end = None
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._end(None)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if self._status is None:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._read_head(head.lower())
        self._rest = b""
        if self._chunked:
            self._read_chunks(data)
        else:
            self._on_body(data)
            self._left = (self._left or 0) - len(data)
            if self._left <= 0:
                self._end(self._status)

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        headers = dict(line.split(b":", 1) for line in lines)
        self._status = int(first.split()[1])
        self._chunked = b"chunked" in headers.get(b"transfer-encoding", b"")
        self._left = None if self._chunked else int(headers.get(b"content-length", b"0"))

    def _read_chunks(self, data: bytes) -> None:
        while True:
            if self._left is None:
                size, end, data = data.partition(b"\r\n")
                if not end:
                    self._rest = size
                    return
                self._left = int(size.partition(b";")[0], 16)
            if len(data) < self._left + 2:
                self._rest = data
                return
            chunk, data = data[: self._left], data[self._left + 2 :]
            last, self._left = self._left == 0, None
            if last:
                self._end(self._status)
                return
            self._on_body(chunk)

    def _end(self, status: int | None) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(status)


async def connect(url: str) -> Connection:
    """A new connection to the server of `url`."""
    where = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, where.hostname, where.port)
    return connection
