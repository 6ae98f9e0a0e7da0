"""Near-identical inputs with conflicting answers: one is wrong, and a person must say which.

Similarity alone cannot tell ("how do I freeze my card" and "how do I unfreeze my card" are 95 %
alike), so two inputs count as the same question only when nothing but filler, a contraction or a
slip of the keyboard sets them apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tuneloop.datasets.example import Example
from tuneloop.datasets.likeness import Likeness
from tuneloop.datasets.normal_form import is_json_container

_POLITE = ("please", "pls", "kindly", "just", "hi", "hello", "hey", "thanks", "thank", "you")
_FILLER = frozenset(("a", "an", "the", *_POLITE, "bitte", "danke", "hallo"))
_EXPANDED = (
    (re.compile(r"\b(what|that|it|he|she|there|where|how|who|when)'s\b"), r"\1 is"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\bcan't\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'re\b"), " are"),
)
_WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")
_TYPO_LETTERS = 5
_SHORT_ANSWER_CHARACTERS = 40


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """Rows that answer one question in different ways."""

    rows: tuple[int, ...]


def find_contradictions(
    examples: Sequence[Example], likeness: Likeness
) -> tuple[list[Contradiction], list[Contradiction]]:
    """Contradictions, and questions that are answered in other words.

    Only answers that can be compared conflict: JSON values and labels of at most 40 characters.
    Free text may be right in many wordings; those rows come second and need no decision.
    """
    conflicting: list[Contradiction] = []
    varied: list[Contradiction] = []
    for rows in _same_questions(examples, likeness):
        if len({examples[row].answer for row in rows}) < 2:
            continue
        contradiction = Contradiction(rows=rows)
        comparable = all(_comparable(examples[row].completion) for row in rows)
        (conflicting if comparable else varied).append(contradiction)
    return conflicting, varied


def same_question(first: str, second: str) -> bool:
    """Whether two inputs in normal form ask the same, but for filler and slips."""
    left, right = core_words(first), core_words(second)
    return len(left) == len(right) and all(map(_same_word, left, right))


def core_words(text: str) -> tuple[str, ...]:
    """Words and signs of a text in normal form, without contractions and filler."""
    if "'" in text:
        for pattern, expansion in _EXPANDED:
            text = pattern.sub(expansion, text)
    words = tuple(_WORD_OR_SIGN.findall(text))
    return tuple(word for word in words if word not in _FILLER) or words


def _same_questions(examples: Sequence[Example], likeness: Likeness) -> list[tuple[int, ...]]:
    """Groups of two or more rows, each in ascending order."""
    by_words: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        # One text and not its words: a million rows would hold fifteen million of them.
        by_words[example.system, " ".join(core_words(example.input_text))].append(row)
    groups = {rows[0]: rows for rows in by_words.values()}
    first_of = {row: rows[0] for rows in by_words.values() for row in rows}
    for row in range(len(examples)):
        for other, similarity in likeness.neighbours(row):
            if other >= len(examples) or other <= row or similarity == 1.0:
                continue
            if examples[row].system == examples[other].system and same_question(
                examples[row].input_text, examples[other].input_text
            ):
                _join(groups, first_of, row, other)
    return [tuple(sorted(rows)) for rows in groups.values() if len(rows) > 1]


def _join(groups: dict[int, list[int]], first_of: dict[int, int], row: int, other: int) -> None:
    kept, gone = sorted((first_of[row], first_of[other]))
    if kept == gone:
        return
    for member in groups[gone]:
        first_of[member] = kept
    groups[kept] += groups.pop(gone)


def _same_word(first: str, second: str) -> bool:
    if first == second:
        return True
    if min(len(first), len(second)) < _TYPO_LETTERS or not (first.isalpha() and second.isalpha()):
        return False
    # Slips seldom hit the first letter, and there they make other words: affect, effect.
    return first[0] == second[0] and _one_edit(first, second)


def _one_edit(first: str, second: str) -> bool:
    from rapidfuzz.distance import OSA

    return OSA.distance(first, second, score_cutoff=1) <= 1


def _comparable(completion: str) -> bool:
    return is_json_container(completion) or len(completion.strip()) <= _SHORT_ANSWER_CHARACTERS
