"""Waiting for what must happen, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_SECONDS = 60.0


def wait_for(condition: Callable[[], _T | None], what: str, *, seconds: float = _SECONDS) -> _T:
    """The first value of `condition` that counts as true.

    Raises:
        TimeoutError: there is none in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.01)
    return found
