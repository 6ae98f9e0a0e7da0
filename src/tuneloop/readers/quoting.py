"""The fields of a line between separators, and what its quotes are: quoting, text, or open."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_INSIDE = re.compile(r'(?:[^"]++|"")*+')
_BLANKS = re.compile(" *")


@dataclass(kw_only=True)
class Fields:
    """What was read of a record so far."""

    values: list[str | None] = field(default_factory=list)
    """A field with nothing in it is None; one with nothing between quotes is an empty text."""
    open: str | None = None
    """What stands after a quote that opens a field and is not closed yet."""
    unfit: bool = False
    """Where a closing quote was looked for, one stands that cannot be it."""
    quoted: int = 0
    """Fields in quotes."""
    needed: bool = False
    """A field in quotes holds what a field without them cannot hold."""
    stray: bool = False
    """A quote is a part of a text: no program that quotes fields writes one so."""


def split(text: str, delimiter: str) -> Fields:
    """The fields of a line; a quote that opens and does not close leaves the last of them open.

    A field is quoted where a quote begins it and another one ends it, those inside being doubled
    (RFC 4180). Any other quote is a part of its field's text.
    """
    fields = Fields()
    if '"' in text:
        _go_on(fields, text, delimiter, 0)
    else:
        fields.values = [value or None for value in text.split(delimiter)]
    return fields


def continue_with(fields: Fields, text: str, delimiter: str, line_end: str) -> None:
    """Take in one more line, which begins inside of the open field."""
    end = _end_inside(text, 0)
    before = (fields.open or "") + line_end
    if end == len(text):
        fields.open = before + text
        return
    fields.open = None
    after = _end_of_field(text, end + 1, delimiter)
    if after is None:
        fields.unfit = True
        return
    _add_quoted(fields, before + text[:end], delimiter)
    if after < len(text):
        _go_on(fields, text, delimiter, after + 1)


def as_plain(text: str, delimiter: str) -> list[str | None]:
    """The fields where every quote is text."""
    return [value or None for value in text.split(delimiter)]


def _go_on(fields: Fields, text: str, delimiter: str, at: int) -> None:
    """The fields of a text from where one begins."""
    while True:
        after = _quoted(fields, text, delimiter, at)
        if fields.open is not None:
            return
        if after is None:
            end = text.find(delimiter, at)
            after = len(text) if end < 0 else end
            value = text[at:after]
            fields.values.append(value or None)
            fields.stray = fields.stray or '"' in value
        if after >= len(text):
            return
        at = after + 1


def _quoted(fields: Fields, text: str, delimiter: str, at: int) -> int | None:
    """Where the quoted field that begins here ends; None: there is none, or it stays open."""
    start = _BLANKS.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing too
    if not text.startswith('"', start):
        return None
    end = _end_inside(text, start + 1)
    if end == len(text):
        # Blanks before a quote that is not closed: rather a text with a quote in it.
        fields.open = text[start + 1 :] if start == at else None
        return None
    after = _end_of_field(text, end + 1, delimiter)
    if after is not None:
        _add_quoted(fields, text[start + 1 : end], delimiter)
    return after


def _add_quoted(fields: Fields, raw: str, delimiter: str) -> None:
    fields.values.append(raw.replace('""', '"'))
    fields.quoted += 1
    if '"' in raw or delimiter in raw or "\n" in raw or "\r" in raw:
        fields.needed = True


def _end_inside(text: str, at: int) -> int:
    return _INSIDE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing too


def _end_of_field(text: str, at: int, delimiter: str) -> int | None:
    """Where the separator or the line's end stands, blanks after a closing quote passed over."""
    at = _BLANKS.match(text, at).end()  # type: ignore[union-attr]
    return at if at == len(text) or text.startswith(delimiter, at) else None
