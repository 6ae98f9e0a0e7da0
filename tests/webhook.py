"""A web hook on the loopback: takes the JSON messages that Apprise sends, or refuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Takes JSON messages; `status` is what it answers, once `answers` is set."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.arrived = threading.Event()
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()


@contextmanager
def running(server: Server, port: int = 0) -> Iterator[int]:
    """Serve on a port of the loopback; yields it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["content-length"]))
            server.taken.append(json.loads(text) | {"path": self.path})
            server.arrived.set()
            server.answers.wait(20)
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            # A client that was killed is part of these tests.
            with suppress(ConnectionError):
                super().handle()

    http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield http.server_port
    finally:
        server.answers.set()
        http.shutdown()
        http.server_close()
        thread.join()
