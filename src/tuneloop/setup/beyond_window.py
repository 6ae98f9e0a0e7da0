"""Rows that a dataset version holds and training leaves out, as they are longer than its window.

A version is made for any base; only its tokenizer knows how long a row is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.amounts import many
from tuneloop.datasets.example import Example
from tuneloop.errors import TuneloopError
from tuneloop.project import Project
from tuneloop.setup.checks.window import trained
from tuneloop.setup.finding import UnseenError
from tuneloop.setup.look import MOST_ROWS, Look
from tuneloop.setup.written import tokenise, write


@dataclass(frozen=True, kw_only=True)
class BeyondWindow:
    """Answers to train on that are not learnt."""

    window: int
    """The most tokens of prompt and answer together."""
    setting: str
    """What says so, for people."""
    tokens: Mapping[str, int]
    """Id of an example → its tokens, of those that are longer."""
    first: str
    """Where the first of them stands, for people."""

    @property
    def sentence(self) -> str:
        """How many there are, and what becomes of them."""
        are = "is" if len(self.tokens) == 1 else "are"
        return (
            f"{many(len(self.tokens), 'answer')} to train on {are} longer than {self.setting}, "
            f"{self.window:,} tokens, first {self.first}: training leaves them out whole"
        )

    def as_row(self) -> dict[str, Any]:
        """In JSON form."""
        return {
            "window": self.window,
            "setting": self.setting,
            "answers": len(self.tokens),
            "first": self.first,
        }


def beyond_window(project: Project, examples: Sequence[Example]) -> BeyondWindow | None:
    """Those of `examples` that training leaves out; of many the first 10,000 are looked at.

    None: there are none, or nobody can tell from here, as the base is not on this machine.
    """
    look = Look(project)
    try:
        window = trained(look)
        rows = tokenise(look.base, write(look.base, examples[:MOST_ROWS]).taken)
    except (TuneloopError, UnseenError):
        return None
    long = [row for row in rows if len(row) > window.tokens]
    if not long:
        return None
    return BeyondWindow(
        window=window.tokens,
        setting=window.setting,
        tokens={row.example.id: len(row) for row in long},
        first=min((row.example.source, row.example.line, row.example.place) for row in long)[-1],
    )
