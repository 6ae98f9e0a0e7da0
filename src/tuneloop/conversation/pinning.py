"""A template in which nothing is left to whoever asks: whether to think, and what day it is.

A template that reads the clock gives another prompt every day, and one that asks its caller whether
to think answers otherwise in training than in production. Both are decided once, written into the
template's text, and so part of everything that is made with it.
"""

from __future__ import annotations

import re
from datetime import date

from tuneloop.conversation.template import thinking_switch

DAY = date(2024, 7, 26)
"""What templates that ask for the day are told: the date that Llama 3's own falls back to."""
_CLOCK = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
_READS = re.compile(r"strftime_now\s*\(")
"""Whether the clock can be read at all, templates ask without reading it."""
_DATE_STRING = re.compile(r"(?<![\w.'\"])date_string(?![\w'\"])")
_DATE_FORMAT = "%d %b %Y"
"""Of Llama 3's `date_string`."""


def reads_the_clock(text: str) -> bool:
    """Whether what a template's text makes depends on the day."""
    return _READS.search(text) is not None


def pinned(text: str, *, thinking: bool, day: date = DAY) -> str:
    """The template's text with both decided; the same text where it asks neither."""
    decided = ""
    if switch := thinking_switch(text):
        decided += f"{{%- set {switch} = {'true' if thinking else 'false'} -%}}\n"
    if _DATE_STRING.search(text):  # A server may hand it over, and llama.cpp does.
        decided += f'{{%- set date_string = "{day.strftime(_DATE_FORMAT)}" -%}}\n'
    text = _CLOCK.sub(lambda match: f'"{day.strftime(match[2])}"', text)
    return text if text.startswith(decided) else decided + text
