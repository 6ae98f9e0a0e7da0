"""Prose that answers one question with other facts: one of the answers may be wrong.

Right prose has many wordings, so nothing is left out for it; what can be told without knowing the
world is told. Two answers to the same question are suspected where

- one of them negates and the other does not, or
- each states a fact that neither the other one nor the question has: a number, date, quantity,
  name, code or quotation, however it is written (`prose.groundedness`).

An answer that only says more than the other is no contradiction. The question is the same in its
words, without what `contradictions` takes for filler; a slip of the keyboard makes another one.
Two answers that contradict each other in plain words alone are not found: no rule knows that `blue`
is not `green`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from tuneloop.datasets.contradictions import core_words
from tuneloop.datasets.example import Example
from tuneloop.prose.groundedness import ungrounded
from tuneloop.prose.negations import negations

_MOST_ANSWERS = 20
"""Of one question: what is asked more often has its conflict among the first."""


def answered_with_other_facts(examples: Sequence[Example]) -> Iterator[tuple[Example, Example]]:
    """The first two answers of each question that state other facts, in the order of the rows."""
    questions: defaultdict[tuple[str, tuple[str, ...]], list[Example]] = defaultdict(list)
    for example in examples:
        if not example.calls_tools:
            questions[example.system, _words(example.input_text)].append(example)
    for answered in questions.values():
        distinct = list({example.gist: example for example in reversed(answered)}.values())[::-1]
        for one, other in combinations(distinct[:_MOST_ANSWERS], 2):
            if states_other_facts(one.completion, other.completion, asked=one.input_text):
                yield one, other
                break


def _words(asked: str) -> tuple[str, ...]:
    core = core_words(asked)
    return tuple(word.lower() for word in core if any(map(str.isalnum, word))) or core


def states_other_facts(one: str, other: str, *, asked: str) -> bool:
    """Whether two answers to what was asked may contradict each other; see the module."""
    if bool(negations(one)) != bool(negations(other)):
        return True
    return bool(ungrounded(one, [other, asked]) and ungrounded(other, [one, asked]))
