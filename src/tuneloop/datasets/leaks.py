"""The continuing check that nothing held out is trained on, also by way of production (D7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tuneloop.datasets.conversations import of_one_conversation
from tuneloop.datasets.example import Example
from tuneloop.datasets.likeness import Search, compare
from tuneloop.sameness import forgiving, words

_QUOTED_CHARACTERS = 30
"""Shorter texts stand in others by chance."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A training row that gives a held-out case away."""

    training: Example
    held_out: Example
    similarity: float = 1.0
    """Of the inputs, 0..1; 1 when they are equal in normal form."""
    why: Literal["alike", "conversation"] = "alike"

    @property
    def detail(self) -> str:
        """What it gives away and how, for people."""
        case = f"the held-out case in {self.held_out.place}"
        if self.why == "conversation":
            return f"of one conversation with {case}"
        return f"{self.similarity:.0%} alike to {case}"


def find_leaks(
    training: Sequence[Example],
    held_out: Sequence[Example],
    *,
    similarity: float,
    known: Search | None = None,
) -> list[Leak]:
    """Training rows whose input equals or is alike to that of a held-out case, or that are of one
    conversation with it: either holds the other among its turns.

    Inputs that share a template with most others count when they are equal only. Wording that was
    changed throughout is not found: that takes embeddings, not letters. `known` is a search among
    these inputs and others.
    """
    if not training or not held_out:
        return []
    both = [*training, *held_out]
    likeness = compare(
        [example.input_text for example in both],
        similarity=similarity,
        reference=len(training),
        known=known,
    )
    first_case = len(training)
    leaks = []
    for row, example in enumerate(training):
        cases = [(alike, other) for other, alike in likeness.neighbours(row) if other >= first_case]
        if cases:
            alike, other = max(cases)
            leaks.append(Leak(training=example, held_out=both[other], similarity=alike))
    told = {leak.training.id for leak in leaks}
    talks = dict(of_one_conversation(training, held_out))
    leaks += [
        Leak(training=training[row], held_out=held_out[case], why="conversation")
        for row, case in talks.items()
        if training[row].id not in told
    ]
    return leaks


def known_cases(
    training: Sequence[Example], cases: Sequence[Example], *, similarity: float
) -> set[int]:
    """Positions of the cases that were trained on, in the same sense as in `find_leaks`."""
    texts = [example.input_text for example in (*training, *cases)]
    likeness = compare(texts, similarity=similarity, reference=len(training))
    alike = {
        case
        for case in range(len(cases))
        if any(row < len(training) for row, _ in likeness.neighbours(len(training) + case))
    }
    return alike | {case for _, case in of_one_conversation(training, cases)}


def find_quotes(captured: Sequence[Example], held_out: Sequence[Example]) -> list[Leak]:
    """Rows from production that hold the question of a held-out case word for word.

    A client may wrap a question that is also a test case in a greeting or a form, or go on talking
    after it: as a whole such a conversation is not alike to the case.
    """
    questions = {
        _in_words(text): case
        for case in held_out
        if len(text := forgiving(case.question)) >= _QUOTED_CHARACTERS
    }
    leaks = []
    for example in captured:
        asked = "\n".join(
            _in_words(forgiving(message.content))
            for message in example.messages
            if message.role == "user"
        )
        quoted = next((case for text, case in questions.items() if text in asked), None)
        if quoted is not None:
            leaks.append(Leak(training=example, held_out=quoted))
    return leaks


def _in_words(text: str) -> str:
    """So that a text stands in another one word for word where its own stands in the other's."""
    return f" {' '.join(words(text))} "
