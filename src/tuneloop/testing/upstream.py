"""A scripted OpenAI-compatible model server for tests: answers, streams, delays, errors, resets.

with ScriptedUpstream(lambda request: Reply(text="42")) as upstream:
    ...  # call upstream.base_url, then look at upstream.requests
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the upstream does with one request."""

    text: str = "ok"
    pieces: tuple[str, ...] = ()
    """Deltas of a streamed answer; the whole text in one piece when empty."""
    status: int = 200
    body: bytes | None = None
    """Sent as it is instead of a completion."""
    delay_seconds: float = 0.0
    """Before the first byte."""
    piece_delay_seconds: float = 0.0
    """Before each piece of a stream but the first."""
    reset_after_pieces: int | None = None
    """Reset the connection after so many pieces; 0 resets it before any byte."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    logprobs: tuple[float, ...] = ()
    """Of the tokens; in a stream one of each piece."""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    raw: bytes


Script = Callable[[Received], Reply]


class ScriptedUpstream:
    """A real HTTP server on a free loopback port; use it as a context manager."""

    def __init__(
        self,
        script: Script | Reply | None = None,
        *,
        port: int = 0,
        models: Collection[str] = (),
    ) -> None:
        """`models`: the names that `GET /v1/models` lists; the collection may change meanwhile."""
        reply = script if isinstance(script, Reply) else Reply()
        self._server = _Server(script if callable(script) else lambda _: reply, port, models)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """As OpenAI clients write it."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[Received]:
        """Every completion request so far, oldest first."""
        return list(self._server.requests)

    @property
    def disconnects(self) -> int:
        """How many clients left before their answer was complete."""
        return self._server.disconnects

    def __enter__(self) -> ScriptedUpstream:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, script: Script, port: int, models: Collection[str]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.script = script
        self.models = models
        self.requests: list[Received] = []
        self.disconnects = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the script; anything else is a fault of the test."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            data = [{"id": name, "object": "model"} for name in self.server.models]
            self._send(200, json.dumps({"object": "list", "data": data}).encode())
        else:
            self._send(200, b'{"status":"ok"}')

    def do_POST(self) -> None:
        received = self._receive()
        self.server.requests.append(received)
        reply = self.server.script(received)
        time.sleep(reply.delay_seconds)
        try:
            self._reply(received, reply)
        except (BrokenPipeError, ConnectionResetError):
            self.server.disconnects += 1
            self.close_connection = True

    def _receive(self) -> Received:
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Received(path=self.path, headers=headers, body=json.loads(raw), raw=raw)

    def _reply(self, received: Received, reply: Reply) -> None:
        if reply.reset_after_pieces == 0:
            self._reset()
        elif reply.body is not None:
            self._send(reply.status, reply.body, reply.headers)
        elif reply.status >= 400:
            self._send(reply.status, _error(reply), reply.headers)
        elif received.body.get("stream"):
            self._stream(received, reply)
        else:
            self._refuse_departed()
            self._send(reply.status, _completion(received, reply), reply.headers)

    def _refuse_departed(self) -> None:
        self.connection.setblocking(False)
        try:
            if self.connection.recv(1, socket.MSG_PEEK) == b"":
                raise BrokenPipeError
        except BlockingIOError:
            pass
        finally:
            self.connection.setblocking(True)

    def _stream(self, received: Received, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(_events(received, reply)):
            if number == reply.reset_after_pieces:
                return self._reset()
            if number:
                time.sleep(reply.piece_delay_seconds)
            self._refuse_departed()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _reset(self) -> None:
        # SO_LINGER with time 0 makes close() send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the script closed the connection
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read `requests` instead."""


def _error(reply: Reply) -> bytes:
    error = {"message": reply.text, "type": "server_error", "param": None, "code": "scripted"}
    return json.dumps({"error": error}).encode()


def _completion(received: Received, reply: Reply) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.tool_calls:
        message |= {"content": None, "tool_calls": list(reply.tool_calls)}
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    if reply.logprobs:
        choice["logprobs"] = _logprobs(reply.logprobs)
    answer = _frame("chat.completion", received) | {"choices": [choice], "usage": _usage(reply)}
    return json.dumps(answer).encode()


def _events(received: Received, reply: Reply) -> list[bytes]:
    frame = _frame("chat.completion.chunk", received)
    deltas: list[dict[str, Any]] = [{"content": piece} for piece in reply.pieces or (reply.text,)]
    if reply.tool_calls:
        deltas = [{"tool_calls": [{"index": 0, **call}]} for call in reply.tool_calls]
    deltas[0] = {"role": "assistant"} | deltas[0]
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
    ]
    for choice, logprob in zip(choices, reply.logprobs, strict=False):
        choice["logprobs"] = _logprobs((logprob,))
    chunks = [frame | {"choices": [choice]} for choice in choices]
    chunks.append(frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": _finish(reply)}]})
    if (received.body.get("stream_options") or {}).get("include_usage"):
        chunks.append(frame | {"choices": [], "usage": _usage(reply)})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [
        b"data: [DONE]\n\n"
    ]


def _frame(kind: str, received: Received) -> dict[str, Any]:
    model = received.body.get("model")
    return {"id": "chatcmpl-scripted", "object": kind, "created": 1_700_000_000, "model": model}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls else "stop"


def _usage(reply: Reply) -> dict[str, int]:
    tokens = len(reply.pieces or reply.text.split())
    return {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}


def _logprobs(values: tuple[float, ...]) -> dict[str, Any]:
    return {"content": [{"token": "t", "logprob": value, "top_logprobs": []} for value in values]}
