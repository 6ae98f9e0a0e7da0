"""Contradictions in prose: one question, and answers that state other facts."""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.amounts import many
from tuneloop.datasets.example import Example
from tuneloop.datasets.other_facts import answered_with_other_facts
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task.kind import is_prose

_SHOWN = 3
_SHOWN_CHARACTERS = 60


def contradictions(look: Look) -> Iterator[Finding]:
    """Labels and values that contradict each other are left out when a version is made; prose is
    learnt as it stands, and a person is told."""
    if not is_prose(look.model.task):
        return
    found = list(answered_with_other_facts(look.rows.examples))
    if not found:
        yield ok("contradictions", "No question has answers that state other facts.")
        return
    are = "is" if len(found) == 1 else "are"
    shown = "; ".join(f"{_quoted(one)} and {_quoted(other)}" for one, other in found[:_SHOWN])
    yield warning(
        "contradictions",
        f"{many(len(found), 'question')} {are} answered with other facts, or once with a "
        f"negation and once without, so that one answer may be wrong: {shown}.",
        "Read them, and keep the answer that holds; they are learnt as they are.",
    )


def _quoted(example: Example) -> str:
    words = " ".join(example.completion.split())
    said = words if len(words) <= _SHOWN_CHARACTERS else f"{words[:_SHOWN_CHARACTERS]}…"
    return f"{example.place} (“{said}”)"
