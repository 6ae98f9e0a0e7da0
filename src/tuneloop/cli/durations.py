"""How long each step took the last time, so that one whose end nobody knows can say about when.

Kept in a file of the workspace, by the step's text without its names and numbers. Losing it loses
an estimate.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

_WORTH_KEEPING_SECONDS = 2.0
_NAMES = re.compile(r"\S*[\d/'\"]\S*")


class Durations:
    """Step → seconds of the last time."""

    def __init__(self, file: Path) -> None:
        """Read what is there; a damaged file is none."""
        self._file = file
        self._seconds: dict[str, float] = {}
        with suppress(OSError, ValueError):
            kept = json.loads(file.read_text(encoding="utf-8"))
            self._seconds = {str(step): float(seconds) for step, seconds in kept.items()}

    def of(self, step: str) -> float | None:
        """Seconds that a step of this kind took the last time."""
        return self._seconds.get(_kind(step))

    def keep(self, step: str, seconds: float) -> None:
        """Remember a step that came to its end."""
        if seconds < _WORTH_KEEPING_SECONDS and _kind(step) not in self._seconds:
            return
        self._seconds[_kind(step)] = round(seconds, 1)
        partial = self._file.with_suffix(".part")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self._seconds, indent=1), encoding="utf-8")
            partial.replace(self._file)


def _kind(step: str) -> str:
    return " ".join(_NAMES.sub("", step).split())
