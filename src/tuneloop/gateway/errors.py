"""Errors in the format of the OpenAI API."""

from __future__ import annotations

from typing import Any

import msgspec


class ApiError(Exception):
    """A request that gets an error instead of an answer; carries what the client is told."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        unread: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status."""
        self.code = code
        """Machine-readable reason; also the label in metrics and captures."""
        self.message = message
        self.kind = kind
        self.param = param
        self.headers = headers
        """More headers of the answer."""
        self.unread = unread
        """Refused before the request's body was read."""

    def body(self) -> bytes:
        """`{"error": {...}}` as OpenAI writes it."""
        return error_body(self.message, kind=self.kind, param=self.param, code=self.code)


def error_body(message: str, *, kind: str, param: str | None, code: str) -> bytes:
    """The JSON that every OpenAI client turns into its own exception."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return msgspec.json.encode({"error": error})


class _Envelope(msgspec.Struct):
    error: dict[str, Any] | str


_envelope = msgspec.json.Decoder(_Envelope)


def in_openai_form(body: bytes) -> bytes | None:
    """A model server's error, made whole; None where it is none.

    llama.cpp leaves `param` out and numbers its codes, Ollama sends a text alone.
    """
    try:
        reported = _envelope.decode(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    error = {"message": reported} if isinstance(reported, str) else reported
    code = error.get("code")
    whole = {"message": "", "type": "upstream_error", "param": None, **error}
    whole["code"] = None if code is None else str(code)
    return msgspec.json.encode({"error": whole})


CONTEXT_EXCEEDED = "context_length_exceeded"
"""OpenAI's own code, by which clients know that shortening the request helps."""
_OF_THE_REQUEST = (400, 413, 422)
"""Statuses with which servers refuse what they are asked."""
_SAY_IT_OTHERWISE = ("maximum context length", "context window", "context length exceeded")
"""How servers that name no code of OpenAI's put it: vLLM, SGLang, LM Studio."""


def beyond_context(status: int, body: bytes, *, param: str) -> ApiError | None:
    """A model server's refusal of a request that is longer than its window, as OpenAI says it; None
    where it says something else.

    `param` is the field of the request that holds the texts.
    """
    if status not in _OF_THE_REQUEST:
        return None
    try:
        reported = _envelope.decode(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    error = {"message": reported} if isinstance(reported, str) else reported
    said = str(error.get("message") or "")
    if error.get("type") == "exceed_context_size_error":  # llama.cpp
        said = (
            f"This model's maximum context length is {error.get('n_ctx')} tokens. However, your "
            f"{param} resulted in {error.get('n_prompt_tokens')} tokens. Please reduce the length "
            f"of the {param}."
        )
    elif error.get("code") != CONTEXT_EXCEEDED and not any(
        words in said.lower() for words in _SAY_IT_OTHERWISE
    ):
        return None
    return ApiError(400, CONTEXT_EXCEEDED, said, param=param)


class UpstreamError(ApiError):
    """The model server failed, not the request."""

    def __init__(self, status: int, code: str, message: str, *, elsewhere: bool = True) -> None:
        super().__init__(status, code, message, kind="upstream_error")
        self.elsewhere = elsewhere
        """Whether another server may be asked instead: not after the client's time is used up."""
