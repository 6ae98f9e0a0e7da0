"""What is the same to a person is the same, and nothing else: tables of pairs in many scripts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.sameness import forgiving, forgiving_answer, strict, strict_answer
from tuneloop.sameness.stored import stored_form

TYPED = [
    ("Where is my parcel?", "where is my  parcel"),
    ("WHERE IS MY PARCEL", "where is my parcel."),
    ("Where Is My Parcel", "where is my parcel"),
    ("hello. Please write to Ann", "Hello. please write to Ann"),
    ("What do I pay?", "what do i pay"),
    ("Note: I'm at home", "note: i'm at home"),
    ("It’s “late”", 'it\'s "late"'),
    ("«Déjà» vu", '"déjà" vu'),
    ("ﬁne…", "fine"),
    ("2024–05", "2024-05"),
    ("−5", "-5"),
    ("Cafe\u0301", "café"),
    ("½ cup", "1/2 cup"),
    ("what is it ??", "what is it?"),
    ("co\u00adop", "coop"),
    ("❤\ufe0f", "❤"),
    ("Ｆｕｌｌ　ｗｉｄｔｈ １２", "full width 12"),
    ("ﾃｽﾄ", "テスト"),
    ("你 好 世界", "你好世界"),
    ("我的包裹在哪里？", "我的包裹在哪里"),
    ("荷物はどこですか。", "荷物はどこですか"),
    ("สวัสดี ครับ", "สวัสดีครับ"),
    ("नमस्ते।", "नमस्ते"),
    ("मेरा पार्सल कहाँ है?", "मेरा पार्सल कहाँ है"),
    ("ﻛﺘﺎب", "كتاب"),
    ("كتـــاب.", "كتاب"),
    ("ΠΟΥ ΕΙΝΑΙ Ο ΔΡΟΜΟΣ", "που ειναι ο δρομος"),
    ("Где мой заказ?", "где мой заказ"),
    ("제 소포는 어디 있나요?", "제 소포는 어디 있나요"),
    ("İstanbul", "istanbul"),
]
"""The same in strict form, so in both."""
PUT_DOWN = [
    ("US", "us"),
    ("Write to US", "write to us"),
    ("Paris", "PARIS!"),
    ("Paris, France!", "paris  FRANCE"),
    ("**Paris**", "Paris"),
    ("“Paris.”", "paris"),
    ("`refund`", "refund"),
    ("Paris (France)", "Paris, France"),
    ("order-status", "order status"),
    ("Straße", "STRASSE"),
    ("👍🏽", "👍"),
    ("१२", "12"),
    ("٣", "3"),
    ("你好，世界", "你好世界"),
    ("はい、そうです。", "はいそうです"),
    ("نعم، شكرا", "نعم شكرا"),
    ("¡Hola!", "hola"),
    ("ÄRGER!", "ärger"),
]
"""The same in forgiving form only."""
DIFFERENT = [
    ("10²", "102"),
    ("x₁", "x1"),
    ("½", "12"),
    ("1½", "11/2"),
    ("1①", "11"),
    ("?", "!"),
    ("...", "?"),
    ("—", "???"),
    ("You are open on Sunday", "You are open on Sunday?"),
    ("You are open on Sunday!", "You are open on Sunday?"),
    ("-5", "5"),
    ("1.5", "15"),
    ("50%", "50"),
    ("5!", "5"),
    ("C++", "C#"),
    ("C#", "C"),
    (">=", "<="),
    ("a < b", "a > b"),
    ("👍", "👎"),
    ("👍", ""),
    ("👍", "..."),
    ("❤️", "💔"),
    ("✅ paid", "❌ paid"),
    ("🇩🇪", "🇫🇷"),
    ("café", "cafe"),
    ("año", "ano"),
    ("ısı", "isi"),
    ("hören", "horen"),
    ("все", "всё"),
    ("कि", "की"),
    ("दिन", "दीन"),
    ("என்", "எண்"),
    ("เสือ", "เสื้อ"),
    ("ມາ", "ມ້າ"),
    ("كَتَبَ", "كُتِبَ"),
    ("סֵפֶר", "סַפָּר"),
    ("はし", "はじ"),
    ("びよういん", "びょういん"),
    ("你", "您"),
    ("눈", "논"),
    ("πότε", "ποτέ"),
    ("Είστε ανοιχτά;", "Είστε ανοιχτά."),
    ("المتجر مفتوح؟", "المتجر مفتوح"),
    ("f(x)", "fx"),
    ("[1, 2]", "(1, 2)"),
    (":)", ":("),
]
"""Different in forgiving form, so in both."""
KEPT_APART = [
    ("US", "us"),
    ("Write to US", "Write to us"),
    ("Ask IT", "Ask it"),
    ("Is this Polish", "Is this polish"),
    ("Haben Sie Zeit", "Haben sie Zeit"),
    ("You are open on Sunday", "You are open on Sunday!"),
    ("Maße", "Masse"),
    ("👍🏽", "👍"),
]
"""Different in strict form."""


@pytest.mark.parametrize(("one", "other"), TYPED)
def test_what_is_typed_in_another_way_is_the_same(one: str, other: str) -> None:
    assert strict(one) == strict(other)
    assert forgiving(one) == forgiving(other)


@pytest.mark.parametrize(("one", "other"), PUT_DOWN)
def test_what_a_person_overlooks_is_forgiven(one: str, other: str) -> None:
    assert forgiving(one) == forgiving(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_a_person_calls_different_is_different(one: str, other: str) -> None:
    assert forgiving(one) != forgiving(other)
    assert strict(one) != strict(other)


@pytest.mark.parametrize(("one", "other"), KEPT_APART)
def test_nothing_is_thrown_away_for_what_may_be_another_word(one: str, other: str) -> None:
    assert strict(one) != strict(other)


def test_json_answers_are_compared_as_values() -> None:
    for form in (strict_answer, forgiving_answer):
        assert form('{"b": 1, "a": "X"}') == form('{ "a":"X","b":1 }')
        assert form('{"a": "X"}') != form('{"a": "x"}')
        assert form("Yes.") == form("yes")
        assert form("{cut off") == "{cut off"


_SIGNS = st.sampled_from(
    [*" \n.,!?;:'\"()*-…。।؟¿", *"IUSabßİı½²１ﬁ", "हि", "你", "วั", "👍🏽", "❤️"]
)
_PIECES = st.sampled_from(
    ["US", "I", "Polish", "polish", "Hello", "what is", "you are", "it's", "ΟΔΟΣ"]
)
TEXTS = st.one_of(st.text(), st.lists(_SIGNS | _PIECES).map("".join))


@given(TEXTS)
def test_a_form_of_a_form_is_itself(text: str) -> None:
    assert strict(strict(text)) == strict(text)
    assert forgiving(forgiving(text)) == forgiving(text)


@given(TEXTS)
def test_what_is_strictly_the_same_is_forgiven(text: str) -> None:
    assert forgiving(strict(text)) == forgiving(text)


@given(TEXTS)
def test_no_text_that_can_be_seen_is_empty(text: str) -> None:
    if any(unicodedata.category(sign)[0] in "LNPS" for sign in text):
        assert strict(text) and forgiving(text)


def test_the_form_behind_stored_identities_never_changes() -> None:
    """As tuneloop 0.1 wrote it."""
    assert stored_form("“What’s ½ of 10² — or ＡＢＣ`s Größe…?!”  3.5 a. B") == (
        "\"what's 1⁄2 of 102 — or abc's grösse...?!\" 3.5 a b"
    )
    assert stored_form("Hello, World!  It`s 3.5; done.") == "hello world it's 3.5 done"
