"""The rows: can they be read, and is enough of them left?"""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.amounts import many
from tuneloop.datasets.filters.length import TOO_LONG
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import MOST_ROWS, Look

_MANY = 0.1
"""Share of the rows left out from which on a person should look why."""
_SHOWN_REASONS = 3


def rows(look: Look) -> Iterator[Finding]:
    """How many are usable; which are left out and why, with the place of the first of each."""
    seen = look.rows
    usable = len(seen.examples)
    which = many(seen.rows, "row") if seen.whole else f"{MOST_ROWS:,} rows, the first of more"
    said = f"{many(usable, 'answer')} that can be learnt in {which}"
    reasons = ", ".join(
        f"{count:,} × {reason}, first {seen.first_left_out[reason]}"
        for reason, count in seen.left_out.most_common(_SHOWN_REASONS)
    )
    if sum(seen.left_out.values()) > _MANY * seen.answers:
        yield warning(
            "rows",
            f"{said}; left out: {reasons}.",
            "See each with `tuneloop data quarantine` after `tuneloop prepare`.",
        )
    else:
        yield ok("rows", said + (f"; left out: {reasons}." if reasons else "."))
    if long := seen.left_out[TOO_LONG]:
        most = look.model.data.max_characters
        are = "is" if long == 1 else "are"
        yield warning(
            "rows",
            f"{many(long, 'answer')} {are} left out, as prompt and answer have more than {most:,} "
            f"characters, first {seen.first_left_out[TOO_LONG]}.",
            "Raise data.max_characters to learn from them as well; the line on row length then "
            "says whether they fit into the window.",
        )
