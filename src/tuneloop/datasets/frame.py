"""The frame that most texts begin or end with, such as an instruction repeated in every prompt."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

_SHARE = 0.8
_CHARACTERS = 20
_MINIMUM_TEXTS = 25
_LAST_CHARACTER = chr(0x10FFFF)


def without_frame(texts: Sequence[str], reference: Sequence[str]) -> list[str]:
    """Texts without what most of `reference` begin or end with."""
    head, tail = _common_head(reference), _common_tail(reference)
    bare = []
    for text in texts:
        if head and text.startswith(head):
            text = text[len(head) :]
        if tail and text.endswith(tail):
            text = text[: -len(tail)]
        bare.append(text.strip())
    return bare


def _common_tail(texts: Sequence[str]) -> str:
    if not _most_share([text[-_CHARACTERS:] for text in texts]):
        return ""
    return _common_head([text[::-1] for text in texts])[::-1]


def _common_head(texts: Sequence[str]) -> str:
    """What most texts begin with, up to a word's end; empty where it is short.

    Texts that share a beginning stand together when sorted, so a beginning shared by most is one of
    the middle text's.
    """
    if len(texts) < _MINIMUM_TEXTS or not _most_share([text[:_CHARACTERS] for text in texts]):
        return ""
    ordered = sorted(texts)
    middle, needed = ordered[len(ordered) // 2], _SHARE * len(ordered)
    low, high = 0, len(middle)
    while low < high:
        size = (low + high + 1) // 2
        if _beginning_with(middle[:size], ordered) >= needed:
            low = size
        else:
            high = size - 1
    head = middle[:low]
    head = head[: head.rfind(" ") + 1]
    return head if len(head) >= _CHARACTERS else ""


def _beginning_with(head: str, ordered: Sequence[str]) -> int:
    """How many of some sorted texts begin so."""
    return bisect_right(ordered, head + _LAST_CHARACTER) - bisect_left(ordered, head)


def _most_share(pieces: Sequence[str]) -> bool:
    """Whether there is a frame to look for: sorting a million texts takes seconds.

    What more than half of them are is found by their votes for and against it (Boyer and Moore
    1991, "MJRTY: a fast majority vote algorithm").
    """
    likely, votes = "", 0
    for piece in pieces:
        if piece == likely:
            votes += 1
        elif votes:
            votes -= 1
        else:
            likely, votes = piece, 1
    return pieces.count(likely) >= _SHARE * len(pieces)
