"""How like an answer is to its reference: four measures, each 0 (nothing in common) to 1 (equal).

More is better for each. They say that an answer is put like the reference, not that it is right:
whether one tells a right reference from another case's on these rows is measured before it decides
anything (`evaluation.validity`). Words are those of `sameness`, so every script counts.

| measure | of | source | library |
|---|---|---|---|
| `chrf` | characters | Popović 2015, "chrF", WMT; character 6-grams, beta 2 | sacrebleu |
| `bleu` | runs of words | Papineni et al. 2002, ACL; smoothed by Chen and Cherry 2014 | sacrebleu |
| `rouge_l` | words in order | Lin 2004, "ROUGE", section 3: F1 of the LCS | rapidfuzz |
| `similarity` | meaning of words | cosine of two embeddings | see `tuneloop.embedders` |
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from tuneloop.errors import require
from tuneloop.sameness import forgiving, words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_EXTRA = "evaluate"
_REMEMBERED = 4_096


def chrf(answer: str, reference: str) -> float:
    """chrF2 of one sentence, 0 to 1; more is better.

    As sacrebleu computes it by default: orders 1 to 6, no words, case counts, white space does not.
    Of a text in another encoding (NFC) it is the same.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    scored = _chrf().sentence_score(_composed(answer), [_composed(reference)])
    return _share(scored.score)


def bleu(answer: str, reference: str) -> float:
    """BLEU of one text, 0 to 1; more is better.

    `effective_order`: a text of three words is not measured by runs of four. Runs of words that
    do not occur are smoothed (`exp`). The words are ours, in forgiving form (`tok:none`): figures
    are not those that papers report with `13a`, which takes a Chinese sentence for one word.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    said, wanted = (" ".join(words_of(text)) for text in (answer, reference))
    return _share(_bleu().sentence_score(said, [wanted]).score)


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L, 0 to 1; more is better: F1 of the longest common subsequence of words.

    Without stemming, and beta 1: what package rouge-score computes with our words, but with an LCS
    in C++; its own is a table in Python of all words by all words.

    Raises:
        MissingExtraError: rapidfuzz is not installed.
    """
    said, wanted = words_of(answer), words_of(reference)
    if not said or not wanted:
        return 0.0
    common = require("rapidfuzz.distance.LCSseq", extra=_EXTRA).similarity(said, wanted)
    return float(2 * common / (len(said) + len(wanted)))


def similarity(said: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> float:
    """Cosine of two vectors (d,) of length 1 or 0, 0 to 1; more is better. Opposite is 0, too."""
    return min(1.0, max(0.0, float(said @ wanted)))


@lru_cache(maxsize=_REMEMBERED)
def words_of(text: str) -> tuple[str, ...]:
    """The words that measures of prose compare: in forgiving form, of every script."""
    return tuple(words(forgiving(text)))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _share(hundredths: float) -> float:
    return min(1.0, max(0.0, hundredths / 100))


@cache
def _chrf() -> Any:
    return require("sacrebleu.metrics", extra=_EXTRA).CHRF()


@cache
def _bleu() -> Any:
    return require("sacrebleu.metrics", extra=_EXTRA).BLEU(effective_order=True, tokenize="none")
