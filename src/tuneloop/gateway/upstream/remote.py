"""Model servers elsewhere, through pyreqwest: TLS, HTTP/2 and the proxy of the environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import RequestError, RequestTimeoutError

from tuneloop.gateway.errors import UpstreamError
from tuneloop.gateway.upstream.messages import (
    Answer,
    Request,
    api_key,
    is_events,
    timed_out,
    unavailable,
    went_away,
)

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.request import RequestBuilder, StreamRequest
    from pyreqwest.response import Response


class RemoteClient:
    """A `Client`; it starts its threads with the first request.

    One that is cancelled before the head of its answer has come keeps its connection until then:
    pyreqwest cannot call it back. The server learns nothing of a client that left so early.
    """

    def __init__(self, *, connect_timeout_seconds: float, silence_timeout_seconds: float) -> None:
        self._connect_timeout = timedelta(seconds=connect_timeout_seconds)
        self._silence_timeout = timedelta(seconds=silence_timeout_seconds)
        self._started: Client | None = None

    async def ask(self, request: Request) -> Answer:
        """As `Client.ask`."""
        with _failures():
            async with self._build(request).build_streamed() as response:
                return await _whole(response)

    def stream(self, request: Request) -> RemoteStream:
        """As `Client.stream`."""
        # Without a limit of 0 the client gathers 64 KiB before it shows the first byte.
        return RemoteStream(self._build(request).streamed_read_buffer_limit(0).build_streamed())

    async def close(self) -> None:
        """Close all connections."""
        if self._started is not None:
            await self._started.close()

    def _build(self, request: Request) -> RequestBuilder:
        target = request.target
        building = self._client().post(target.base_url.rstrip("/") + request.path)
        building = building.header("content-type", "application/json").body_bytes(request.body)
        building = building.timeout(_seconds(request.total_seconds))
        if target.api_key_env is not None:
            building = building.bearer_auth(api_key(target.api_key_env))
        return building

    def _client(self) -> Client:
        if self._started is None:
            # Answers are asked for uncompressed: they are read here and passed on as they come.
            self._started = (
                ClientBuilder()
                .connect_timeout(self._connect_timeout)
                .read_timeout(self._silence_timeout)
                .follow_redirects(False)
                .gzip(False)
                .brotli(False)
                .zstd(False)
                .deflate(False)
                .build()
            )
        return self._started


class RemoteStream:
    """An `EventStream`."""

    def __init__(self, sent: StreamRequest) -> None:
        self._sent = sent

    async def __aenter__(self) -> Self:
        with _failures():
            self._response = await self._sent.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._sent.__aexit__(None, None, None)

    async def refusal(self) -> Answer | None:
        """As `EventStream.refusal`."""
        if is_events(self._response.status, self._response.get_header("content-type") or ""):
            return None
        with _failures():
            return await _whole(self._response)

    async def read(self) -> bytes | None:
        """As `EventStream.read`."""
        with _failures():
            chunk = await self._response.body_reader.read_chunk()
        return None if chunk is None else bytes(chunk)


async def _whole(response: Response) -> Answer:
    return Answer(
        status=response.status,
        body=bytes(await response.bytes()),
        retry_after=response.get_header("retry-after"),
    )


@lru_cache(maxsize=64)
def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except RequestError as e:
        raise _explained(e) from e


def _explained(error: RequestError) -> UpstreamError:
    if _never_connected(error):
        return unavailable()
    return timed_out() if isinstance(error, RequestTimeoutError) else went_away()


def _never_connected(error: RequestError) -> bool:
    # pyreqwest's exception types do not tell: a reset after the request was sent is a ConnectError
    # there, and a slow answer a ConnectTimeoutError. The cause that hyper names does.
    causes = error.details["causes"] or []
    return any(cause["message"] == "client error (Connect)" for cause in causes)
