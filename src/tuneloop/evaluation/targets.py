"""What can be asked: a served model behind an OpenAI-compatible URL, or anything alike."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from tuneloop.conversation import ToolCall, calls_text
from tuneloop.conversation.thoughts import split_thought
from tuneloop.errors import EvaluationError
from tuneloop.evaluation.connections import Connections
from tuneloop.evaluation.streamed import AS_STREAM, LOOP, completion_in
from tuneloop.evaluation.suites import Case, Messages, Tools
from tuneloop.gateway.errors import CONTEXT_EXCEEDED, beyond_context

TOO_LONG = CONTEXT_EXCEEDED
"""Reason code of a prompt for which the model's window has no room."""
_RETRY_STATUS = (429, 502, 503, 504)
_ERROR_TEXT_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How answers are drawn; the same in the evaluation as in production."""

    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float | None = None
    seed: int | None = None
    response_format: Mapping[str, Any] | None = None
    """What the server may write at all, e.g. a JSON Schema"""

    def without_form(self) -> Sampling:
        """The same where anything may be written."""
        return replace(self, response_format=None)

    def as_request(self) -> dict[str, Any]:
        """The fields of a chat request; what is None is left to the server."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for one prompt; `error` is set where nothing did."""

    text: str = ""
    latency_ms: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = ""
    """stop, length (cut off at max_tokens), loop (ended by us where it had begun to loop) or what
    the server said"""
    model: str = ""
    """the model that the server says it is"""
    error: str | None = None
    """reason code and message, e.g. `http_500: …`"""
    beside: bool = False
    """another server was at work at the same time: the latency is that of such a machine"""
    thought: str = ""
    """what the model thought before it said `text`"""

    @property
    def loops(self) -> bool:
        """Ended where it had begun to loop: served, it would go on, mostly to the token limit."""
        return self.finish_reason == LOOP

    @property
    def is_cut_off(self) -> bool:
        """Ended before its end: at the token limit, or on the way there in a loop."""
        return self.finish_reason == "length" or self.loops


class ChatTarget(Protocol):
    """Something that answers chats."""

    @property
    def identity(self) -> str:
        """What answers, equal in every run of the same weights: a bundle or artifact digest."""

    @property
    def sampling(self) -> Sampling:
        """How it draws its answers."""

    def complete(self, messages: Messages, tools: Tools = ()) -> Answer:
        """Answer one prompt; failures come back in `Answer.error`, never as an exception.

        `tools` are handed over where there are some only.
        """


@runtime_checkable
class BatchTarget(ChatTarget, Protocol):
    """A target that is faster when it sees all prompts at once."""

    def complete_many(
        self, prompts: Sequence[Messages], tools: Sequence[Tools] = ()
    ) -> Iterator[tuple[int, Answer]]:
        """(index, answer) in any order, as they are finished; `tools` are those of each prompt."""


@runtime_checkable
class FormedTarget(ChatTarget, Protocol):
    """A target that may be kept to a form, and can be asked without it."""

    def without_form(self) -> ChatTarget:
        """The same, which may say anything."""


def asked(target: ChatTarget, case: Case) -> Answer:
    """The answer to a case."""
    return (
        target.complete(case.messages, case.tools) if case.tools else target.complete(case.messages)
    )


@dataclass(kw_only=True)
class OpenAITarget:
    """Any OpenAI-compatible chat endpoint, asked as a client program asks it.

    Retries what a client library would (429, 502, 503, 504 and refused connections), with a
    growing pause; the latency is that of the attempt that was answered.
    """

    base_url: str
    """up to and with `/v1`"""
    model: str
    identity: str
    sampling: Sampling = field(default_factory=Sampling)
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 120.0
    """longest silence; of an answer that comes all at once the longest wait for it"""
    total_seconds: float = 600.0
    """longest wait for the whole of an answer that is read as it comes, which in production is
    `endpoint.total_seconds`"""
    retries: int = 2
    retry_pause_seconds: float = 0.25
    request_fields: Mapping[str, Any] = field(default_factory=dict)
    """more fields of every request, e.g. `{"cache_prompt": False}`"""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_loops: bool = False
    """answers without tools are read as they come, and ended where they loop"""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EvaluationError(
                f"Expected a base URL such as http://127.0.0.1:8400/v1, got {self.base_url!r}."
            )
        self._path = parts.path.rstrip("/") + "/chat/completions"
        self._connections = Connections(parts, timeout_seconds=self.timeout_seconds)

    def without_form(self) -> OpenAITarget:
        """The same, which may say anything."""
        return replace(self, sampling=self.sampling.without_form())

    def complete(self, messages: Messages, tools: Tools = ()) -> Answer:
        """Answer one prompt; safe to call from many threads."""
        body = json.dumps(
            {
                "model": self.model,
                "messages": [dict(message) for message in messages],
                **({"tools": [dict(tool) for tool in tools]} if tools else {}),
                **(AS_STREAM if self.cut_loops and not tools else {}),
                **self.sampling.as_request(),
                **self.request_fields,
            }
        ).encode()
        answer = Answer(error="not_asked")
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.retry_pause_seconds * 2 ** (attempt - 1))
            answer, again = self._ask(body)
            if not again:
                break
        return answer

    def _ask(self, body: bytes) -> tuple[Answer, bool]:
        """One attempt; the flag tells whether another may help."""
        started = time.perf_counter()
        try:
            status, answer = self._post(body)
        except _TooSlowError:
            return Answer(error=f"timeout: no whole answer in {self.total_seconds:g} s"), False
        except TimeoutError:
            return Answer(error=f"timeout: no answer in {self.timeout_seconds:g} s"), False
        except (OSError, http.client.HTTPException) as e:
            return Answer(error=f"connection: {type(e).__name__}: {e}"), True
        latency_ms = (time.perf_counter() - started) * 1_000
        if answer.error is None:
            answer = replace(answer, latency_ms=latency_ms)
        return answer, status in _RETRY_STATUS

    def _post(self, body: bytes) -> tuple[int, Answer]:
        headers = {"Content-Type": "application/json", **self.headers}
        until = time.perf_counter() + self.total_seconds
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        with self._connections.posted(self._path, body, headers) as response:
            status = response.status
            if status != 200:
                return status, Answer(error=_refused(status, response.read()))
            if _is_stream(response):
                return status, _streamed(response, until=until)
            return status, _answer(response.read())


def _refused(status: int, payload: bytes) -> str:
    """Reason code and message."""
    too_long = beyond_context(status, payload, param="messages")
    if too_long is not None:
        return f"{TOO_LONG}: {too_long.message}"
    return f"http_{status}: {_message(payload)}"


def _is_stream(response: http.client.HTTPResponse) -> bool:
    return (response.getheader("Content-Type") or "").startswith("text/event-stream")


class _TooSlowError(TimeoutError):
    """A stream that goes on and on."""


def _streamed(response: http.client.HTTPResponse, *, until: float) -> Answer:
    """What a stream says; read to its end unless it loops, so that the connection can be kept.

    Raises:
        _TooSlowError: something still comes after `until`, a time of `time.perf_counter`.
    """
    heard: list[bytes] = []

    def lines() -> Iterator[bytes]:
        for line in response:
            if time.perf_counter() > until:
                raise _TooSlowError
            heard[:] = [line] if line.strip() else heard
            yield line

    try:
        return _answer_in(completion_in(lines()))
    except _ODD as e:
        return Answer(error=f"bad_response: {type(e).__name__}: {_message(b''.join(heard))}")


_ODD = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(OverflowError, RecursionError),  # as of 1e999 tokens, or of lists in lists without end
)
"""What reading an answer that is none can raise."""


def _answer(payload: bytes) -> Answer:
    try:
        return _answer_in(json.loads(payload))
    except _ODD as e:
        return Answer(error=f"bad_response: {type(e).__name__}: {_message(payload)}")


def _answer_in(body: Mapping[str, Any]) -> Answer:
    choice = body["choices"][0]
    thought, text = said_in(choice["message"])
    usage = body.get("usage") or {}
    return Answer(
        text=text,
        thought=thought,
        prompt_tokens=int(usage.get("prompt_tokens", 0)),
        completion_tokens=int(usage.get("completion_tokens", 0)),
        finish_reason=str(choice.get("finish_reason") or ""),
        model=str(body.get("model") or ""),
    )


def said_in(message: Mapping[str, Any]) -> tuple[str, str]:
    """The thought and the answer of an assistant's message as OpenAI's API gives it."""
    thought, text = split_thought(str(message.get("content") or ""))
    calls = [
        ToolCall(name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    said = calls_text(calls, text) if calls else text
    return str(message.get("reasoning_content") or thought), said


def _message(payload: bytes) -> str:
    """The server's own words, cut to a readable length."""
    text = payload.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        text = str(error["message"]) if isinstance(error, dict) else str(error)
    except _ODD:
        pass
    return " ".join(text.split())[:_ERROR_TEXT_CHARACTERS]
