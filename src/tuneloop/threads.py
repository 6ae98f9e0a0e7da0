"""How the threads of a process that computes wait for each other, and how long we wait for one.

OpenMP's threads wait by spinning, and as soon as another process takes one of their cores all of
them wait for it: a step was seen to take 16 times as long. If they sleep at once instead, waking
them costs a quarter of a step. So they spin for some microseconds and then sleep:
docs/experiments.md has what each costs on an idle machine and beside a busy core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

_BRIEFLY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""GNU's OpenMP, which torch has on Linux, reads the second where it is set; others the first."""


def waiting_briefly(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of such a process, made of ours; what a person has set for it stays."""
    chosen = {} if _BRIEFLY.keys() & environment.keys() else _BRIEFLY
    return {**chosen, **environment}


def within(seconds: float, call: Callable[[], object]) -> None:
    """Do it, but wait no longer than that: resolving a host's name heeds no time-out.

    Raises:
        TimeoutError: it took longer; what it does then is lost.
        Exception: as `call`.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as e:  # noqa: BLE001  it is raised again where it is waited for
            raised.append(e)

    waiting = threading.Thread(target=run, daemon=True)
    waiting.start()
    waiting.join(seconds)
    if waiting.is_alive():
        raise TimeoutError(f"nothing within {seconds:.0f} s")
    if raised:
        raise raised[0]
