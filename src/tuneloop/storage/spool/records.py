"""The records of the traffic: interactions, a candidate's answers to copies, and feedback."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

CLIENT_LEFT = 499
"""The status that captures and metrics show when the client left first (nginx's number)."""


class Interaction(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="interaction"):
    """One request that was routed to a bundle, with what came back."""

    id: str
    """32 hex digits that sort by time (`new_id`)."""
    time: str
    """When the request arrived, UTC, ISO 8601 with milliseconds."""
    endpoint: str
    bundle: str
    """What answered."""
    failover_from: str | None = None
    """The bundle that should have answered and could not."""
    operation: str = "chat"
    """chat, completion or embedding."""
    owner: str = ""
    """Of the API key that it came with."""
    status: int
    """The HTTP status that the client got; `CLIENT_LEFT` before the answer was complete."""
    error: str | None = None
    """Reason code of a failure."""
    streamed: bool = False
    messages: str
    """The request's messages as JSON text, as the client sent them."""
    request: str
    """The other request fields as JSON text."""
    response: str = ""
    """The assistant's text, as far as it came."""
    finish_reason: str | None = None
    tool_calls: str | None = None
    """JSON text."""
    latency_ms: float
    """From the arrival of the request to the end of the answer."""
    first_token_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    mean_logprob: float | None = None
    """Mean natural-log probability of the answer's tokens, where the answer brought them."""
    conversation: str
    """Hash of the routing key: the same for every request of a conversation."""
    user: str | None = None
    tags: dict[str, str] = {}


class Shadow(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="shadow"):
    """What a candidate answered to the copy of a request; no client saw it."""

    id: str
    time: str
    interaction: str
    """The one that it is a copy of."""
    endpoint: str
    bundle: str
    """The candidate."""
    status: int
    """The HTTP status that a client would have got."""
    error: str | None = None
    response: str = ""
    finish_reason: str | None = None
    tool_calls: str | None = None
    """JSON text."""
    latency_ms: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    mean_logprob: float | None = None
    conversation: str


class Feedback(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="feedback"):
    """What came back about an interaction."""

    id: str
    time: str
    interaction: str
    endpoint: str | None = None
    """As the sender named it; the interaction knows for certain."""
    kind: str
    """edit, rating, escalation, label, or metric:NAME."""
    value: str
    """JSON text."""
    user: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="account"):
    """What a gateway process counted since its last account; no request's content."""

    id: str
    time: str
    """When it was written."""
    process: str
    """Its name among the gateways on the port."""
    served: dict[str, int] = {}
    """Endpoint → requests that were routed, captured or not."""
    refused: dict[str, int] = {}
    """Reason code → requests that were refused before they were routed to an endpoint."""
    stopped: bool = False
    """Whether the process ended with this because somebody wanted it to."""


Record = Interaction | Shadow | Feedback | Account

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """One line, with its line end."""
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record | None:
    """The record in one line, or None when it is none."""
    try:
        record: Record = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return record


def new_id(time_ns: int) -> str:
    """32 hex digits: milliseconds since 1970 (48 bits), then 80 random bits; sorts by time."""
    return f"{time_ns // 1_000_000:012x}{os.urandom(10).hex()}"


def iso_time(time_ns: int) -> str:
    """UTC, ISO 8601 with milliseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{_whole_second(seconds)}.{rest // 1_000_000:03d}Z"


@lru_cache(maxsize=8)
def _whole_second(seconds: int) -> str:
    # Formatting costs more than anything else in a record, and many records share their second.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
