"""Examples of what a monitor saw, made fit to be sent to a chat or a mailbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tuneloop.foreign_text import one_line
from tuneloop.personal_data import redacted

MOST = 3
CHARACTERS = 80
_TEXT_KEYS = ("prompt", "answer", "text")
# They are words of clients: in a chat they must neither call people nor become links.
_DISARMED = str.maketrans({"<": "‹", ">": "›", "@": "＠"})


def quotable(detail: Mapping[str, Any]) -> list[str]:
    """Up to three short texts of a measurement's `examples`, without personal data or markup."""
    return [text for text, _ in zip(_quoted(detail), range(MOST), strict=False)]


def _quoted(detail: Mapping[str, Any]) -> Iterator[str]:
    for example in detail.get("examples", ()):
        text = example if isinstance(example, str) else _text(example)
        text = one_line(redacted(text)[0])
        text = text.translate(_DISARMED).replace("://", ":/ /")
        if text:
            yield text if len(text) <= CHARACTERS else f"{text[: CHARACTERS - 1]}…"


def _text(example: Mapping[str, Any]) -> str:
    return next((str(example[key]) for key in _TEXT_KEYS if example.get(key)), "")
