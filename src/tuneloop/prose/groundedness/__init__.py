"""Which facts of an answer stand neither in the prompt nor in what was supplied with it.

| kind | stands there | does not tell |
|---|---|---|
| number | by value, in digits of any script or in words of eight languages | what it counts |
| date | day, month, year, weekday, time of day; ambiguous ones in either reading | `last year` |
| quantity | by amount in any unit; also where its number stands without a unit | of what |
| name | each word of it, also inflected in Cyrillic or Greek | who did what |
| code | sign for sign, however it is parted or spelled | |
| quotation | word for word; `…` leaves words out | who said it |

Nothing is inferred: a sum, an age from a date of birth and a paraphrase are not found in the
prompt. A false sentence whose every fact stands there is not found out: a negation, a mix-up of two
patients. Names are not checked in scripts without capitals, nor in German but behind a title.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tuneloop.intervals import Figure, pooled_share
from tuneloop.prose.groundedness.claims import claims
from tuneloop.prose.groundedness.source import Source
from tuneloop.prose.groundedness.span import Kind, Span

__all__ = ["Kind", "Span", "checkable", "marked", "rate_of_references", "texts_in", "ungrounded"]


def checkable(answer: str) -> tuple[Span, ...]:
    """The parts of an answer that can be looked up, in their order; none overlaps another."""
    return tuple(claim.span for claim in claims(answer))


def ungrounded(answer: str, sources: Iterable[str]) -> tuple[Span, ...]:
    """The checkable parts of an answer that none of the sources has."""
    source = Source(sources)
    return tuple(claim.span for claim in claims(answer) if not claim.holds(source))


def rate_of_references(examples: Iterable[tuple[Iterable[str], str]]) -> Figure | None:
    """How much reference answers add to what they were given, of (sources, answer) each.

    The share of all their checkable parts, 0 to 1, answers drawn again as wholes; None where they
    have none. A model learns to add as much, so that a gate below it can hardly be passed.
    """
    missing, parts = [], []
    for sources, answer in examples:
        found = claims(answer)
        source = Source(sources)
        missing.append(sum(not claim.holds(source) for claim in found))
        parts.append(len(found))
    return pooled_share(missing, parts) if any(parts) else None


def marked(answer: str, spans: Iterable[Span], *, opening: str = "⟦", closing: str = "⟧") -> str:
    """The answer with each span between two marks, for terminals with or without colours."""
    pieces, at = [], 0
    for span in sorted(spans, key=lambda span: span.start):
        pieces += [answer[at : span.start], opening, answer[span.start : span.end], closing]
        at = span.end
    return "".join([*pieces, answer[at:]])


def texts_in(value: Any) -> Iterator[str]:
    """Every text of messages or tools in JSON form, numbers as they are written; not the roles."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for key, part in value.items() if key != "role" for text in texts_in(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in texts_in(part))
    elif isinstance(value, int | float):
        yield json.dumps(value)
