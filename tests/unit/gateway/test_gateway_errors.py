"""A request that is too long is told as OpenAI tells it, whatever server said so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuneloop.gateway.errors import beyond_context

LLAMA = {
    "code": 400,
    "message": "request (529 tokens) exceeds the available context size (512 tokens), …",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 529,
    "n_ctx": 512,
}
VLLM = {
    "message": "This model's maximum context length is 512 tokens. However, you requested 529 …",
    "type": "BadRequestError",
    "code": 400,
}
OPENAI = {"message": "Too long.", "type": "x", "code": "context_length_exceeded"}


def told(error: Any, status: int = 400) -> dict[str, Any] | None:
    refusal = beyond_context(status, json.dumps({"error": error}).encode(), param="messages")
    return None if refusal is None else json.loads(refusal.body())["error"]


@pytest.mark.parametrize("error", [LLAMA, VLLM, OPENAI, "input exceeds the context window"])
def test_every_way_of_saying_it_becomes_openais(error: Any) -> None:
    said = told(error)
    assert said is not None
    assert (said["code"], said["type"]) == ("context_length_exceeded", "invalid_request_error")
    assert said["param"] == "messages" and said["message"]


def test_llama_cpps_numbers_are_kept() -> None:
    said = told(LLAMA)
    assert said is not None and "512 tokens" in said["message"] and "529 tokens" in said["message"]


@pytest.mark.parametrize("error", [{"message": "no such model", "code": 404}, {"message": None}, 7])
def test_other_refusals_stay_what_they_are(error: Any) -> None:
    assert told(error) is None


def test_a_broken_server_is_no_long_request() -> None:
    assert told(LLAMA, status=500) is None
    assert beyond_context(400, b"<html>", param="messages") is None
