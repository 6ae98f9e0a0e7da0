"""What only the file may say: what a candidate is held against, and who must agree to it.

A file is under version control, where others see what was changed and why. A flag or a variable of
the environment is seen by nobody afterwards, and would let a model into production that misses what
everybody believes is asked of it.
"""

from __future__ import annotations

PROTECTED = (
    "evaluation.gates",
    "evaluation.margin",
    "evaluation.decision",
    "evaluation.minimum_cases",
    "evaluation.allow_small_suite",
    "evaluation.suites",
    "evaluation.reasons",
    "evaluation.forgetting",
    "bench.gates",
    "approvals",
    # The default gates follow from it.
    "task.kind",
)
"""Dotted keys; what is below one is as protected as it is."""


def protected_in(key: str) -> str | None:
    """The protected key that is touched where a dotted key is set; None: there is none.

    A whole section replaces what the file says there, so it touches every key that it may hold.
    """
    for name in PROTECTED:
        if key == name or key.startswith(f"{name}.") or name.startswith(f"{key}."):
            return name
    return None
