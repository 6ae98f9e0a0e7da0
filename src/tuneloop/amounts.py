"""How many there are of something, in words that agree."""

from __future__ import annotations


def many(count: int, word: str, plural: str = "") -> str:
    """`1 answer`, `1,200 answers`; `plural` where it is not the word with an s."""
    return f"{count:,} {word if count == 1 else plural or f'{word}s'}"
