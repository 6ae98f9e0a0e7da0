"""Phrases that many answers share and none of the bundle's own answers has: a disclaimer, say.

A phrase is a run of three to five words of one sentence, in the forgiving form in which numbers
count as equal; in scripts without spaces words are pairs of characters, see `sameness.segmenting`.
Runs are compared by a 64-bit hash: two of a million are taken for the same once in 10^7 cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from tuneloop.errors import DataError
from tuneloop.monitoring import reference_folder
from tuneloop.monitoring.novelty import absent_beyond_chance
from tuneloop.sameness import forgiving, words
from tuneloop.sameness.segmenting import UNSPACED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint64]

REFERENCE_VERSION = 1
"""Grows when a reference is computed differently, so that no cached one of another rule is used."""
LENGTHS = (3, 4, 5)
"""Words of a phrase."""
MOST_OWN = 20_000
"""Training answers that phrases are known from; of more, a random sample."""
SHARED_BY = 0.02
"""Least share of the answers that have a phrase; less is what every topic of a day brings."""
_MOST_NAMED = 5
_FACTOR = 0x9E37_79B9_7F4A_7C15
"""Odd, so that every bit of a word counts (Knuth, TAOCP 3, section 6.4)."""
_REMEMBERED_WORDS = 100_000
_CLUSTER = regex.compile(r"\X")
_SENTENCE_END = regex.compile(r"[.!?…;:]+\s|[。！？।؟\n]+")
_UNSPACED = regex.compile(UNSPACED, regex.V1)


@dataclass(frozen=True, kw_only=True)
class OwnPhrases:
    """Every phrase of a dataset's training answers."""

    hashes: Hashes
    """Ascending, each once."""
    rows: int
    """Answers that they are from."""

    def has(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Of each hash (n,) whether it is one of them: (n,)."""
        import numpy as np

        return np.isin(hashes, self.hashes)

    def with_answers(self, answers: Sequence[str]) -> OwnPhrases:
        """Also what these answers say."""
        import numpy as np

        own = np.union1d(self.hashes, _every(answers))
        return OwnPhrases(hashes=own, rows=self.rows + len(answers))

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all; an existing one is replaced."""
        reference_folder.save(folder, {"hashes": self.hashes}, {"rows": self.rows})

    @classmethod
    def load(cls, folder: Path) -> OwnPhrases | None:
        """The phrases in a folder; None when there are none or it is damaged."""
        stored = reference_folder.load(folder)
        return stored and cls(hashes=stored[0]["hashes"], rows=stored[1]["rows"])


@dataclass(frozen=True, kw_only=True)
class NewPhrase:
    """Words that answers share and the bundle's own answers never have."""

    words: str
    """In forgiving form, each number as 0."""
    answers: int
    """Answers that have it, or its commonest part."""
    example: int
    """The number of an answer that has it."""


@dataclass(frozen=True, kw_only=True)
class NewPhrases:
    """What is new in some answers."""

    named: tuple[NewPhrase, ...]
    """The commonest first."""
    having: int
    """Answers with any new phrase."""


def own_phrases(answers: Sequence[str]) -> OwnPhrases:
    """The phrases of training answers.

    Raises:
        DataError: there are none.
    """
    import numpy as np

    if not answers:
        raise DataError("Expected training answers to know phrases from, found none.")
    if len(answers) > MOST_OWN:
        drawn = np.random.default_rng(0).choice(len(answers), MOST_OWN, replace=False)
        answers = [answers[row] for row in sorted(drawn)]
    return OwnPhrases(hashes=_every(answers), rows=len(answers))


def new_phrases(answers: Sequence[str], own: OwnPhrases) -> NewPhrases:
    """Phrases of these answers that its own never have, too often for chance.

    `SHARED_BY` of the answers have it, and by the test of `absent_beyond_chance` it is not missing
    from its own answers by chance.
    """
    import numpy as np

    if not answers:
        return NewPhrases(named=(), having=0)
    of_each = [_distinct(answer) for answer in answers]
    known, counts = np.unique(np.concatenate(of_each), return_counts=True)
    shared = counts >= math.ceil(SHARED_BY * len(answers))
    known, counts = known[shared], counts[shared]
    absent = ~own.has(known)
    found = absent_beyond_chance(
        {str(phrase): int(n) for phrase, n in zip(known[absent], counts[absent], strict=True)},
        rows=len(answers),
        other=(),
        other_rows=own.rows,
    )
    new = {int(phrase.word): phrase.prompts for phrase in found}
    hashes = np.array(sorted(new), dtype=np.uint64)
    having = [bool(np.isin(of, hashes).any()) for of in of_each] if new else []
    return NewPhrases(named=_named(new, answers, of_each), having=sum(having))


def _named(
    new: dict[int, int], answers: Sequence[str], of_each: Sequence[Hashes]
) -> tuple[NewPhrase, ...]:
    """The commonest of them, each as long as it stands in an answer; overlapping ones are one."""
    import numpy as np

    named: list[NewPhrase] = []
    left = dict(new)
    while left and len(named) < _MOST_NAMED:
        seed = max(left, key=lambda phrase: (left[phrase], phrase))
        number = next(row for row, of in enumerate(of_each) if np.uint64(seed) in of)
        run, parts = _run(answers[number], seed, left)
        named.append(NewPhrase(words=run, answers=left[seed], example=number))
        for part in parts:
            left.pop(part, None)
    return tuple(named)


def _run(answer: str, seed: int, new: dict[int, int]) -> tuple[str, set[int]]:
    """The words around a phrase that are new phrases without a gap, and their hashes."""
    for said in _sentences(answer):
        spans = sorted(
            (start, start + length, int(phrase))
            for length in LENGTHS
            for start, phrase in enumerate(_grams(said, length))
            if int(phrase) in new
        )
        if any(phrase == seed for _, _, phrase in spans):
            break
    start, end = next((start, end) for start, end, phrase in spans if phrase == seed)
    parts = {seed}
    grown = True
    while grown:
        grown = False
        for first, last, phrase in spans:
            if first <= end and last >= start and phrase not in parts:
                parts.add(phrase)
                start, end, grown = min(start, first), max(end, last), True
    return _joined(said[start:end]), parts


def _joined(said: Sequence[str]) -> str:
    """Words as they are written; pairs of characters overlap."""
    text = said[0]
    for word in said[1:]:
        first, *rest = _CLUSTER.findall(word)
        overlaps = _UNSPACED.match(word) and text.endswith(first)
        text += "".join(rest) if overlaps else f" {word}"
    return text


def _every(answers: Sequence[str]) -> Hashes:
    import numpy as np

    if not answers:
        return np.empty(0, dtype=np.uint64)
    return np.unique(np.concatenate([_distinct(answer) for answer in answers]))


def _distinct(answer: str) -> Hashes:
    """The phrases of an answer, each once."""
    import numpy as np

    sentences = _sentences(answer)
    return np.unique(
        np.concatenate([_grams(said, length) for length in LENGTHS for said in sentences])
    )


def _sentences(answer: str) -> list[list[str]]:
    """The words of each sentence, each number as 0."""
    return [
        ["0" if word[:1].isdigit() else word for word in words(forgiving(sentence))]
        for sentence in _SENTENCE_END.split(answer)
    ]


def _grams(said: Sequence[str], length: int) -> Hashes:
    """The hash of every run of so many words: (n - length + 1,)."""
    import numpy as np

    hashed = np.array([_hash(word) for word in said], dtype=np.uint64)
    grams = np.full(max(0, len(said) - length + 1), length, dtype=np.uint64)
    for place in range(length):
        grams = grams * np.uint64(_FACTOR) + hashed[place : place + len(grams)]
        grams ^= grams >> np.uint64(29)
    return grams


@lru_cache(maxsize=_REMEMBERED_WORDS)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest())
