"""Answers that stop in the middle."""

from __future__ import annotations

import json
import re

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop

_MARKER = re.compile(r"(\[|<|\()\s*(truncated|cut off|continued)\s*(\]|>|\))\s*$", re.IGNORECASE)


class Truncated:
    """Drops `truncated`.

    Free text that merely lacks a full stop is kept: too many good answers do.
    """

    name = "truncated"

    def __call__(self, example: Example) -> FilterResult:
        """Look for a cut-off JSON value, an open code block, a marker, a length stop."""
        answer = example.completion.strip()
        if example.tags.get("finish_reason") == "length":
            return drop("truncated", "the source says finish_reason: length")
        if _MARKER.search(answer):
            return drop("truncated", f"the answer ends with {answer[-20:]!r}")
        if answer.count("```") % 2:
            return drop("truncated", "a code block is opened and not closed")
        if answer[:1] in ("{", "[") and _json_stops_early(answer):
            return drop("truncated", f"the JSON stops in the middle: …{answer[-20:]!r}")
        return KEEP


def _json_stops_early(text: str) -> bool:
    """Whether a JSON value is fine as far as it goes but ends too soon."""
    try:
        json.loads(text)
    except json.JSONDecodeError as e:
        # An unterminated string is reported where it begins, everything else where it fails.
        return e.pos >= len(text) or e.msg.startswith("Unterminated string")
    except RecursionError:
        return False
    return False
