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
OPENINGS, CLOSINGS = (tuple(pair[side] for pair in MARKS) for side in (0, 1))
_OPENING, _CLOSING = ("|".join(map(re.escape, marks)) for marks in (OPENINGS, CLOSINGS))
FIRST_MARK = rf"(?s)\A.*?({_OPENING}|{_CLOSING})"
"""The first of all marks in a text, as a group."""
WHOLE = r"(?s)\A\s*(?:" + "|".join(rf"{re.escape(o)}.*?{re.escape(c)}" for o, c in MARKS) + r")\s*"
"""A thought with both its marks at the beginning of an answer."""
OPENED = rf"\A\s*(?:{_OPENING})"
"""The beginning of a thought, which may have been cut off."""
BEGUN = rf"(?s)\A.*?(?:\n[ \t]*(?:{_CLOSING})|(?:{_CLOSING})[ \t]*(?:\n|$))\s*"
"""A thought whose opening mark stands in the prompt: its closing one begins or ends a line.

Elsewhere a mark is a word of whoever writes about marks. These patterns are read by polars, too.
"""
_WHOLE, _BEGUN, _FIRST_MARK = (re.compile(pattern) for pattern in (WHOLE, BEGUN, FIRST_MARK))
_EMPTY = re.compile(rf"\A\s*(?:{_OPENING})\s*(?:{_CLOSING})\s*")
_MARK = re.compile(rf"\s*(?:{_OPENING}|{_CLOSING})\s*")


def split_thought(text: str) -> tuple[str, str]:
    """The thought at the beginning of what a model wrote, and its answer.

    A thought that was cut off before its end has no answer behind it.
    """
    first = _FIRST_MARK.match(text)
    if first is None:
        return "", text
    begun = first[1] in CLOSINGS
    if match := (_BEGUN if begun else _WHOLE).match(text):
        return _without_marks(match.group()), text[match.end() :]
    if text.lstrip().startswith(OPENINGS):
        return _MARK.sub("", text.lstrip(), count=1).strip(), ""
    return "", text


def _without_marks(thought: str) -> str:
    """A thought without the mark before it and the one behind it; others are words of it."""
    said = thought.strip()
    said = next((said.removeprefix(it) for it in OPENINGS if said.startswith(it)), said)
    return next((said.removesuffix(it) for it in CLOSINGS if said.endswith(it)), said).strip()


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
