"""How the threads of a process that computes wait for each other.

OpenMP's threads wait by spinning, and as soon as another process takes one of their cores all of
them wait for it: a step was seen to take 16 times as long. If they sleep at once instead, waking
them costs a quarter of a step. So they spin for some microseconds and then sleep:
docs/experiments.md has what each costs on an idle machine and beside a busy core.
"""

from __future__ import annotations

from collections.abc import Mapping

_BRIEFLY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""GNU's OpenMP, which torch has on Linux, reads the second where it is set; others the first."""


def waiting_briefly(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of such a process, made of ours; what a person has set for it stays."""
    chosen = {} if _BRIEFLY.keys() & environment.keys() else _BRIEFLY
    return {**chosen, **environment}
