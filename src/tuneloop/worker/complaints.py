"""What fails again and again in the same way is said once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tuneloop.errors import TuneloopError


class Complaints:
    """What was said last of each thing that is tried again and again."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._last: dict[str, str] = {}

    def heard(self, what: str, action: Callable[[], object]) -> bool:
        """Do it; whether it went well. A failure is logged, and it is for the caller to try again.

        Nothing is passed on that a store, a disk or a user's mistake can cause.
        """
        try:
            action()
        except (TuneloopError, OSError) as e:
            complaint = e.message if isinstance(e, TuneloopError) else str(e)
            if self._last.get(what) != complaint:
                self._log.warning("%s: %s It is tried again.", what, complaint)
            self._last[what] = complaint
            return False
        self._last.pop(what, None)
        return True
