"""A model server that answers with bytes as they are, HTTP or not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

_HEAD_END = b"\r\n\r\n"


class RawUpstream:
    """Reads a request and sends what `answer` makes of it; use it as a context manager.

    Then it closes the connection, unless what it sent said keep-alive.
    """

    def __init__(self, answer: Callable[[bytes], Iterable[bytes]]) -> None:
        """`answer`: from the whole request to the pieces of what is sent."""
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def base_url(self) -> str:
        """As OpenAI clients write it."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> RawUpstream:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(30)
            keep = True
            while keep and (request := _request(connection)):
                keep = False
                for piece in self._answer(request):
                    connection.sendall(piece)
                    keep = keep or b"connection: keep-alive" in piece


def _request(connection: socket.socket) -> bytes:
    """The whole request; what is no request ends where the client ends it."""
    data = b""
    while _HEAD_END not in data:
        if not (piece := connection.recv(1 << 16)):
            return data
        data += piece
    head, _, body = data.partition(_HEAD_END)
    lines = [line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:]]
    length = int(dict(lines).get(b"content-length", b"0"))
    while len(body) < length and (piece := connection.recv(1 << 16)):
        body += piece
    return head + _HEAD_END + body


def http_answer(
    body: bytes, *, status: str = "200 OK", head: Iterable[str] = (), keep: bool = False
) -> bytes:
    """An HTTP answer whose frame is right; `keep`: for a connection that stays open."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", *head]
    lines += [f"content-length: {len(body)}", f"connection: {'keep-alive' if keep else 'close'}"]
    return "\r\n".join(lines).encode() + _HEAD_END + body
