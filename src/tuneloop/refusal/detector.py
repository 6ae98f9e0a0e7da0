"""One mechanism for all languages: a cheap check, then the language's patterns on the opening."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property

from tuneloop.refusal.languages import LANGUAGES
from tuneloop.refusal.phrases import Phrases

_HEAD_CHARACTERS = 250
_QUOTED_CHARACTERS = 80
_GAP = r"[^.!?;:…。！？；：।؟\n]{0,60}?"
"""What `~` stands for in a pattern: a few words of one sentence."""
_SENTENCE_END = re.compile(r"[.!?;…。！？；।؟\n]")
_QUOTATION = re.compile(
    r'"[^"]*(?:"|$)|“[^”]*(?:”|$)|«[^»]*(?:»|$)|„[^“”]*(?:[“”]|$)|「[^」]*(?:」|$)'
)
_MARKUP = str.maketrans({"*": None, "_": None, "#": None, "`": None})
_ALIKE = str.maketrans(
    {"’": "'", "‘": "'", "´": "'"}
    | dict.fromkeys("أإآ", "ا")
    | dict.fromkeys((chr(code) for code in (*range(0x64B, 0x653), 0x640)), None)
)
"""Apostrophes; Arabic alefs, vowel marks and the stretching sign."""


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

    An answer refuses where the model says of itself, in the first 250 characters, that it cannot,
    may not or will not do what was asked, even if it then does a part of it. What is quoted does
    not count, nor does a business that says no.
    """
    head = answer.lstrip()[:_HEAD_CHARACTERS]
    if head[:1] in ("{", "["):
        return None
    lowered = head.lower().replace("’", "'")
    hints = _HINTS_IN_ASCII if lowered.isascii() else _HINTS
    candidates = [reader for reader, groups in hints if _one_of_each(groups, lowered)]
    if not candidates:
        return None
    spoken = _spoken(lowered)
    for reader in candidates:
        if words := _declined(spoken, reader):
            return words[:_QUOTED_CHARACTERS]
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
    """The opening without emphasis, line breaks and quotations, unless it is one itself."""
    text = " ".join(_alike(lowered.translate(_MARKUP)).split())
    if text[:1] in '"“«„「':
        return text
    return _QUOTATION.sub('""', text)


def _joined(patterns: tuple[str, ...]) -> str:
    """One pattern; that all begin at a word's start is asked once, which is much quicker."""
    starts = "\\b" if all(pattern.startswith("\\b") for pattern in patterns) else ""
    alternatives = "|".join(pattern.removeprefix(starts) for pattern in patterns)
    return f"{starts}(?:{_alike(alternatives).replace('~', _GAP)})"


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


def _sentence(spoken: str, match: re.Match[str]) -> str:
    """The sentence in which the words stand, to its end."""
    before = [end.end() for end in _SENTENCE_END.finditer(spoken, 0, match.start())]
    after = _SENTENCE_END.search(spoken, match.end())
    return spoken[before[-1] if before else 0 : after.start() if after else len(spoken)]


_HINTS: tuple[tuple[_Reader, _Groups], ...] = tuple(
    (_Reader(phrases), tuple(tuple(words.split("|")) for words in phrases.hints))
    for phrases in LANGUAGES
)
_HINTS_IN_ASCII: tuple[tuple[_Reader, _Groups], ...] = tuple(
    (reader, ascii_only)
    for reader, groups in _HINTS
    if all(ascii_only := tuple(tuple(filter(str.isascii, words)) for words in groups))
)
"""Most traffic is ASCII: for that, what no such text can hold is not looked for."""
