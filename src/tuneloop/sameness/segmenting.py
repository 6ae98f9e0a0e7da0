r"""The words of a text, in every script.

A word is a run of letters, marks, digits and underscores, so that a vowel sign (Hindi, Tamil,
Arabic, Hebrew) is part of its word. An apostrophe or a hyphen may stand inside, in a number also a
point, comma, colon or slash, and what belongs to a name or number stays with it: `C++`, `C#`, `-5`,
`50%`. Symbols (Unicode category S: emoji, currency, `<`, `=`) and `/ & @ \` are words too.

Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces; their words are the
overlapping pairs of characters (grapheme clusters), as in Lucene's CJKAnalyzer. Runs of katakana
are words. Real words would take a dictionary for each language.

A text is taken as it stands: bring it into a normal form first.
"""

from __future__ import annotations

import re
from itertools import pairwise

import regex

UNSPACED = r"[[\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]--[\p{Nd}\p{No}\p{P}\p{S}]]"
"""A letter or mark of a script without spaces, as `regex` (version 1) and Rust write it."""
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--{UNSPACED}]"
SPACED_WORD = "|".join(
    (
        r"[-+]?\p{N}+(?:[.,:/]\p{N}+)+%?",
        rf"[-+]\p{{N}}{_LETTER}*(?:[-'’]{_LETTER}+)*%?",
        rf"{_LETTER}+(?:[-'’]{_LETTER}+)*(?:\+\+|[#%])?",
        r"[[\p{S}/&@\\]--[`]]",
    )
)
"""A word of any other script, as both write it."""

_ASCII_WORD = re.compile(
    r"[-+]?\d+(?:[.,:/]\d+)+%?|[-+]\d\w*(?:[-']\w+)*%?|\w+(?:[-']\w+)*(?:\+\+|[#%])?|[$+<=>^|~/&@\\]"
)
_ASCII_TOKEN = re.compile(rf"{_ASCII_WORD.pattern}|\S")
_RUN = rf"(?:{UNSPACED}[\p{{M}}ー]*)+"
_WORD = regex.compile(rf"({_RUN})|(?:{SPACED_WORD})", regex.V1)
_TOKEN = regex.compile(rf"({_RUN})|(?:{SPACED_WORD}|[^\s\x1c-\x1f])", regex.V1)
_CLUSTER = regex.compile(r"\X")


def whole_words(pattern: str) -> regex.Pattern[str]:
    """The pattern where it stands as words of their own, in whatever case.

    Between letters of a script without spaces every place may be a word's end.
    """
    bounded = rf"(?<!{_LETTER})(?:{pattern})(?!{_LETTER}|\p{{M}})"
    return regex.compile(bounded, regex.V1 | regex.IGNORECASE)


def words(text: str) -> list[str]:
    """Its words in order; of a text without one, such as `?!`, its signs."""
    return _found(text, _ASCII_WORD, _WORD) or tokens(text)


def tokens(text: str) -> list[str]:
    """Its words and all other signs in order: everything but white space."""
    return _found(text, _ASCII_TOKEN, _TOKEN)


def spans(text: str) -> list[tuple[int, int]]:
    """From where to where its words and other signs stand, one after the other.

    For what must keep a text as it is: they do not overlap, so each cluster of a script without
    spaces is one.
    """
    if text.isascii():
        return [match.span() for match in _ASCII_TOKEN.finditer(text)]
    found: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(text):
        if match[1] is None:
            found.append(match.span())
        else:
            found += [c.span() for c in _CLUSTER.finditer(text, match.start(), match.end())]
    return found


def _found(text: str, of_ascii: re.Pattern[str], of_any: regex.Pattern[str]) -> list[str]:
    if text.isascii():
        return of_ascii.findall(text)
    found: list[str] = []
    for match in of_any.finditer(text):
        if match[1] is None:
            found.append(match[0])
        else:
            found += _pairs(match[1])
    return found


def _pairs(run: str) -> list[str]:
    clusters = _CLUSTER.findall(run)
    return [run] if len(clusters) == 1 else [a + b for a, b in pairwise(clusters)]
