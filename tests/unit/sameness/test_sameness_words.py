"""The words of a text, in every script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.sameness import segmenting, tokens, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the state-of-the-art, isn't it", ["the", "state-of-the-art", "isn't", "it"]),
        ("1.5 kg at 10:30, -5 or 50%", ["1.5", "kg", "at", "10:30", "-5", "or", "50%"]),
        ("C++ and C# (a < b) 👍", ["C++", "and", "C#", "a", "<", "b", "👍"]),
        ("größer café", ["größer", "café"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("தமிழ் அம்மா", ["தமிழ்", "அம்மா"]),
        ("আমার পার্সেল", ["আমার", "পার্সেল"]),
        ("قِطَّة صغيرة", ["قِطَّة", "صغيرة"]),
        ("סֵפֶר טוב", ["סֵפֶר", "טוב"]),
        ("мой заказ", ["мой", "заказ"]),
        ("제 소포는", ["제", "소포는"]),
        ("我想退货", ["我想", "想退", "退货"]),
        ("好", ["好"]),
        ("ラーメンを食べる", ["ラーメン", "を食", "食べ", "べる"]),
        ("น้ำดี", ["น้ำดี"]),
        ("สวัสดี", ["สวั", "วัส", "สดี"]),
        ("?!", ["?", "!"]),
        ("", []),
    ],
)
def test_words_of_every_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_tokens_keep_the_signs_between_the_words() -> None:
    assert tokens("f(x) = 2; न?") == ["f", "(", "x", ")", "=", "2", ";", "न", "?"]


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_finds_the_same(text: str) -> None:
    assert words(text) == [word for word in words(f"{text} é") if word != "é"] or tokens(text)
    assert tokens(text) == tokens(f"{text} é")[:-1]


@given(st.text())
def test_nothing_but_white_space_is_lost(text: str) -> None:
    kept = "".join(tokens(text))
    assert set("".join(text.split())) == set("".join(kept.split()))
    assert segmenting.words(text) or not text.strip()
