"""Child processes that rest while we rest: Ctrl-Z at a terminal, and `fg`.

A child in a session of its own does not hear what the terminal says, so that Ctrl-C comes to us and
we end it in our own words. Then Ctrl-Z has to be passed on, too: who stops a training wants the
processor back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_sessions: set[int] = set()


@contextmanager
def resting_with_us(session: int) -> Iterator[None]:
    """While it lasts, the child that leads `session` rests when this process does."""
    _sessions.add(session)
    try:
        yield
    finally:
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
