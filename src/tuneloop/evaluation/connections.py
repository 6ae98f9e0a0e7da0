"""Connections to a model server that stay open from one request to the next."""

from __future__ import annotations

import http.client
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import SplitResult


class Connections:
    """As many connections to one server as there are requests at a time; for many threads.

    They are closed when nobody holds this object any more.
    """

    def __init__(self, server: SplitResult, *, timeout_seconds: float) -> None:
        """`server`: its URL; the time is that of a silence, not of a whole answer."""
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._idle: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close_all, self._idle)

    @contextmanager
    def posted(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to a POST, to be read in the block.

        Left before its end, the connection is closed, which tells the server to stop.

        Raises:
            OSError, http.client.HTTPException: nothing, or no HTTP, came back.
        """
        connection, response = self._post(path, body, headers)
        try:
            yield response
            whole = response.isclosed() and not response.will_close
        except BaseException:
            connection.close()
            response.close()
            raise
        if whole:
            self._idle.append(connection)
        else:
            connection.close()
            response.close()

    def _post(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        try:
            kept = self._idle.pop()
        except IndexError:
            return _answered(self._new(), path, body, headers)
        try:
            return _answered(kept, path, body, headers)
        except ConnectionError:
            # The server closed it meanwhile, before anything came back: nobody has answered.
            return _answered(self._new(), path, body, headers)

    def _new(self) -> http.client.HTTPConnection:
        secure = self._server.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        host = self._server.hostname or ""
        return kind(host, self._server.port, timeout=self._timeout_seconds)


def _answered(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    try:
        connection.request("POST", path, body=body, headers=dict(headers))
        return connection, connection.getresponse()
    except BaseException:
        connection.close()
        raise


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()
