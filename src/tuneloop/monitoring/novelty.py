"""What the bundle was never taught: prompts far from all of its training prompts, and new words.

A prompt's similarity is the largest cosine to any training prompt (nearest neighbour). It is far
below a threshold that is calibrated on the bundle's own data, so that about 5 % of rows like those
it was trained on count as far. A renamed product leaves the sentence around it familiar, so a
prompt with a word that is new beyond chance is novel too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.embedders import Embedder
from tuneloop.errors import DataError
from tuneloop.monitoring import reference_folder
from tuneloop.sameness import strict
from tuneloop.sameness import words as every_word

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

REFERENCE_VERSION = 3
"""Grows when a reference is computed differently, so that no cached one of another rule is used."""
CALIBRATED_SHARE = 0.05
"""Share of the bundle's own rows that counts as far."""
HELD_OUT_ALONE_FROM = 200
"""With fewer held-out rows their 5 % quantile is a matter of luck (on CLINC150 banking, 22 rows:
far share of familiar traffic 14 % ± 7; with the training rows' own leave-one-out similarities
9 % ± 2), so those are added."""
NEW_WORD_P = 0.001
"""Largest probability that a word listed as new is missing from the training rows by chance."""
NEW_WORD_PROMPTS = 3
"""Fewest prompts that have a new word: against a large training set two would do by the test."""
_CHUNK_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class NoveltyReference:
    """The training prompts of one dataset, as one embedder sees them."""

    embedder: str
    """Name of the embedder; vectors of another one must not be compared."""
    threshold: float
    """Cosine below which a prompt is far."""
    calibration_rows: int
    """Rows that the threshold was set on."""
    vectors: Vectors
    """(training rows, d), float32, length 1."""
    words: frozenset[str]
    """Every word of the training prompts, case-folded."""

    @property
    def rows(self) -> int:
        """Training prompts."""
        return int(self.vectors.shape[0])

    def similarities(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """The cosine of each vector (n, d) to its nearest training prompt: (n,)."""
        return _nearest(vectors, self.vectors)

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all; an existing one is replaced."""
        facts = {
            "embedder": self.embedder,
            "threshold": self.threshold,
            "calibration_rows": self.calibration_rows,
            "words": sorted(self.words),
        }
        reference_folder.save(folder, {"vectors": self.vectors}, facts)

    @classmethod
    def load(cls, folder: Path) -> NoveltyReference | None:
        """The reference in a folder; None when there is none or it is damaged."""
        stored = reference_folder.load(folder)
        if stored is None:
            return None
        arrays, facts = stored
        return cls(
            embedder=facts["embedder"],
            threshold=facts["threshold"],
            calibration_rows=facts["calibration_rows"],
            vectors=arrays["vectors"],
            words=frozenset(facts["words"]),
        )


@dataclass(frozen=True, kw_only=True)
class NewWord:
    """A word of some prompts that none of the others has."""

    word: str
    prompts: int
    """Prompts that have it."""


def novelty_reference(
    train_texts: Sequence[str], eval_texts: Sequence[str], embedder: Embedder
) -> NoveltyReference:
    """Embed the training prompts and calibrate the threshold on the bundle's own rows.

    Raises:
        DataError: fewer than two training prompts.
    """
    import numpy as np

    if len(train_texts) < 2:
        raise DataError(
            f"Expected at least two training prompts to compare with, found {len(train_texts)}."
        )
    train = embedder.embed(train_texts)  # (n, d)
    own = _nearest(embedder.embed(eval_texts), train) if eval_texts else np.empty(0, np.float32)
    if len(own) < HELD_OUT_ALONE_FROM:
        own = np.concatenate([own, _nearest(train, train, leave_one_out=True)])
    return NoveltyReference(
        embedder=embedder.name,
        threshold=float(np.quantile(own, CALIBRATED_SHARE)),
        calibration_rows=len(own),
        vectors=train,
        words=frozenset(word for text in train_texts for word in words(text)),
    )


def new_words(prompts: Sequence[str], reference: NoveltyReference) -> list[NewWord]:
    """Words of the prompts that training never had, too often for chance, the most frequent first.

    See `absent_beyond_chance`: rare words of a small window are not news.
    """
    counts = Counter(word for prompt in prompts for word in words(prompt))
    return absent_beyond_chance(
        counts, rows=len(prompts), other=reference.words, other_rows=reference.rows
    )


def absent_beyond_chance(
    counts: Mapping[str, int], *, rows: int, other: Container[str], other_rows: int
) -> list[NewWord]:
    """Words that `counts` of the n `rows` prompts have and the `other` N prompts never had.

    If both were one shuffled pile, a word of k prompts would miss all N with probability
    C(n, k) / C(n + N, k) (hypergeometric, as in Fisher's exact test); words above `NEW_WORD_P` are
    left out. The most frequent come first.
    """
    absent = [
        NewWord(word=word, prompts=count)
        for word, count in counts.items()
        if word not in other
        and count >= NEW_WORD_PROMPTS
        and _log_chance(count, rows, other_rows) <= math.log(NEW_WORD_P)
    ]
    # Of equally frequent words the longer one tends to say more.
    return sorted(absent, key=lambda new: (-new.prompts, -len(new.word), new.word))


def words(text: str) -> set[str]:
    """The words of a text, case-folded, at least two characters, beginning with a letter.

    In scripts without spaces they are pairs of characters, see `sameness.segmenting`. A possessive
    is its word: "the Skerry's cable" speaks of the Skerry.
    """
    folded = every_word(strict(text).casefold())
    return {word.removesuffix("'s") for word in folded if len(word) > 1 and word[0].isalpha()}


def _log_chance(count: int, window: int, training: int) -> float:
    return sum(math.log((window - i) / (window + training - i)) for i in range(count))


def _nearest(
    queries: Vectors, reference: Vectors, *, leave_one_out: bool = False
) -> npt.NDArray[np.float32]:
    """Largest cosine of each query (n, d) to the reference (m, d), by the chunk: (n,).

    `leave_one_out`: both are the same rows, and a row is not its own neighbour.
    """
    import numpy as np

    nearest = np.empty(len(queries), dtype=np.float32)
    for start in range(0, len(queries), _CHUNK_ROWS):
        chunk = queries[start : start + _CHUNK_ROWS] @ reference.T  # (chunk, m)
        if leave_one_out:
            at = np.arange(len(chunk))
            chunk[at, start + at] = -1.0
        nearest[start : start + len(chunk)] = chunk.max(axis=1)
    return nearest
