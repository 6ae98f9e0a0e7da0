"""Reading what the model server answers, whole or streamed, while it passes to the client.

The endpoint's name takes the place of the server's model name, and log-probabilities that the
gateway asked for itself are taken out. Everything else stays as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from tuneloop.gateway.errors import UpstreamError

Hiding = Callable[[bytes], bytes]
"""The `choices` of an answer, or of an event, as JSON → the same without log-probabilities."""

_DONE = b"[DONE]"
_MAX_LINE_BYTES = 16 << 20


class Facts:
    """What the capture wants to know of an answer, filled as it comes."""

    __slots__ = (
        "_logprob_count",
        "_logprob_sum",
        "_text",
        "_tool_calls",
        "completion_tokens",
        "finish_reason",
        "has_output",
        "null_logprobs",
        "prompt_tokens",
    )

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.has_output = False
        """Whether the first token has come."""
        self.null_logprobs = False
        """Whether a choice said null for its log-probabilities, and did not leave them out."""
        self._text: list[str] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._logprob_sum = 0.0
        self._logprob_count = 0

    @property
    def text(self) -> str:
        """The first choice's text."""
        return "".join(self._text)

    @property
    def tool_calls(self) -> str | None:
        """JSON text."""
        if not self._tool_calls:
            return None
        calls = [self._tool_calls[index] for index in sorted(self._tool_calls)]
        return msgspec.json.encode(calls).decode()

    @property
    def mean_logprob(self) -> float | None:
        """Over the tokens for which the answer has one."""
        return self._logprob_sum / self._logprob_count if self._logprob_count else None

    def add(self, chunk: _Chunk) -> None:
        """Take in a whole answer or one event of a stream."""
        if chunk.usage is not None:
            self.prompt_tokens = chunk.usage.prompt_tokens
            self.completion_tokens = chunk.usage.completion_tokens
        for choice in chunk.choices:
            if choice.index == 0:
                self._add_choice(choice)

    def _add_choice(self, choice: _Choice) -> None:
        if choice.text:
            self._text.append(choice.text)
            self.has_output = True
        part = choice.message or choice.delta
        if part is not None and part.content:
            self._text.append(part.content)
            self.has_output = True
        if part is not None and part.tool_calls:
            self.has_output = True
            for position, call in enumerate(part.tool_calls):
                self._add_tool_call(call.pop("index", position), call)
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        if choice.logprobs is None:
            self.null_logprobs = True
        elif choice.logprobs is not msgspec.UNSET:
            tokens = choice.logprobs.token_logprobs or ()
            values = [token.logprob for token in choice.logprobs.content or ()]
            values += [value for value in tokens if value is not None]
            self._logprob_sum += sum(values)
            self._logprob_count += len(values)

    def _add_tool_call(self, index: int, part: dict[str, Any]) -> None:
        """The first part of a call names it; later ones continue its arguments."""
        known = self._tool_calls.setdefault(index, {})
        function = {**known.get("function", {})}
        for name, value in (part.pop("function", None) or {}).items():
            continues = name == "arguments" and isinstance(value, str)
            function[name] = function.get(name, "") + value if continues else value
        known.update(part, function=function)


class _Part(msgspec.Struct):
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _Logprob(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Logprob] | None = None
    token_logprobs: list[float | None] | None = None
    """Of the completions API; the first token of a text has none."""


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Part | None = None
    delta: _Part | None = None
    text: str | None = None
    """Of the completions API."""
    finish_reason: str | None = None
    logprobs: _Logprobs | msgspec.UnsetType | None = msgspec.UNSET


_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]  # what the traffic table holds


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class _Embeddings(msgspec.Struct):
    data: list[msgspec.Raw]
    usage: _Usage | None = None


_chunks = msgspec.json.Decoder(_Chunk)
_embeddings = msgspec.json.Decoder(_Embeddings)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_completion(
    body: bytes, endpoint: str, facts: Facts, *, hide: Hiding | None = None
) -> bytes:
    """The answer for the client; `facts` takes in what it says, also what `hide` takes out.

    Raises:
        UpstreamError: 502 when the body is no completion.
    """
    try:
        completion = _chunks.decode(body)
        renamed = _renamed(body, endpoint, hide)
    except _UNREADABLE as e:
        raise _garbage("The model server's answer is no completion", e) from e
    facts.add(completion)
    return renamed


def read_embeddings(body: bytes, endpoint: str, facts: Facts) -> bytes:
    """The embeddings for the client; they are not kept.

    Raises:
        UpstreamError: 502 when the body holds no embeddings.
    """
    try:
        answer = _embeddings.decode(body)
        facts.prompt_tokens = answer.usage.prompt_tokens if answer.usage else None
        return _renamed(body, endpoint)
    except _UNREADABLE as e:
        raise _garbage("The model server's answer holds no embeddings", e) from e


class EventReader:
    """Passes server-sent events on, whole lines at a time, and reads them on the side."""

    def __init__(
        self, endpoint: str, facts: Facts, *, show_usage: bool, hide: Hiding | None = None
    ) -> None:
        self.done = False
        """Whether the closing event has come; it is held back for `CLOSING`."""
        self._endpoint = endpoint
        self._facts = facts
        self._show_usage = show_usage
        self._hide = hide
        self._begun: list[bytes] = []
        """Pieces of a line whose end has not come."""
        self._skip_blank = False

    def feed(self, data: bytes) -> bytes:
        """What can go to the client now.

        Raises:
            UpstreamError: 502 when an event is not a chat completion chunk.
        """
        self._begun.append(data)
        if b"\n" not in data:
            if sum(map(len, self._begun)) > _MAX_LINE_BYTES:
                raise UpstreamError(502, "upstream_garbage", "An event of the stream never ends.")
            return b""
        *lines, rest = b"".join(self._begun).split(b"\n")
        self._begun = [rest]
        return b"".join([self._line(line) for line in lines if not self.done])

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:"):
            if self._skip_blank and not line.strip():
                self._skip_blank = False
                return b""
            return line + b"\n"
        payload = line[5:].strip()
        if payload == _DONE:
            self.done = True
            return b""
        return self._event(payload)

    def _event(self, payload: bytes) -> bytes:
        try:
            chunk = _chunks.decode(payload)
            renamed = _renamed(payload, self._endpoint, self._hide)
        except _UNREADABLE as e:
            raise _garbage("An event of the stream is no completion chunk", e) from e
        self._facts.add(chunk)
        if chunk.usage is not None and not chunk.choices and not self._show_usage:
            self._skip_blank = True
            return b""
        return b"data: " + renamed + b"\n"


CLOSING = b"data: [DONE]\n\n"


def _renamed(body: bytes, endpoint: str, hide: Hiding | None = None) -> bytes:
    fields = _fields.decode(body)
    fields["model"] = msgspec.Raw(_encode(endpoint))
    if hide is not None:
        fields["choices"] = msgspec.Raw(hide(bytes(fields["choices"])))
    return _encode(fields)


def _garbage(what: str, error: Exception) -> UpstreamError:
    return UpstreamError(502, "upstream_garbage", f"{what}: {error}.")
