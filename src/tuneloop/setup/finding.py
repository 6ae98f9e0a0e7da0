"""What a look before a run found out, a line for each thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "error", "not looked at"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at before anything was trained."""

    what: str
    """What was looked at, e.g. `start token`."""
    found: str
    """What there is, in words."""
    verdict: Verdict
    """An error is certain to fail or to be wrong later; what is only a suspicion is a warning."""
    remedy: str = ""
    """What to do about it."""

    @property
    def sentence(self) -> str:
        """All of it on one line."""
        return f"{self.what}: {self.found} {self.remedy}".rstrip()


class UnseenError(Exception):
    """Something cannot be looked at from here; that is nobody's mistake."""

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        """`reason` is a sentence."""
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def ok(what: str, found: str) -> Finding:
    """Nothing is wrong with it."""
    return Finding(what=what, found=found, verdict="ok")


def warning(what: str, found: str, remedy: str = "") -> Finding:
    """Something may go wrong with it."""
    return Finding(what=what, found=found, verdict="warning", remedy=remedy)


def error(what: str, found: str, remedy: str = "") -> Finding:
    """Something will go wrong with it."""
    return Finding(what=what, found=found, verdict="error", remedy=remedy)


def unseen(what: str, reason: str, remedy: str = "") -> Finding:
    """Nobody can say from here."""
    return Finding(what=what, found=reason, verdict="not looked at", remedy=remedy)
