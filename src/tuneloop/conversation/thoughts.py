"""What a model thinks before it answers, told apart from the answer.

Models write their thoughts between two marks of their own. Programs and people get the answer
behind them: that is what is compared, checked and judged; captures keep both.
"""

from __future__ import annotations

import re

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
)
"""Opening and closing mark, as families of models write them."""
_OPENING = "|".join(re.escape(opening) for opening, _ in MARKS)
_CLOSING = "|".join(re.escape(closing) for _, closing in MARKS)
PATTERN = rf"(?s)\A\s*(?:{_OPENING})?.*?(?:{_CLOSING})\s*"
"""A thought at the beginning of an answer; the opening mark may stand in the prompt already."""
_EMPTY = re.compile(rf"\A\s*(?:{_OPENING})\s*(?:{_CLOSING})\s*")
_THOUGHT = re.compile(PATTERN)
_MARK = re.compile(rf"\s*(?:{_OPENING}|{_CLOSING})\s*")


def split_thought(text: str) -> tuple[str, str]:
    """The thought at the beginning of what a model wrote, and its answer.

    A thought that was cut off before its end has no answer behind it.
    """
    if not any(mark in text for pair in MARKS for mark in pair):
        return "", text
    if match := _THOUGHT.match(text):
        return _MARK.sub("", match.group()).strip(), text[match.end() :]
    opened = text.lstrip()
    if opened.startswith(tuple(opening for opening, _ in MARKS)):
        return _MARK.sub("", opened, count=1).strip(), ""
    return "", text


def answer_in(text: str) -> str:
    """What a model wrote without its thought."""
    return split_thought(text)[1]


def without_empty_thought(text: str) -> str:
    """The text without a thought at its beginning in which nothing was thought."""
    return _EMPTY.sub("", text)


def closing_of(prompt: str) -> str | None:
    """The mark that ends a thought which a prompt has begun; None: it has begun none."""
    end = prompt.rstrip()
    return next((closing for opening, closing in MARKS if end.endswith(opening)), None)
