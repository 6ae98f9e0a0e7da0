"""What a reader yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EXCERPT_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class RawRow:
    """One row as the file has it."""

    line: int
    """Line where it starts, from 1; the row number where a format has no lines."""
    value: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that cannot be read."""

    line: int
    reason: str
    detail: str
    excerpt: str = ""


def too_large(line: int, size_bytes: int, max_row_bytes: int, excerpt: str = "") -> BadRow:
    """A row over the limit, which was passed over without being held in memory."""
    return BadRow(
        line=line,
        reason="row_too_large",
        detail=f"{size_bytes:,} bytes; the limit is {max_row_bytes:,} (data.max_row_bytes)",
        excerpt=excerpt,
    )


def excerpt(text: str) -> str:
    """The beginning of a text, printable and safe to store: no control character, no NUL."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:EXCERPT_CHARACTERS].strip()
    )
    return shown + ("…" if len(text) > EXCERPT_CHARACTERS else "")
