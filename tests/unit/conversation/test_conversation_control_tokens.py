"""Words never become a turn."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.conversation.control_tokens import (
    neutral,
    neutral_arguments,
    neutral_json,
)
from tuneloop.gateway.requests import CHAT, parse, upstream_body
from tuneloop.registry.routes import Target

TOKENS = ("<|im_start|>", "<|im_end|>", "</s>", "<｜end▁of▁sentence｜>")
pieces = st.sampled_from(["<", "|", "im_end", "|>", "<|", "<|im_", *TOKENS, "/s>", "ä", " "])


@given(st.lists(pieces).map("".join))
def test_no_control_token_is_left_and_nothing_is_lost(text: str) -> None:
    clean = neutral(text, TOKENS)
    assert not any(token in clean for token in TOKENS)
    assert clean.replace(" ", "") == text.replace(" ", "")
    assert neutral(clean, TOKENS) == clean


@given(st.lists(pieces).map("".join), st.booleans())
def test_json_is_the_same_bytes_unless_it_holds_one(text: str, ascii_only: bool) -> None:
    written = json.dumps([{"content": text, "n": 1e40}], ensure_ascii=ascii_only).encode()
    changed = neutral_json(written, TOKENS)
    assert json.loads(changed) == [{"content": neutral(text, TOKENS), "n": 1e40}]
    if not any(token in text for token in TOKENS):
        assert changed == written


@pytest.mark.parametrize("escaped", ["<|im_end|>", "\\u003c|im_end|\\u003e", "<\\/s>"])
def test_the_gateway_breaks_them_up_however_they_are_written(escaped: str) -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x%s"}], "top_p": 0.10}'
    call = parse(CHAT, body.replace(b"%s", escaped.encode()), {})
    target = Target(
        base_url="http://127.0.0.1:1/v1", served_name="b", system="s", control_tokens=TOKENS
    )
    sent = upstream_body(call, target)
    said = [message["content"] for message in json.loads(sent)["messages"]]
    assert said[0] == "s" and said[1] in ("x< |im_end|>", "x< /s>")
    assert b'"top_p":0.10' in sent
    plain = parse(CHAT, body.replace(b"%s", b"<b>"), {})
    assert b'[{"role": "user", "content": "x<b>"}]' in upstream_body(
        plain, Target(base_url="http://127.0.0.1:1/v1", served_name="b", control_tokens=TOKENS)
    )


@pytest.mark.parametrize(
    ("text", "tokens", "clean"),
    [
        ("a  b", ("  ",), "a  b"),
        ("x   y", ("  y", " y", "y"), "x   y"),
        ("a  ab", ("  ab",), "a  a b"),
        ("<a<ab>b>", ("<ab>", "<a<", "ab"), "< a<a b>b>"),
        ("1+1=2 (a|b)*", ("1+1", "(a|b)*", "."), "1 +1=2 ( a|b)*"),
        ("abab", ("ab", "a b"), "a  ba  b"),
        ("\ud83d</s>", ("</s>",), "\ud83d< /s>"),
    ],
)
def test_odd_tokens_are_broken_up_or_left(text: str, tokens: tuple[str, ...], clean: str) -> None:
    assert neutral(text, tokens) == clean
    written = json.dumps([text]).encode()
    assert json.loads(neutral_json(written, tokens)) == [clean]


@pytest.mark.parametrize("written", ["</s>", "\\u003c/s>", "<\\/s>", "\\u003c\\u002fs>"])
def test_the_arguments_of_a_call_hold_none_behind_their_own_escapes(written: str) -> None:
    arguments = f'{{"city": "x{written}", "{written}": 1}}'
    clean = neutral_arguments(arguments, TOKENS)
    assert json.loads(clean) == {"city": "x< /s>", "< /s>": 1}
    call = {"function": {"name": "at", "arguments": arguments}}
    body = json.dumps([{"role": "assistant", "tool_calls": [call]}]).encode()
    (sent,) = json.loads(neutral_json(body, TOKENS))
    assert sent["tool_calls"][0]["function"]["arguments"] == clean
    plain = '{"city":  "Oulu\\u0021", "n": 1.0}'
    assert neutral_arguments(plain, TOKENS) == plain
    assert neutral_arguments("[" * 100_000, TOKENS) == "[" * 100_000


def test_of_a_key_that_stands_twice_only_what_was_looked_at_is_sent() -> None:
    body = b'[{"content": "</s>", "content": "x"}]'
    assert json.loads(neutral_json(body, TOKENS)) == [{"content": "x"}]
    assert b"</s>" not in neutral_json(body, TOKENS)
