"""Which facts of an answer stand neither in the prompt nor in what was supplied with it.

Numbers are looked up by value. Nothing is inferred: a sum, an age from a date of birth, a count
are not found, and a false sentence whose every fact stands in the prompt is.
"""

from __future__ import annotations

from collections.abc import Iterable

from tuneloop.prose.groundedness.claims import claims
from tuneloop.prose.groundedness.source import Source
from tuneloop.prose.groundedness.span import Kind, Span

__all__ = ["Kind", "Span", "checkable", "marked", "ungrounded"]


def checkable(answer: str) -> tuple[Span, ...]:
    """The parts of an answer that can be looked up, in their order; none overlaps another."""
    return tuple(claim.span for claim in claims(answer))


def ungrounded(answer: str, sources: Iterable[str]) -> tuple[Span, ...]:
    """The checkable parts of an answer that none of the sources has."""
    source = Source(sources)
    return tuple(claim.span for claim in claims(answer) if not claim.holds(source))


def marked(answer: str, spans: Iterable[Span], *, opening: str = "⟦", closing: str = "⟧") -> str:
    """The answer with each span between two marks, for terminals with or without colours."""
    pieces, at = [], 0
    for span in sorted(spans, key=lambda span: span.start):
        pieces += [answer[at : span.start], opening, answer[span.start : span.end], closing]
        at = span.end
    return "".join([*pieces, answer[at:]])
