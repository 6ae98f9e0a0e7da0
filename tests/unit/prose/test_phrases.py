"""Phrases that an answer must say: by whole words, however they are written, in every script."""

from __future__ import annotations

import pytest

from tuneloop.prose.phrases import says


@pytest.mark.parametrize(
    ("text", "phrase", "said"),
    [
        ("Take 5 mg with food.", "5 MG, with Food", True),
        ("Take 1.5 mg with food.", "5 mg", False),
        ("You cannot return it.", "can", False),
        ("He said: “Take it, now!”", "take it now", True),
        ("Cut a, b.", "a b", True),
        ("a < b", "a b", False),
        ("It costs 50 % more.", "50 %", True),
        ("请明天来医院。", "医院", True),
        ("कल अस्पताल आइए।", "अस्पताल", True),
        ("Fine 🙂", "🙂", True),
        ("", "5 mg", False),
    ],
)
def test_a_phrase_is_said_by_whole_words(text: str, phrase: str, said: bool) -> None:
    assert says(text, phrase) is said
