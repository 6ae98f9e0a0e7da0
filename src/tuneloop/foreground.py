"""Child processes that rest while we rest: Ctrl-Z at a terminal, and `fg`.

A child in a session of its own does not hear what the terminal says, so that Ctrl-C comes to us and
we end it in our own words. Then Ctrl-Z has to be passed on, too: who stops a training wants the
processor back.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

_sessions: set[int] = set()


def rest_with_us(session: int) -> None:
    """From now on the child that leads `session` rests when this process does."""
    _sessions.add(session)


def forget(session: int) -> None:
    """It has ended."""
    _sessions.discard(session)


def rest() -> None:
    """Stop this process and its children until somebody lets it go on (SIGTSTP, SIGCONT)."""
    _tell(signal.SIGSTOP)
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    # From here on somebody has said SIGCONT to us.
    signal.signal(signal.SIGTSTP, before)
    _tell(signal.SIGCONT)


def _tell(number: signal.Signals) -> None:
    for session in _sessions:
        with suppress(ProcessLookupError):
            os.killpg(session, number)
