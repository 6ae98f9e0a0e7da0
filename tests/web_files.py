"""A web server on loopback that gives out files from memory, with ETags, and counts the asking."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class WebFiles:
    """What is given out: path → bytes; changed by a test at any time."""

    files: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    """Where it is set, only a request with `?token=` gets anything."""
    asked: list[str] = field(default_factory=list)
    """Paths of the files that were given out whole."""
    url: str = ""


@contextmanager
def serving(web: WebFiles) -> Iterator[WebFiles]:
    """The files on a port of their own, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            address = urlsplit(self.path)
            content = web.files.get(address.path)
            links = [path for path in web.files if path.startswith(address.path)]
            if web.token and parse_qs(address.query).get("token") != [web.token]:
                self._send(403, b"", {})
            elif content is not None:
                if body:
                    web.asked.append(address.path)
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                self._send(200, content if body else b"", {"ETag": etag}, length=len(content))
            elif address.path.endswith("/") and links:
                page = "".join(f'<a href="{path}">{path}</a>' for path in links).encode()
                self._send(200, page, {"Content-Type": "text/html"})
            else:
                self._send(404, b"", {})

        def _send(
            self, status: int, body: bytes, headers: dict[str, str], length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
