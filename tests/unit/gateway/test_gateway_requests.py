"""What the model server gets is what the client sent, but for the bundle's own parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.requests import CHAT, COMPLETION, EMBEDDING, parse, upstream_body
from tuneloop.registry.routes import Target

USER = {"role": "user", "content": "Where is my parcel?"}
SYSTEM = {"role": "system", "content": "mine"}


def _body(**fields: Any) -> bytes:
    return json.dumps({"model": "desk", "messages": [USER], **fields}).encode()


def _sent(body: bytes, **target: Any) -> dict[str, Any]:
    call = parse(CHAT, body, {})
    wanted = Target(base_url="http://127.0.0.1:1/v1", served_name="b1", **target)
    return dict(json.loads(upstream_body(call, wanted)))


def test_unknown_fields_pass_through_untouched() -> None:
    odd = b'{"model":"desk","messages":[{"role":"user","content":"x","name":"n","z":[1]}],'
    odd += b'"seed":123456789012345678901234567890,"new":{"a" : [1.50, null]},"e":1e400}'
    call = parse(CHAT, odd, {})
    body = upstream_body(call, Target(base_url="http://h/v1", served_name="b1"))
    assert b"123456789012345678901234567890" in body
    assert b'{"a" : [1.50, null]}' in body
    assert b"1e400" in body
    assert b'{"role":"user","content":"x","name":"n","z":[1]}' in body


def test_the_system_text_is_added_only_where_there_is_none() -> None:
    assert _sent(_body(), system="Be brief.")["messages"] == [
        {"role": "system", "content": "Be brief."},
        USER,
    ]
    for role in ("system", "developer"):
        own = [{"role": role, "content": "mine"}, USER]
        assert _sent(_body(messages=own), system="Be brief.")["messages"] == own
    assert _sent(_body())["messages"] == [USER]


def test_sampling_defaults_fill_what_was_left_out() -> None:
    sampling = {"temperature": 0.0, "max_tokens": 64}
    assert _sent(_body(), sampling=sampling) | {"messages": None} == {
        "model": "b1",
        "messages": None,
        "temperature": 0.0,
        "max_tokens": 64,
    }
    given = _sent(_body(temperature=1.5, max_completion_tokens=5), sampling=sampling)
    assert given["temperature"] == 1.5
    assert given["max_completion_tokens"] == 5
    assert "max_tokens" not in given  # the same limit by its other name
    assert _sent(_body(temperature=None), sampling=sampling)["temperature"] == 0.0


def test_streams_ask_for_token_counts_and_keep_other_options() -> None:
    assert _sent(_body(stream=True))["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    assert _sent(_body(stream=True, stream_options=options))["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert "stream_options" not in _sent(_body())


def test_a_conversation_keeps_its_key_as_it_grows() -> None:
    def key(messages: list[dict[str, str]], headers: dict[str, str], **fields: Any) -> str:
        return parse(CHAT, _body(messages=messages, **fields), headers).conversation

    later = [USER, {"role": "assistant", "content": "On its way."}, {**USER, "content": "When?"}]
    other = [{**USER, "content": "Hello"}]
    assert key([USER], {}) == key(later, {})
    assert key([SYSTEM, USER], {}) == key([SYSTEM, *later], {})
    assert key([USER], {}) != key(other, {})
    assert key([USER], {}, user="ann") == key(other, {}, user="ann")
    session = {"x-tuneloop-session": "s1"}
    assert key([USER], session, user="ann") == key(other, session, user="bob")
    assert key([USER], {"x-tuneloop-session": "ann"}) != key([USER], {}, user="ann")


def test_tags_and_opt_out_come_from_headers() -> None:
    call = parse(
        CHAT, _body(), {"x-tuneloop-tags": "probe=golden, month=2", "x-tuneloop-capture": "OFF"}
    )
    assert call.tags == {"probe": "golden", "month": "2"}
    assert call.opted_out
    with pytest.raises(ApiError, match="name=value"):
        parse(CHAT, _body(), {"x-tuneloop-tags": "probe"})


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"", "invalid_json", "not valid JSON"),
        (b'{"model": ', "invalid_json", "not valid JSON"),
        (b'{"model":"desk","messages":[{"role":"user","content":"\xff"}]}', "invalid_json", "utf"),
        (b"[" * 100_000, "invalid_value", "object"),
        (b'{"model":"d","messages":[],"x":' + b"[" * 100_000, "invalid_json", "not valid JSON"),
        (b"[]", "invalid_value", "object"),
        (b'{"messages":[]}', "invalid_value", "model"),
        (b'{"model":"desk"}', "invalid_value", "messages"),
        (b'{"model":"desk","messages":[]}', "invalid_value", "at least one message"),
        (b'{"model":3,"messages":[]}', "invalid_value", "model"),
        (b'{"model":"desk","messages":"hi"}', "invalid_value", "messages"),
        (b'{"model":"desk","messages":[{"content":"hi"}]}', "invalid_value", "role"),
        (b'{"model":"desk","messages":[],"stream":"yes"}', "invalid_value", "stream"),
    ],
)
def test_a_bad_body_is_refused_saying_what_is_wrong(body: bytes, code: str, says: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse(CHAT, body, {})
    assert refused.value.status == 400
    assert refused.value.code == code
    assert says in refused.value.message
    error = json.loads(refused.value.body())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


def test_completions_take_sampling_and_embeddings_take_nothing() -> None:
    target = Target(
        base_url="http://h/v1", served_name="b1", system="Be brief.", sampling={"temperature": 0}
    )
    asked = parse(COMPLETION, b'{"model":"desk","prompt":["a",[1,2]],"stream":true}', {})
    assert json.loads(upstream_body(asked, target)) == {
        "model": "b1",
        "prompt": ["a", [1, 2]],
        "stream": True,
        "temperature": 0,
        "stream_options": {"include_usage": True},
    }
    embedded = parse(EMBEDDING, b'{"model":"desk","input":"a","dimensions":8}', {})
    assert json.loads(upstream_body(embedded, target)) == {
        "model": "b1",
        "input": "a",
        "dimensions": 8,
    }
    for operation, body in (
        (COMPLETION, b'{"model":"d"}'),
        (EMBEDDING, b'{"model":"d","input":{}}'),
    ):
        with pytest.raises(ApiError) as refused:
            parse(operation, body, {})
        assert refused.value.param in ("prompt", "input")
