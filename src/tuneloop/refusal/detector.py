"""One mechanism for all languages: a cheap check, then the language's patterns on the opening."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property

from tuneloop.refusal.languages import LANGUAGES
from tuneloop.refusal.phrases import Phrases

_HEAD_CHARACTERS = 200
_QUOTED_CHARACTERS = 80
_WITHIN_CLAUSE = r"[^.!?;:,…。！？；：।؟،]{0,60}?"
_WITHIN_SENTENCE = r"[^.!?;:…。！？；：।؟]{0,60}?"
_SENTENCE_END = re.compile(r"[.!?;…。！？；।؟]")
_QUOTATION = re.compile(
    r'"[^"]*(?:"|$)|“[^”]*(?:”|$)|«[^»]*(?:»|$)|„[^“”]*(?:[“”]|$)|「[^」]*(?:」|$)'
)
_ALIKE = str.maketrans(
    {chr(code): unicodedata.normalize("NFD", chr(code))[0] for code in range(0xE0, 0x17F)}
    | {"’": "'", "‘": "'", "´": "'", "ı": "i", "ł": "l", "ø": "o", "ß": "ss", "ё": "е"}
    | dict.fromkeys("أإآ", "ا")
    | dict.fromkeys((chr(code) for code in (*range(0x64B, 0x653), 0x640)), None)
)
"""Apostrophes; letters without accents, as many write them; Arabic alefs, without vowel marks and
the stretching sign."""

_Groups = tuple[tuple[str, ...], ...]


class _Reader:
    """One language; its patterns are compiled when they are first needed."""

    def __init__(self, phrases: Phrases) -> None:
        self._phrases = phrases

    @cached_property
    def declines(self) -> re.Pattern[str]:
        phrases = self._phrases
        return re.compile(
            _joined(phrases.cannot + phrases.machine + phrases.declines + phrases.rules)
        )

    @cached_property
    def business(self) -> re.Pattern[str]:
        return re.compile(_joined(self._phrases.unless))


def refusal_in(answer: str) -> str | None:
    """The words by which an answer refuses, or None; structured answers never do.

    An answer refuses where the model says of itself, in the first 200 characters, that it cannot,
    may not or will not do what was asked, even if it then does a part of it. What is quoted does
    not count, nor does a business that says no.
    """
    head = answer.lstrip()[:_HEAD_CHARACTERS]
    if head[:1] in ("{", "["):
        return None
    lowered = " ".join(head.lower().replace("*", "").split())
    if lowered.isascii():
        hints = _HINTS_IN_ASCII
    else:
        lowered, hints = _alike(lowered), _HINTS
    candidates = [reader for reader, groups in hints if _one_of_each(groups, lowered)]
    if not candidates:
        return None
    spoken = _spoken(lowered)
    for reader in candidates:
        if words := _declined(spoken, reader):
            return _as_written(words, head)[:_QUOTED_CHARACTERS]
    return None


def _one_of_each(groups: _Groups, lowered: str) -> bool:
    # Plain loops: a generator would take longer than the searches.
    for words in groups:
        for word in words:
            if word in lowered:
                break
        else:
            return False
    return True


def _spoken(lowered: str) -> str:
    """The opening without quotations, unless there is nothing else."""
    spoken = _QUOTATION.sub('""', lowered)
    return spoken if any(map(str.isalpha, spoken)) else lowered


def _joined(patterns: tuple[str, ...]) -> str:
    alternatives = _alike("|".join(patterns))
    return alternatives.replace("~", _WITHIN_CLAUSE).replace("≈", _WITHIN_SENTENCE)


def _alike(text: str) -> str:
    """The text, or a pattern, in the one way of writing that both are compared in."""
    return unicodedata.normalize("NFKC", text).translate(_ALIKE)


def _declined(spoken: str, reader: _Reader) -> str | None:
    start = 0
    while match := reader.declines.search(spoken, start):
        if not reader.business.search(_sentence(spoken, match)):
            return match.group()
        start = match.start() + 1
    return None


def _as_written(words: str, head: str) -> str:
    """The words as the answer has them, where they can be found again."""
    if head.isascii() and (start := head.lower().find(words)) >= 0:
        return head[start : start + len(words)]
    alike, places = "", []
    for place, letter in enumerate(head):
        plain = _alike(letter.lower())
        alike += plain
        places += [place] * len(plain)
    found = re.search(r"[\s*]+".join(map(re.escape, words.split())), alike)
    return head[places[found.start()] : places[found.end() - 1] + 1] if found else words


def _sentence(spoken: str, match: re.Match[str]) -> str:
    """The sentence in which the words stand, to its end."""
    before = [end.end() for end in _SENTENCE_END.finditer(spoken, 0, match.start())]
    after = _SENTENCE_END.search(spoken, match.end())
    return spoken[before[-1] if before else 0 : after.start() if after else len(spoken)]


_HINTS: tuple[tuple[_Reader, _Groups], ...] = tuple(
    (_Reader(phrases), tuple(tuple(_alike(words).split("|")) for words in phrases.hints))
    for phrases in LANGUAGES
)
_HINTS_IN_ASCII: tuple[tuple[_Reader, _Groups], ...] = tuple(
    (reader, ascii_only)
    for reader, groups in _HINTS
    if all(ascii_only := tuple(tuple(filter(str.isascii, words)) for words in groups))
)
"""Most traffic is ASCII: for that, what no such text can hold is not looked for."""
