"""A row that does not become an example, and why: nothing is dropped without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.readers.rows import excerpt


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One row that was left out."""

    source: str
    line: int
    reason: str
    """Code, e.g. `bad_json`; counted in the report."""
    detail: str
    """What was expected and what was found, for people."""
    excerpt: str = ""
    """The beginning of the raw row; control characters are made visible."""
    example: Example | None = None
    """The row itself, where it could be read."""
    related: tuple[str, ...] = ()
    """Ids of the rows it was compared with: the duplicate that was kept, the other answer."""

    def as_row(self) -> dict[str, Any]:
        """The row of `quarantine.jsonl`."""
        return {
            "source": self.source,
            "line": self.line,
            "reason": self.reason,
            "detail": self.detail,
            "excerpt": self.excerpt,
            "related": list(self.related),
            "row": None if self.example is None else self.example.as_row(),
        }


def leave_out(
    example: Example, reason: str, detail: str, *, related: tuple[str, ...] = ()
) -> LeftOut:
    """Leave out a row that could be read."""
    return LeftOut(
        source=example.source,
        line=example.line,
        reason=reason,
        detail=detail,
        excerpt=excerpt(example.question),
        example=example,
        related=related,
    )
