"""Text that a template or another model left behind."""

from __future__ import annotations

import re

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop

# `<PERSON>` and `<EMAIL_ADDRESS>` are what redaction tools write: fine in a message, not here.
_NOUN = r"(NAME|COMPANY|DATE|ADDRESS|PHONE|EMAIL|PRODUCT|CUSTOMER|USER|AGENT|NUMBER|TITLE|ORDER)"
_ANYWHERE = (
    re.compile(r"\{\{\s*[\w.\- ]{1,60}\s*\}\}"),
    re.compile(r"\{%.{1,60}%\}"),
    # "[Enter]" and "[Your Orders]" are keys and buttons: only what asks to be filled in counts.
    re.compile(r"\[\s*(INSERT|FILL IN)\s[^\]\n]{1,60}\]", re.IGNORECASE),
    re.compile(rf"\[\s*YOUR\s(\w+\s)?{_NOUN}\s*\]", re.IGNORECASE),
    re.compile(r"\blorem ipsum dolor\b", re.IGNORECASE),
)
_IN_ANSWERS = (
    re.compile(rf"<(\w+_)?{_NOUN}(_\w+)?>"),
    re.compile(r"\bas an? (AI|artificial intelligence)( language)? model\b", re.IGNORECASE),
    re.compile(r"<\|?(im_start|im_end|endoftext|eot_id|assistant|user|system)\|?>"),
)


class LeftoverTemplate:
    """Drops `leftover_template`."""

    name = "leftover_template"

    def __call__(self, example: Example) -> FilterResult:
        """Search message and answer; an answer may repeat a placeholder of the message."""
        for pattern in _ANYWHERE:
            if match := pattern.search(example.question):
                return drop("leftover_template", f"the message holds {match.group()!r}")
        for pattern in (*_ANYWHERE, *_IN_ANSWERS):
            match = pattern.search(example.completion)
            if match and match.group() not in example.question:
                return drop("leftover_template", f"the answer holds {match.group()!r}")
        return KEEP
