"""The rows: can they be read, and is enough of them left?"""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import MOST_ROWS, Look

_MANY = 0.1
"""Share of the rows left out from which on a person should look why."""
_SHOWN_REASONS = 3


def rows(look: Look) -> Iterator[Finding]:
    """How many are usable; with reasons where many are not."""
    seen = look.rows
    which = "rows" if seen.whole else f"rows, the first {MOST_ROWS:,} of more"
    found = f"{len(seen.examples):,} usable of {seen.rows:,} {which}"
    left_out = seen.rows - len(seen.examples)
    reasons = ", ".join(
        f"{count:,} × {reason}" for reason, count in seen.left_out.most_common(_SHOWN_REASONS)
    )
    if left_out > _MANY * seen.rows:
        yield warning(
            "rows",
            f"{found}; left out: {reasons}.",
            "See each with `tuneloop data quarantine` after `tuneloop prepare`.",
        )
    else:
        yield ok("rows", found + (f"; left out: {reasons}." if reasons else "."))
