"""A client that knows for certain what it has received: an answer counts when it is whole."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

_PIECE_BYTES = 1 << 16
_DONE = b"data: [DONE]\n\n"
OK, CUT = "ok", "cut"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for one request."""

    streamed: bool = False
    """Whether the request asked for a stream."""
    sent_at: float
    """Seconds of the monotonic clock."""
    came_at: float
    """When the last of it had come, or when nothing more could come."""
    status: int = 0
    """0: not even a status came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    whole: bool = False
    """Whether its last byte has come."""

    @property
    def interaction(self) -> str | None:
        """The id that the gateway gave it."""
        return self.headers.get("x-tuneloop-interaction")

    @property
    def bundle(self) -> str | None:
        """What answered."""
        return self.headers.get("x-tuneloop-bundle")

    @property
    def text(self) -> str:
        """What the model said in it, as far as it came."""
        choices = [choice for event in self._events for choice in event.get("choices") or ()]
        parts = [choice.get("delta") or choice.get("message") or {} for choice in choices]
        return "".join(part.get("content") or "" for part in parts)

    @cached_property
    def outcome(self) -> str:
        """`ok`, `cut` (not whole), the code of an OpenAI error, or `plain_STATUS`."""
        if not self.whole:
            return CUT
        last = self._events[-1] if self._events else {}
        error = last.get("error")
        if isinstance(error, dict) and error.keys() >= {"message", "type", "param", "code"}:
            return str(error["code"])
        return OK if self.status == 200 and last else f"plain_{self.status}"

    @cached_property
    def _events(self) -> list[dict[str, Any]]:
        """The JSON objects of the body: one, or those of a stream."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return [found] if (found := _object(self.body)) else []
        lines = [line for line in self.body.split(b"\n") if line.startswith(b"data:")]
        return [found for line in lines if (found := _object(line[5:]))]


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Client:
    """One connection to a gateway, made anew when it breaks; nothing that comes back raises."""

    def __init__(self, port: int, *, key: str | None = None, seconds: float = 60.0) -> None:
        """`seconds`: how long to wait for each piece of an answer."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        self._key = key

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def chat(
        self,
        endpoint: str,
        text: str = "Hi",
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Answer:
        """Ask for a chat completion."""
        asked = {
            "model": endpoint,
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            **fields,
        }
        body = json.dumps(asked).encode()
        return self.send("POST", "/v1/chat/completions", body, headers=headers, streamed=stream)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        streamed: bool = False,
    ) -> Answer:
        """Send any request; an iterable as the body is sent in chunks."""
        sent = dict(headers or {})
        if self._key is not None:
            sent["authorization"] = f"Bearer {self._key}"
        sent_at = time.monotonic()
        with suppress(OSError):  # refused half-way: the answer may have come all the same
            self._connection.request(method, path, body, sent)
        try:
            if self._connection.sock is None:
                raise ConnectionError("nobody listens")
            response = self._connection.getresponse()
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(streamed=streamed, sent_at=sent_at, came_at=time.monotonic())
        answer = read(response, sent_at=sent_at, streamed=streamed)
        if not answer.whole:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def read(response: http.client.HTTPResponse, *, sent_at: float, streamed: bool = False) -> Answer:
    """Everything that comes of a response whose head has come."""
    pieces: list[bytes] = []
    try:
        while piece := response.read1(_PIECE_BYTES):
            pieces.append(piece)
        whole = not response.length  # else the connection ended before its time
    except (OSError, http.client.HTTPException):
        whole = False
    finally:
        response.close()  # what it reads from; the connection may stay open
    body = b"".join(pieces)
    return Answer(
        streamed=streamed,
        sent_at=sent_at,
        came_at=time.monotonic(),
        status=response.status,
        headers={name.lower(): value for name, value in response.getheaders()},
        body=body,
        whole=whole or body.endswith(_DONE),  # where OpenAI's clients stop reading
    )


def exchange(port: int, pieces: Iterable[bytes], *, seconds: float = 30.0) -> Answer:
    """Send bytes as they are and read one response, however early it comes."""
    sent_at = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
        return receive(connection, sent_at=sent_at)


def receive(connection: socket.socket, *, sent_at: float) -> Answer:
    """The response that comes on a connection, if one does."""
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
    except (OSError, http.client.HTTPException):
        response.close()
        return Answer(sent_at=sent_at, came_at=time.monotonic())
    return read(response, sent_at=sent_at)
