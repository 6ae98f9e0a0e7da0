"""What passes between the gateway and a model server, whichever client carries it."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Protocol, Self

import msgspec

from tuneloop.foreign_text import fits_header
from tuneloop.gateway.errors import UpstreamError
from tuneloop.registry.routes import Target


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


class EventStream(Protocol):
    """A streamed answer: its head has come when the context is entered, leaving it ends it."""

    async def __aenter__(self) -> Self:
        """Ask, and wait for the head.

        Raises:
            UpstreamError: 502, 503 or 504 where no answer came.
        """

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cancel what has not come yet."""

    async def refusal(self) -> Answer | None:
        """The whole answer where the server sent an error or something else than events."""

    async def read(self) -> bytes | None:
        """The next piece as it arrives; None at the end.

        Raises:
            UpstreamError: the server went away or fell silent.
        """


class Client(Protocol):
    """Asks model servers over connections that it keeps."""

    async def ask(self, request: Request) -> Answer:
        """Wait for the whole answer, whatever its status.

        Raises:
            UpstreamError: 502, 503 or 504 where no answer came.
        """

    def stream(self, request: Request) -> EventStream:
        """An answer that is read as it comes."""

    async def close(self) -> None:
        """Close all connections."""


def is_events(status: int, content_type: str) -> bool:
    """Whether the head of an answer announces server-sent events."""
    return status == 200 and content_type.startswith("text/event-stream")


def api_key(variable: str) -> str:
    """The model server's key from the gateway's environment.

    Raises:
        UpstreamError: it is not there, or cannot stand in a header.
    """
    key = os.environ.get(variable)
    if key and fits_header(key):
        return key
    problem = "holds a key that cannot be sent" if key else "is missing"
    raise UpstreamError(
        502,
        "upstream_key_missing",
        f"{variable} in the gateway's environment, for the model server's key, {problem}.",
    )


def unavailable() -> UpstreamError:
    """Nobody accepted a connection."""
    return UpstreamError(
        503, "upstream_unavailable", "The model server does not accept connections."
    )


def timed_out() -> UpstreamError:
    """The time is used up."""
    return UpstreamError(
        504, "upstream_timeout", "The model server did not answer in time.", elsewhere=False
    )


def too_large() -> UpstreamError:
    """Nobody asked for so much."""
    return UpstreamError(
        502, "upstream_garbage", "The model server's answer is larger than any that is read whole."
    )


def went_away() -> UpstreamError:
    """The connection ended too early, or what came over it is no HTTP."""
    return UpstreamError(
        502, "upstream_reset", "The model server went away before its answer was complete."
    )
