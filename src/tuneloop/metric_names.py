"""Names of a team's own figures: feedback of the kind `metric`, each watched as `metric:NAME`.

The traffic keeps each name as a kind of feedback of its own, so the last report of a figure counts,
whatever others say of the same answer.
"""

from __future__ import annotations

import re

PREFIX = "metric:"
EVERY = PREFIX + "*"
"""All of them, where monitors are named."""
EXPECTED = "lower-case letters, digits, '_', '-' or '.', at most 57 of them, such as refund"
# With its prefix it is the name of a monitor, for which the tables have 64 characters.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,56}")


def is_name(text: str) -> bool:
    """Whether a figure may be called so."""
    return _NAME.fullmatch(text) is not None


def is_monitor(name: str) -> bool:
    """Whether a monitor of this name watches a team's own figure."""
    return name.startswith(PREFIX) and is_name(name.removeprefix(PREFIX))
