"""What the canned upstream answers: one small chat completion, or one stream of tokens."""

from __future__ import annotations

import json

MODEL = "canned"
TEXT = "The parcel left the depot this morning and should be with you by Thursday."
TOKEN = " quack"
"""Begins each token of a stream. Proxies write events anew; this text survives in all of them."""
TOKENS = tuple(f"{TOKEN}{number}" for number in range(10))
"""In turns: LiteLLM ends a stream that says the same again and again."""

COMPLETION = json.dumps(
    {
        "id": "chatcmpl-canned",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 19, "completion_tokens": 16, "total_tokens": 35},
    },
    separators=(",", ":"),
)


def request_body(model: str, *, stream: bool = False) -> str:
    """A short chat request for the model that a proxy knows by this name."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Where is my parcel? It was due on Monday."}],
        "temperature": 0.2,
    }
    return json.dumps(body | ({"stream": True} if stream else {}))


def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """One server-sent event of the stream."""
    chunk = {
        "id": "chatcmpl-canned",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
