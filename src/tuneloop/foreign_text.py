"""Text of others does nothing where it is shown: what would act is shown as `�`.

Control characters begin the sequences that move a terminal's cursor, clear its screen or set its
title; the marks that turn the direction of writing make a text look like another one.
"""

from __future__ import annotations

_KEPT = {ord("\n"), ord("\t")}
_ACTING = dict.fromkeys(
    {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - _KEPT,
    "\ufffd",
)


def inert(text: str) -> str:
    """The text with `�` for every character that acts; line ends and tabs stay."""
    return text.translate(_ACTING)


def one_line(text: str) -> str:
    """The text on one line, inert: nothing in it can look like a line of ours."""
    return inert(" ".join(text.split()))


def shortened(text: str, size: int) -> str:
    """A text of at most `size` characters: its beginning, `…`, its end."""
    if len(text) <= size:
        return text
    if size < 3:
        return text[:size]
    end = (size - 1) // 2
    return f"{text[: size - 1 - end]}…{text[-end:]}"


def fits_header(text: str) -> bool:
    """Whether it can stand in the head of an HTTP request as it is."""
    return bool(text) and text.isprintable() and text.isascii()
