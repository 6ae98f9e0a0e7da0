"""Prose that answers one question with other facts: one of the answers may be wrong.

Right prose has many wordings, so nothing is left out for it; what can be told without knowing the
world is told. Two answers to the same question are suspected where

- one begins with a sentence that negates, and the other with one that does not and has a third of
  the shorter one's words: "Yes, we ship to Norway." and "No, we do not ship abroad.", or
- each states a fact that neither the other one nor the question has: a number, date, quantity,
  name, code or quotation, however it is written (`prose.groundedness`).

An answer that only says more than the other is no contradiction. The question is the same in its
words, without what `contradictions` takes for filler; a slip of the keyboard makes another one.
Two answers that contradict each other in plain words alone are not found: no rule knows that `blue`
is not `green`.

Of 400 pairs of open replies (hh_rlhf, chosen and rejected) 12 % are suspected; 43 % were when a
negation anywhere in the answer counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from tuneloop.datasets.contradictions import core_words
from tuneloop.datasets.example import Example
from tuneloop.prose.changes import SENTENCE_ENDS
from tuneloop.prose.groundedness.claims import Claim, claims
from tuneloop.prose.groundedness.source import Source
from tuneloop.prose.negations import negations
from tuneloop.sameness import forgiving, words

_MOST_ANSWERS = 20
"""Of one question: what is asked more often has its conflict among the first."""

_ALIKE = 1 / 3
"""Of the words of the shorter sentence: then both speak of the same."""


def answered_with_other_facts(examples: Sequence[Example]) -> Iterator[tuple[Example, Example]]:
    """The first two answers of each question that state other facts, in the order of the rows."""
    questions: defaultdict[tuple[str, tuple[str, ...]], list[Example]] = defaultdict(list)
    for example in examples:
        if not example.calls_tools:
            questions[example.system, _words(example.input_text)].append(example)
    for answered in questions.values():
        distinct = list({example.gist: example for example in reversed(answered)}.values())[::-1]
        answers = [_Answer(example=example) for example in distinct[:_MOST_ANSWERS]]
        for one, other in combinations(answers, 2):
            if one.states_other_facts_than(other):
                yield one.example, other.example
                break


def _words(asked: str) -> tuple[str, ...]:
    core = core_words(asked)
    return tuple(word.lower() for word in core if any(map(str.isalnum, word))) or core


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """An answer, read once: it is compared with every other one to its question."""

    example: Example

    def states_other_facts_than(self, other: _Answer) -> bool:
        """Whether the two may contradict each other; see the module."""
        return self._is_turned_round(other) or (self._adds_to(other) and other._adds_to(self))

    def _is_turned_round(self, other: _Answer) -> bool:
        if self._negates == other._negates:
            return False
        shorter = min(len(self._first_words), len(other._first_words))
        return shorter == 1 or len(self._first_words & other._first_words) >= _ALIKE * shorter

    def _adds_to(self, other: _Answer) -> bool:
        return any(not fact.holds(other._known) for fact in self._facts)

    @cached_property
    def _first(self) -> str:
        sentences = SENTENCE_ENDS.split(self.example.completion)
        return next((sentence for sentence in sentences if sentence.strip()), "")

    @cached_property
    def _negates(self) -> bool:
        return bool(negations(self._first))

    @cached_property
    def _first_words(self) -> set[str]:
        return set(words(forgiving(self._first)))

    @cached_property
    def _facts(self) -> tuple[Claim, ...]:
        return tuple(claims(self.example.completion))

    @cached_property
    def _known(self) -> Source:
        """What it says, and what was asked."""
        return Source([self.example.completion, self.example.input_text])
