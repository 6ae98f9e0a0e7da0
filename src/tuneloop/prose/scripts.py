"""Which script a text is written in, and which languages are written in which script."""

from __future__ import annotations

import unicodedata
from collections import Counter

_LANGUAGES = {
    (
        "LATIN",
    ): "en de fr es it pt nl sv da no nb fi pl cs sk sl hr hu ro tr id ms vi et lv lt sq ca",
    ("CYRILLIC",): "ru uk bg sr mk be kk",
    ("ARABIC",): "ar fa ur",
    ("DEVANAGARI",): "hi mr ne",
    ("CJK",): "zh",
    ("CJK", "HIRAGANA", "KATAKANA"): "ja",
    ("HANGUL", "CJK"): "ko",
    ("GREEK",): "el",
    ("HEBREW",): "he",
    ("THAI",): "th",
    ("BENGALI",): "bn",
    ("TAMIL",): "ta",
    ("GEORGIAN",): "ka",
    ("ARMENIAN",): "hy",
}
SCRIPTS = {code: scripts for scripts, codes in _LANGUAGES.items() for code in codes.split()}
"""ISO 639-1 code → scripts that the language is written in, its own first."""


def languages_of(script: str) -> list[str]:
    """Codes of the languages that are written in a script, as `letters_by_script` names it."""
    return [
        code
        for scripts, codes in _LANGUAGES.items()
        if scripts[0] == script
        for code in codes.split()
    ]


def letters_by_script(text: str) -> Counter[str]:
    """Unicode script, such as `LATIN` or `CJK` → letters of it in the text."""
    if text.isascii():
        return Counter({"LATIN": sum(map(str.isalpha, text))})
    return Counter(_script(letter) for letter in text if letter.isalpha())


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").split()[0]
