"""Who acts where nobody says it."""

from __future__ import annotations

import getpass
import os

VARIABLE = "TUNELOOP_ACTOR"


def whoever_acts() -> str:
    """Who is acting: TUNELOOP_ACTOR, else the system's user name."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
