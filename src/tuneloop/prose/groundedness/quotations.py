"""Quotations: two or more words between quotation marks of any kind."""

from __future__ import annotations

from collections.abc import Iterator

import regex

from tuneloop.sameness import forgiving, words

_LEAST_WORDS = 2
_QUOTATION = regex.compile(
    r"“([^“”]{2,600})”|„([^„“”]{2,600})[“”]|«([^«»]{2,600})»|»([^«»]{2,600})«|‹([^‹›]{2,600})›"
    r"|「([^「」]{2,600})」|『([^『』]{2,600})』|《([^《》]{2,600})》"
    r"|(?<![\p{L}\p{Nd}])\"(?=\S)([^\"\n]{2,600})(?<=\S)\"(?!\p{L})"
    r"|(?<![\p{L}\p{Nd}'’])['‘](?=\S)((?:[^'‘’\n]|(?<=\p{L})['’](?=\p{L})){2,600})(?<=\S)['’](?!\p{L})"
)
_LEFT_OUT = regex.compile(r"\[?(?:…|\.\.\.+)\]?")


def quotations_in(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of what stands between the marks."""
    for match in _QUOTATION.finditer(text):
        group = match.lastindex or 0
        if len(words(match[group].lower())) >= _LEAST_WORDS:
            yield match.span(group)


def as_words(text: str) -> str:
    """A text as its words in forgiving form, with a space around each."""
    return f" {' '.join(words(forgiving(text)))} "


def is_quoted_from(text: str, quotation: str) -> bool:
    """Whether every piece of a quotation stands in a text, which is as `as_words` returns it."""
    pieces = [as_words(piece) for piece in _LEFT_OUT.split(quotation) if piece.strip()]
    return all(piece in text for piece in pieces)
