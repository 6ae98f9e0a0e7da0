"""Near-identical inputs with conflicting answers: one is wrong, and a person must say which.

Similarity alone cannot tell ("how do I freeze my card" and "how do I unfreeze my card" are 95 %
alike), so two inputs count as the same question only when nothing but filler, a contraction, a
pause or a slip of the keyboard sets them apart. Both rows are thrown away, so the inputs must else
be the same in strict form, and the answers differ in forgiving form.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuneloop.datasets.example import Example
from tuneloop.datasets.likeness import Likeness
from tuneloop.sameness import is_json_container, tokens

_POLITE = ("please", "pls", "kindly", "just", "hi", "hello", "hey", "thanks", "thank", "you")
_FILLER = frozenset(("a", "an", "the", *_POLITE, "bitte", "danke", "hallo"))
_CONTRACTION = re.compile(
    r"\b(what|that|it|he|she|there|where|how|who|when)'s\b"
    r"|\bi'm\b|\bcan't\b|\bwon't\b|n't\b|'ve\b|'ll\b|'re\b"
)
_EXPANDED = {
    "i'm": "i am",
    "can't": "can not",
    "won't": "will not",
    "n't": " not",
    "'ve": " have",
    "'ll": " will",
    "'re": " are",
}
_PAUSE = re.compile(r"(?<=\S)[,;:.…]+(?=\s|$)|[、。।॥۔¿¡]")
_MARKS = ("?", "!")
_TYPO_LETTERS = 5
_TYPO_SCRIPTS = ("LATIN", "GREEK", "CYRILLIC")
"""Where a word has many letters; in a syllable, a root or a pair of characters each one counts."""
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
        if len({examples[row].gist for row in rows}) < 2:
            continue
        contradiction = Contradiction(rows=rows)
        comparable = all(_comparable(examples[row].completion) for row in rows)
        (conflicting if comparable else varied).append(contradiction)
    return conflicting, varied


def same_question(first: str, second: str) -> bool:
    """Whether two inputs in strict form ask the same, but for filler and slips."""
    left, right = core_words(first), core_words(second)
    return len(left) == len(right) and all(map(_same_word, left, right))


def core_words(text: str) -> tuple[str, ...]:
    """Words and signs of a text in strict form, without contractions, filler and pauses."""
    if "'" in text:
        text = _CONTRACTION.sub(
            lambda match: f"{match[1]} is" if match[1] else _EXPANDED[match[0]], text
        )
    every = tokens(_PAUSE.sub(" ", text)) or tokens(text)
    if text.islower() and "?" not in text and "!" not in text:  # the common case, in less time
        return tuple([word for word in every if word not in _FILLER]) or tuple(every)
    return tuple(_without_filler(every)) or tuple(every)


def _without_filler(every: Iterable[str]) -> Iterable[str]:
    """What is left of `Please, Freeze it, thanks!`: `freeze it`, without capital and mark."""
    before, started = "", False
    for word in every:
        folded = word.lower()
        if folded not in _FILLER and not (word in _MARKS and before in _FILLER):
            yield word if started else _without_capital(word)
            started = True
        before = folded


def _same_questions(examples: Sequence[Example], likeness: Likeness) -> list[tuple[int, ...]]:
    """Groups of two or more rows, each in ascending order."""
    groups = _Groups(len(examples))
    first_of: dict[tuple[str, bytes], int] = {}
    careless: set[int] = set()
    cased: dict[int, tuple[str, bytes]] = {}
    for row, example in enumerate(examples):
        core = core_words(example.input_text)
        first = first_of.setdefault((example.system, _short(core)), row)
        groups.join(first, row)
        if _is_careless(example):
            careless.add(first)
        elif first == row and not example.input_text.islower():
            cased[first] = (example.system, _short(tuple(map(_without_capital, core))))
    for first, folded_key in cased.items():
        if (other := first_of.get(folded_key)) in careless:
            groups.join(first, other)
    for row in range(len(examples)):
        for other, similarity in likeness.neighbours(row):
            if other >= len(examples) or other <= row or similarity == 1.0:
                continue
            if examples[row].system == examples[other].system and same_question(
                examples[row].input_text, examples[other].input_text
            ):
                groups.join(row, other)
    return groups.listed()


class _Groups:
    """Which rows belong together: each points at an earlier one of its group, or at itself."""

    def __init__(self, rows: int) -> None:
        self._earlier = list(range(rows))

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self._first(one), self._first(other)))
        self._earlier[second] = first

    def listed(self) -> list[tuple[int, ...]]:
        """Groups of two or more, by their first rows."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for row, earlier in enumerate(self._earlier):
            if earlier != row:
                members[self._first(row)].append(row)
        return [(first, *others) for first, others in sorted(members.items())]

    def _first(self, row: int) -> int:
        while self._earlier[row] != row:
            self._earlier[row] = row = self._earlier[self._earlier[row]]
        return row


def _short(words: tuple[str, ...]) -> bytes:
    """A million questions in words would not fit into memory."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass")).digest()[:16]


def _is_careless(example: Example) -> bool:
    """Whether it was typed without capitals, or in nothing else: then they tell no words apart."""
    texts = [message.content for message in example.messages if message.role == "user"]
    return all(text in (text.lower(), text.upper()) for text in texts)


def _without_capital(word: str) -> str:
    """`Paris` → `paris`; `US` stays."""
    return word.lower() if word.istitle() else word


def _same_word(first: str, second: str) -> bool:
    if first == second:
        return True
    if min(len(first), len(second)) < _TYPO_LETTERS or not (first.isalpha() and second.isalpha()):
        return False
    if not (_has_many_letters(first) and _has_many_letters(second)):
        return False
    # Slips seldom hit the first letter, and there they make other words: affect, effect. So do
    # accents: cantó is not canto.
    return (
        first[0] == second[0]
        and _without_accents(first) != _without_accents(second)
        and _one_edit(first, second)
    )


def _has_many_letters(word: str) -> bool:
    return word.isascii() or all(
        unicodedata.name(letter, "").startswith(_TYPO_SCRIPTS) for letter in word
    )


def _without_accents(word: str) -> str:
    if word.isascii():
        return word
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def _one_edit(first: str, second: str) -> bool:
    from rapidfuzz.distance import OSA

    return OSA.distance(first, second, score_cutoff=1) <= 1


def _comparable(completion: str) -> bool:
    return is_json_container(completion) or len(completion.strip()) <= _SHORT_ANSWER_CHARACTERS
