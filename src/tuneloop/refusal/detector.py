"""One mechanism for all languages: a cheap check, then the language's patterns on the opening."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """One language, compiled."""

    hints: tuple[str, ...]
    declines: Callable[[str], re.Match[str] | None]
    business: Callable[[str], re.Match[str] | None]


def refusal_in(answer: str) -> str | None:
    """The words by which an answer refuses, or None; structured answers never do.

    An answer refuses where the model says of itself, in the first 250 characters, that it cannot,
    may not or will not do what was asked, even if it then does a part of it. What is quoted does
    not count, nor does a business that says no.
    """
    head = answer.lstrip()[:_HEAD_CHARACTERS]
    if head[:1] in ("{", "["):
        return None
    lowered = head.lower()
    candidates = [one for one in _READERS if any(hint in lowered for hint in one.hints)]
    if not candidates:
        return None
    spoken = _spoken(lowered)
    for reader in candidates:
        if words := _declined(spoken, reader):
            return words[:_QUOTED_CHARACTERS]
    return None


def _spoken(lowered: str) -> str:
    """The opening without emphasis, line breaks and what it quotes; all quoted, it is all spoken."""
    text = " ".join(_alike(lowered.translate(_MARKUP)).split())
    if text[:1] in '"“«„「':
        return text
    return _QUOTATION.sub('""', text)


def _alike(text: str) -> str:
    """The text, or a pattern, in the one way of writing that both are compared in."""
    return unicodedata.normalize("NFKC", text).translate(_ALIKE)


def _declined(spoken: str, reader: _Reader) -> str | None:
    start = 0
    while match := reader.declines(spoken, start):
        if not reader.business(_sentence(spoken, match)):
            return match.group()
        start = match.start() + 1
    return None


def _sentence(spoken: str, match: re.Match[str]) -> str:
    """The sentence in which the words stand, to its end."""
    before = [end.end() for end in _SENTENCE_END.finditer(spoken, 0, match.start())]
    after = _SENTENCE_END.search(spoken, match.end())
    return spoken[before[-1] if before else 0 : after.start() if after else len(spoken)]


def _compiled(phrases: Phrases) -> _Reader:
    patterns = phrases.cannot + phrases.machine + phrases.declines + phrases.rules
    return _Reader(
        hints=phrases.hints,
        declines=re.compile(_alike("|".join(patterns)).replace("~", _GAP)).search,
        business=re.compile(_alike("|".join(phrases.unless))).search,
    )


_READERS = tuple(map(_compiled, LANGUAGES))
