"""Reading a request of the OpenAI API and writing the one that the model server gets.

Values that tuneloop does not need stay the bytes that the client sent: a field that this code has
never heard of, a number with forty digits, odd spacing: all of it reaches the model server as is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from tuneloop.conversation.control_tokens import neutral_json
from tuneloop.gateway.access import ANYBODY, Caller
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.routing import conversation_of
from tuneloop.registry.routes import Target

SESSION_HEADER = "x-tuneloop-session"
TAGS_HEADER = "x-tuneloop-tags"
CAPTURE_HEADER = "x-tuneloop-capture"
_MAX_TAGS_CHARACTERS = 1_000
_SYSTEM_ROLES = {"system", "developer"}
_NULL = b"null"
_ALIASES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


class Headers(Protocol):
    """What is needed of request headers; names are lower case."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a header; the default too for one that is not ASCII."""

    def __contains__(self, key: str) -> bool:
        """Whether it was sent."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One of the things that a model server can be asked for."""

    name: str
    """As captures and metrics call it."""
    path: str
    """Behind the base URL."""
    input: str
    """The field that holds what is asked."""
    sampled: bool = True
    """Whether the answer is drawn, and so has sampling settings and streams."""


CHAT = Operation(name="chat", path="/chat/completions", input="messages")
COMPLETION = Operation(name="completion", path="/completions", input="prompt")
EMBEDDING = Operation(name="embedding", path="/embeddings", input="input", sampled=False)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, read as far as routing and capture need it."""

    operation: Operation
    caller: Caller
    endpoint: str
    fields: dict[str, msgspec.Raw]
    """Every field of the request with its value as it came."""
    has_system: bool
    """Whether a system or developer message is among the messages."""
    streamed: bool
    wants_usage: bool
    """Whether a streamed answer shall end with the token counts."""
    conversation: str
    user: str | None
    tags: dict[str, str]
    opted_out: bool
    """Whether the client asked not to be captured."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Head(msgspec.Struct):
    """What every request has."""

    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    user: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = msgspec.Raw(_NULL)


class _ChatHead(_Head, kw_only=True):
    messages: list[_Message]


class _CompletionHead(_Head, kw_only=True):
    prompt: str | list[str | int | list[int]]


class _EmbeddingHead(_Head, kw_only=True):
    input: str | list[str | int | list[int]]


_heads: dict[str, msgspec.json.Decoder[Any]] = {
    CHAT.name: msgspec.json.Decoder(_ChatHead),
    COMPLETION.name: msgspec.json.Decoder(_CompletionHead),
    EMBEDDING.name: msgspec.json.Decoder(_EmbeddingHead),
}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def parse(operation: Operation, body: bytes, headers: Headers, *, caller: Caller = ANYBODY) -> Call:
    """Read a request body.

    Raises:
        ApiError: 400 saying which field is wrong and how.
    """
    try:
        body.decode()  # raw values are passed on unread, so invalid UTF-8 must stop here
        head = _heads[operation.name].decode(body)
        fields = _fields.decode(body)
    except msgspec.ValidationError as e:
        raise _invalid_field(str(e)) from e
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise ApiError(400, "invalid_json", f"The body is not valid JSON: {e}.") from e
    messages: list[_Message] = head.messages if operation is CHAT else []
    if operation is CHAT and not messages:
        raise ApiError(400, "invalid_value", "Expected at least one message.", param="messages")
    opening = _opening(messages) if operation is CHAT else [bytes(fields[operation.input])]
    return Call(
        operation=operation,
        caller=caller,
        endpoint=head.model,
        fields=fields,
        has_system=any(message.role in _SYSTEM_ROLES for message in messages),
        streamed=bool(head.stream) and operation.sampled,
        wants_usage=bool(head.stream_options and head.stream_options.include_usage),
        conversation=_conversation(headers, head.user, opening),
        user=head.user,
        tags=_tags(_header(headers, TAGS_HEADER)),
        opted_out=_header(headers, CAPTURE_HEADER).lower() == "off",
    )


def upstream_body(call: Call, target: Target, *, logprobs: bool = False) -> bytes:
    """The request for the model server: its model name, the bundle's system text and sampling.

    With `logprobs` the server is asked for those of the answer's tokens.
    """
    fields = dict(call.fields)
    fields["model"] = _raw(target.served_name)
    if not call.operation.sampled:
        return _encode(fields)
    if call.operation is CHAT and target.control_tokens:
        fields["messages"] = _neutral(fields["messages"], target.control_tokens)
    if call.operation is CHAT and target.system is not None and not call.has_system:
        fields["messages"] = _behind_system(target.system, bytes(fields["messages"]))
    for name, value in target.sampling.items():
        if _left_out(fields, name) and _left_out(fields, _ALIASES.get(name, name)):
            fields[name] = _raw(value)
    if call.streamed and not call.wants_usage:
        # The capture needs the token counts; the client is not shown the extra event.
        fields["stream_options"] = _raw(_with_usage(fields.get("stream_options")))
    if logprobs:
        # Where the second is left out, llama.cpp tells the 20 likeliest of every token.
        fields |= {"logprobs": _raw(True), "top_logprobs": _raw(1)}
    return _encode(fields)


def _neutral(messages: msgspec.Raw, tokens: tuple[str, ...]) -> msgspec.Raw:
    """The messages, in whose words nothing is the end of a turn."""
    try:
        return msgspec.Raw(neutral_json(bytes(messages), tokens))
    except RecursionError as e:
        raise ApiError(
            400, "invalid_value", "A message is nested too deeply.", param="messages"
        ) from e


def _behind_system(system: str, messages: bytes) -> msgspec.Raw:
    """The messages, which are not empty, with a system message before them."""
    first = _encode({"role": "system", "content": system})
    return msgspec.Raw(b"[" + first + b"," + messages.lstrip()[1:])


def _with_usage(options: msgspec.Raw | None) -> dict[str, Any]:
    given = msgspec.json.decode(options) if options is not None else None
    return {**(given or {}), "include_usage": True}


def _conversation(headers: Headers, user: str | None, opening: list[bytes]) -> str:
    session = _header(headers, SESSION_HEADER)
    if session:
        return conversation_of("session", session.encode("utf-8", "surrogatepass"))
    if user:
        return conversation_of("user", user.encode("utf-8", "surrogatepass"))
    return conversation_of("text", b"\0".join(opening))


def _opening(messages: list[_Message]) -> list[bytes]:
    """The texts that stay the same through a conversation: up to the first user message."""
    opening = []
    for message in messages:
        opening.append(bytes(message.content))
        if message.role == "user":
            break
    return opening


def _header(headers: Headers, name: str) -> str:
    """What one of our headers says; one that cannot be read must not count as none."""
    value: str | None = headers.get(name)
    if value is None and name in headers:
        raise ApiError(400, "invalid_header", f"Expected ASCII text in {name}.", param=name)
    return value or ""


def _tags(header: str) -> dict[str, str]:
    if not header:
        return {}
    pairs = [pair.partition("=") for pair in header[:_MAX_TAGS_CHARACTERS].split(",")]
    if len(header) > _MAX_TAGS_CHARACTERS or not all(
        name.strip() and equals for name, equals, _ in pairs
    ):
        raise ApiError(
            400,
            "invalid_header",
            f"Expected {TAGS_HEADER} as `name=value,name=value` of at most "
            f"{_MAX_TAGS_CHARACTERS} characters.",
            param=TAGS_HEADER,
        )
    return {name.strip(): value.strip() for name, _, value in pairs}


def _left_out(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    return name not in fields or bytes(fields[name]) == _NULL


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


def _invalid_field(problem: str) -> ApiError:
    """From msgspec's "Expected `str`, got `int` - at `$.model`"."""
    what, _, where = problem.partition(" - at ")
    path = where.strip("`").removeprefix("$").removeprefix(".")
    if not path and "missing required field" in what:
        path = what.rsplit("`", 2)[1]
    return ApiError(
        400,
        "invalid_value",
        f"{what}{f' in {path}' if path else ''}.",
        param=path or None,
    )
