"""What the client gets of an answer, and what the capture learns from it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.gateway.answers import EventReader, Facts, read_completion
from tuneloop.gateway.errors import ApiError


def _event(**fields: Any) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "b1", "new": 1, **fields}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _delta(finish_reason: str | None = None, **delta: Any) -> bytes:
    return _event(choices=[{"index": 0, "delta": delta, "finish_reason": finish_reason}])


USAGE = _event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3})
STREAM = b"".join(
    [
        b": a comment\n\n",
        _delta(role="assistant", content=""),
        _delta(content="Grüße"),
        _delta(content=" du"),
        _delta(finish_reason="stop"),
        USAGE,
        b"data: [DONE]\n\n",
    ]
)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    facts = Facts()
    reader = EventReader("desk", facts, show_usage=True)
    edges = [0, *sorted(cuts), len(STREAM)]
    out = b"".join(reader.feed(STREAM[start:end]) for start, end in pairwise(edges))
    whole = EventReader("desk", Facts(), show_usage=True).feed(STREAM)
    assert out == whole
    assert reader.done
    assert (facts.text, facts.finish_reason) == ("Grüße du", "stop")
    assert (facts.prompt_tokens, facts.completion_tokens) == (7, 3)


def test_only_the_model_name_of_an_event_changes_and_the_end_is_held_back() -> None:
    out = EventReader("desk", Facts(), show_usage=True).feed(STREAM)
    assert b"[DONE]" not in out
    assert out.startswith(b": a comment\n\n")
    before = [json.loads(line[6:]) for line in STREAM.splitlines() if line.startswith(b"data: {")]
    after = [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: {")]
    assert after == [{**event, "model": "desk"} for event in before]


def test_token_counts_that_the_client_did_not_ask_for_are_not_shown() -> None:
    facts = Facts()
    out = EventReader("desk", facts, show_usage=False).feed(STREAM)
    assert b"usage" not in out
    assert out.endswith(b"\n\n") and not out.endswith(b"\n\n\n")
    assert facts.completion_tokens == 3


def test_tool_calls_are_put_together_from_their_pieces() -> None:
    facts = Facts()
    reader = EventReader("desk", facts, show_usage=True)
    named = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}
    reader.feed(_delta(tool_calls=[named]))
    assert facts.has_output
    for piece in ('{"a":', "1}"):
        reader.feed(_delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}]))
    reader.feed(_delta(tool_calls=[{**named, "index": 1, "id": "t2"}]))
    assert json.loads(facts.tool_calls or "") == [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "t2", "type": "function", "function": {"name": "f", "arguments": ""}},
    ]


def test_the_first_token_is_the_first_text_and_not_the_role() -> None:
    facts = Facts()
    reader = EventReader("desk", facts, show_usage=True)
    reader.feed(_delta(role="assistant", content=""))
    assert not facts.has_output
    reader.feed(_delta(content="x"))
    assert facts.has_output


def test_a_whole_answer_is_read_and_renamed() -> None:
    body = {
        "model": "b1",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "four", "refusal": None},
                "finish_reason": "stop",
                "logprobs": {"content": [{"token": "a", "logprob": -1.0}, {"logprob": -3.0}]},
            },
            {"index": 1, "message": {"content": "other"}, "finish_reason": "length"},
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    facts = Facts()
    out = read_completion(json.dumps(body).encode(), "desk", facts)
    assert json.loads(out) == {**body, "model": "desk"}
    assert (facts.text, facts.finish_reason, facts.mean_logprob) == ("four", "stop", -2.0)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"choices": 3}', b'{"ok": true}', b"\xff", b"[" * 100_000]
)
def test_garbage_from_the_model_server_is_its_fault(body: bytes) -> None:
    with pytest.raises(ApiError) as whole:
        read_completion(body, "desk", Facts())
    with pytest.raises(ApiError) as streamed:
        EventReader("desk", Facts(), show_usage=True).feed(b"data: " + body + b"\n\n")
    for refused in (whole.value, streamed.value):
        assert (refused.status, refused.code) == (502, "upstream_garbage")
