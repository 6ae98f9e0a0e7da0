"""The prompt is found in whatever form a client sent it."""

from __future__ import annotations

import json

import pytest

from tuneloop.storage.messages import last_user_text, prompt_of


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "b"),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "x"}},
                        {"type": "text", "text": "here"},
                    ],
                }
            ],
            "look\nhere",
        ),
        ([{"role": "system", "content": "s"}], ""),
        ([{"role": "user", "content": None}], ""),
        ([{"role": "user"}], ""),
        ([], ""),
    ],
)
def test_the_prompt_is_the_text_of_the_last_user_turn(messages: list[dict], text: str) -> None:
    assert last_user_text(messages) == text
    assert prompt_of(json.dumps(messages)) == text


@pytest.mark.parametrize("broken", ["", "{}", "[1, 2]", "not json", "null"])
def test_messages_that_are_none_have_no_prompt(broken: str) -> None:
    assert prompt_of(broken) == ""
