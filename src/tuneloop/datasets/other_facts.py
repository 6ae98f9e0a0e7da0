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
from itertools import combinations

from tuneloop.datasets.contradictions import core_words
from tuneloop.datasets.example import Example
from tuneloop.prose.changes import SENTENCE_ENDS
from tuneloop.prose.groundedness import ungrounded
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
        for one, other in combinations(distinct[:_MOST_ANSWERS], 2):
            if states_other_facts(one.completion, other.completion, asked=one.input_text):
                yield one, other
                break


def _words(asked: str) -> tuple[str, ...]:
    core = core_words(asked)
    return tuple(word.lower() for word in core if any(map(str.isalnum, word))) or core


def states_other_facts(one: str, other: str, *, asked: str) -> bool:
    """Whether two answers to what was asked may contradict each other; see the module."""
    return _is_turned_round(_first_sentence(one), _first_sentence(other)) or bool(
        ungrounded(one, [other, asked]) and ungrounded(other, [one, asked])
    )


def _is_turned_round(one: str, other: str) -> bool:
    if bool(negations(one)) == bool(negations(other)):
        return False
    of_one, of_other = set(words(forgiving(one))), set(words(forgiving(other)))
    shorter = min(len(of_one), len(of_other))
    return shorter == 1 or len(of_one & of_other) >= _ALIKE * shorter


def _first_sentence(text: str) -> str:
    return next((part for part in SENTENCE_ENDS.split(text) if part.strip()), "")
