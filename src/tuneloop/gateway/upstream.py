"""Talking to model servers; whatever goes wrong there becomes an OpenAI-style error here."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import RequestError, RequestTimeoutError

from tuneloop.gateway.errors import UpstreamError
from tuneloop.registry.routes import Target

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.request import RequestBuilder
    from pyreqwest.response import Response

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a model server is asked."""

    target: Target
    path: str
    """Behind the target's base URL."""
    body: bytes
    total_seconds: float
    """From now to the end of the answer."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer of a model server."""

    status: int
    body: bytes
    retry_after: str | None = None


class EventStream:
    """A streamed answer whose head has come."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def refusal(self) -> Answer | None:
        """The whole answer where the server sent an error or something else than events."""
        content_type = self._response.get_header("content-type") or ""
        if self._response.status == 200 and content_type.startswith("text/event-stream"):
            return None
        with _failures():
            return await _whole(self._response)

    async def read(self) -> bytes | None:
        """The next piece as it arrives; None at the end.

        Raises:
            UpstreamError: the server went away or fell silent.
        """
        with _failures():
            chunk = await self._response.body_reader.read_chunk()
        return None if chunk is None else bytes(chunk)


class Upstream:
    """Connections to all model servers, kept open between requests."""

    def __init__(
        self, *, connect_timeout_seconds: float = 5.0, silence_timeout_seconds: float = 300.0
    ) -> None:
        self._connect_timeout = timedelta(seconds=connect_timeout_seconds)
        self._silence_timeout = timedelta(seconds=silence_timeout_seconds)
        self._local = self._builder().no_proxy().build()
        self._remote: Client | None = None

    async def ask(self, request: Request) -> Answer:
        """Wait for the whole answer, whatever its status; cancelling tells the server so.

        Raises:
            UpstreamError: 502, 503 or 504 where no answer came.
        """
        # Written out: context managers made of generators cost a fifth of a whole request.
        sent = self._build(request).build_streamed()
        try:
            response = await sent.__aenter__()
            try:
                return await _whole(response)
            finally:
                await sent.__aexit__(None, None, None)
        except RequestError as e:
            raise _explained(e) from e

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[EventStream]:
        """Read an answer as it comes; leaving the context cancels what has not come yet.

        Raises:
            UpstreamError: 502, 503 or 504 where no answer came.
        """
        # Without a limit of 0 the client gathers 64 KiB before it shows the first byte.
        building = self._build(request).streamed_read_buffer_limit(0)
        sent = building.build_streamed()
        with _failures():
            response = await sent.__aenter__()
        try:
            yield EventStream(response)
        finally:
            await sent.__aexit__(None, None, None)

    async def close(self) -> None:
        """Close all connections."""
        await self._local.close()
        if self._remote is not None:
            await self._remote.close()

    def _build(self, request: Request) -> RequestBuilder:
        target = request.target
        building = self._client(target).post(target.base_url.rstrip("/") + request.path)
        building = building.header("content-type", "application/json").body_bytes(request.body)
        building = building.timeout(_seconds(request.total_seconds))
        if target.api_key_env is not None:
            building = building.bearer_auth(_key(target.api_key_env))
        return building

    def _builder(self) -> ClientBuilder:
        # Answers are asked for uncompressed: they are read here and passed on as they come.
        return (
            ClientBuilder()
            .connect_timeout(self._connect_timeout)
            .read_timeout(self._silence_timeout)
            .follow_redirects(False)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
        )

    def _client(self, target: Target) -> Client:
        """The proxy of the environment is for servers elsewhere, never for this machine."""
        if urlsplit(target.base_url).hostname in _LOOPBACK:
            return self._local
        if self._remote is None:
            self._remote = self._builder().build()
        return self._remote


async def _whole(response: Response) -> Answer:
    return Answer(
        status=response.status,
        body=bytes(await response.bytes()),
        retry_after=response.get_header("retry-after"),
    )


@lru_cache(maxsize=64)
def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def _key(variable: str) -> str:
    try:
        return os.environ[variable]
    except KeyError:
        raise UpstreamError(
            502,
            "upstream_key_missing",
            f"The gateway's environment has no {variable}, which holds the model server's key.",
        ) from None


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except RequestError as e:
        raise _explained(e) from e


def _explained(error: RequestError) -> UpstreamError:
    if _never_connected(error):
        return UpstreamError(
            503, "upstream_unavailable", "The model server does not accept connections."
        )
    if isinstance(error, RequestTimeoutError):
        return UpstreamError(
            504,
            "upstream_timeout",
            "The model server did not answer in time.",
            elsewhere=False,
        )
    return UpstreamError(
        502, "upstream_reset", "The model server went away before its answer was complete."
    )


def _never_connected(error: RequestError) -> bool:
    # pyreqwest's exception types do not tell: a reset after the request was sent is a ConnectError
    # there, and a slow answer a ConnectTimeoutError. The cause that hyper names does.
    causes = error.details["causes"] or []
    return any(cause["message"] == "client error (Connect)" for cause in causes)
