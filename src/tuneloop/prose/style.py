"""How an answer is put: the length of its sentences, and how it speaks to people.

Told by declared rules, and reported beside the references' own style; nothing is decided by them.
A register is told by the words in which a language is formal or familiar: forms of address where it
has two, elsewhere contractions and stock phrases. Of other languages nothing is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tuneloop.prose.languages import language_of
from tuneloop.prose.likeness import words_of

Register = Literal["formal", "informal"]

_SENTENCE_END = re.compile(r"[.!?…؟।]+[\"')»”’\]]*\s+(?![a-zà-ÿа-я])|[。！？]+[」』”]*|\n+")
_NO_END = re.compile(
    r"\b(?:Dr|Mr|Mrs|Ms|Prof|St|Nr|No|vs|etc|bzw|ca|Sr|Sra|М|г)\.\s", re.IGNORECASE
)
"""A point that ends a title or an abbreviation."""


@dataclass(frozen=True, kw_only=True)
class _Markers:
    formal: str
    informal: str
    """regular expressions; case counts"""


_WITHIN = r"(?<=[^.!?\s] )"
"""Behind a word: a capital is then no sentence's first letter."""
_MARKERS = {
    "en": _Markers(
        formal=r"\b(?:[Dd]ear|[Ss]incerely|[Rr]egards|[Hh]ereby|[Ff]urthermore|[Kk]indly|[Pp]ursuant"
        r"|[Ww]e (?:regret|apologi[sz]e)|[Pp]lease be advised|would like to inform)\b",
        informal=r"\b(?:[Hh]i|[Hh]ey|[Yy]eah|[Yy]ep|[Oo]kay|OK|[Tt]hanks|[Cc]heers|gonna|wanna|guys"
        r"|\w+n['’]t|[Ii]['’]m|\w+['’](?:ll|ve|re|d))\b",
    ),
    "de": _Markers(
        formal=rf"{_WITHIN}(?:Sie|Ihre?[mnrs]?|Ihnen)\b|\bSehr geehrte",
        informal=r"\b(?:[Dd]u|[Dd]ich|[Dd]ir|[Dd]eine?[mnrs]?|[Ee]uch|[Ee]ure?|Hallo|Hey)\b",
    ),
    "fr": _Markers(
        formal=r"\b(?:[Vv]ous|[Vv]otre|[Vv]os|[Vv]euillez)\b",
        informal=r"\b(?:[Tt]u|[Tt]oi|[Tt]on|[Tt]es|[Ss]alut|[Cc]oucou)\b",
    ),
    "es": _Markers(
        formal=r"\b(?:[Uu]sted(?:es)?|[Ee]stimad[oa]s?|[Ll]e (?:agradecemos|informamos|rogamos))\b",
        informal=r"\b(?:[Tt]ú|[Tt]e|[Tt]i|[Tt]us?|[Hh]ola)\b",
    ),
    "it": _Markers(
        formal=rf"{_WITHIN}(?:Lei|La|Le|Su[oaei]|Vi|Vostr[oaei])\b|\bGentil[ei]\b|\bEgregi[oa]\b",
        informal=r"\b(?:[Tt]u|[Tt]i|[Tt]e|[Tt]u[oaei]|[Cc]iao)\b",
    ),
    "pt": _Markers(
        formal=r"\b(?:[Oo] senhor|[Aa] senhora|[Pp]rezad[oa]s?|V\. ?S\.ª)",
        informal=r"\b(?:[Tt]u|[Tt]e|[Tt]i|[Tt]eus?|[Tt]uas?|[Oo]i|[Vv]ocê)\b",
    ),
    "nl": _Markers(
        formal=r"\b(?:[Uu]w?|[Gg]eachte|[Hh]oogachtend)\b",
        informal=r"\b(?:[Jj]e|[Jj]ij|[Jj]ouw?|[Jj]ullie|[Hh]oi)\b",
    ),
    "pl": _Markers(
        formal=r"\b(?:Pan|Pana|Panu|Pani|Panią|Państw\w+|[Ss]zanown\w+)\b",
        informal=r"\b(?:[Tt]y|[Cc]iebie|[Cc]ię|[Tt]obie|[Tt]wój|[Tt]woj\w+|[Cc]ześć)\b",
    ),
    "ru": _Markers(
        formal=r"\b(?:[Вв]ы|[Вв]ас|[Вв]ам|[Вв]аш\w*|[Уу]важаем\w+)\b",
        informal=r"\b(?:[Тт]ы|[Тт]ебя|[Тт]ебе|[Тт]во[йеёяи]\w*|[Пп]ривет)\b",
    ),
}
REGISTERS = tuple(_MARKERS)
"""ISO 639-1 codes of the languages whose register is told."""


def sentence_words(text: str) -> float | None:
    """Mean words of a sentence, from 1 up; None of a text without words.

    A sentence ends at its sign, before anything but a small letter, or with its line.
    """
    whole = _NO_END.sub(lambda title: title.group().replace(".", ""), text)
    lengths = [len(words_of(part)) for part in _SENTENCE_END.split(whole) if part and part.strip()]
    lengths = [length for length in lengths if length]
    return sum(lengths) / len(lengths) if lengths else None


def sentence_ratio(answer: str, reference: str) -> float | None:
    """Mean words of the answer's sentences over those of the reference's, from 0 up."""
    said, wanted = sentence_words(answer), sentence_words(reference)
    return None if said is None or wanted is None else said / wanted


def register_of(text: str) -> Register | None:
    """Which of both its words speak for; None: for neither, for both alike, or unknown here."""
    markers = _MARKERS.get(language_of(text))
    if markers is None:
        return None
    formal, informal = (
        len(re.findall(pattern, text)) for pattern in (markers.formal, markers.informal)
    )
    if formal == informal:
        return None
    return "formal" if formal > informal else "informal"
