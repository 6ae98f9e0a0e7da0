"""Measures of likeness: AUC of the right against other references, and rows a second."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prose_bench.texts import Text
from tuneloop import intervals
from tuneloop.evaluation.scorers.prose import LIKENESS
from tuneloop.evaluation.validity import OTHERS, VALID_FROM, Validity, of_rows, ranked
from tuneloop.intervals import Figure

MOST_TEXTS = 400
"""Of a set; each is compared with its own reference and with `OTHERS` others."""
SEED = 20_261_130
_MOST_CHARACTERS = 1_200


def likeness(sets: Mapping[str, Sequence[Text]]) -> dict[str, Any]:
    """Set → AUC by measure, over all and among texts of one group; speed on the first set's texts.

    Each AUC is `[value, low, high, n]`. `stand_in` is what `tuneloop check` would say of the set
    before anything was answered, where it has questions.
    """
    return {
        "others_of_each": OTHERS,
        "valid_from": VALID_FROM,
        "auc": {name: _auc(texts) for name, texts in sets.items()},
        "stand_in": {
            name: {measure: _listed(of.auc) for measure, of in _before(texts).items()}
            for name, texts in sets.items()
            if texts[0].question
        },
        "compared_per_cpu_second": {
            name: _speed(measure, next(iter(sets.values()))) for name, measure in LIKENESS.items()
        },
    }


def left_out(texts: Sequence[Text]) -> dict[str, Any]:
    """What other stand-ins for an answer would say: half the reference, half its words."""
    drawn = _drawn(texts)
    rng = random.Random(SEED)
    words = [text.wanted[:_MOST_CHARACTERS].split() for text in drawn]
    halves = [
        (" ".join(said[: len(said) // 2]), " ".join(said[len(said) // 2 :]))
        for said in words
        if len(said) >= 8
    ]
    dropped = [
        (" ".join(word for word in said if rng.random() < 0.5), " ".join(said)) for said in words
    ]
    return {
        name: {
            "half_against_half": _listed(_mean(ranked(measure, halves))),
            "half_of_the_words": _listed(_mean(ranked(measure, dropped))),
        }
        for name, measure in LIKENESS.items()
    }


def _auc(texts: Sequence[Text]) -> dict[str, Any]:
    drawn = _drawn(texts)
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for text in drawn:
        groups[text.group].append(_pair(text))
    by_measure = {
        name: {"any": _listed(_mean(ranked(measure, list(map(_pair, drawn)))))}
        for name, measure in LIKENESS.items()
    }
    if len(groups) > 1:
        for name, measure in LIKENESS.items():
            ranks = [rank for group in groups.values() for rank in ranked(measure, group)]
            by_measure[name]["same_group"] = _listed(_mean(ranks))
    return by_measure


def _before(texts: Sequence[Text]) -> Mapping[str, Validity]:
    return of_rows([(text.question, text.wanted) for text in texts])


def _speed(measure: Callable[[str, str], float], texts: Sequence[Text]) -> int:
    pairs = [(text.said, text.wanted) for text in _drawn(texts)]
    measure(*pairs[0])
    began = time.process_time()
    for said, wanted in pairs:
        measure(said, wanted)
    return round(len(pairs) / (time.process_time() - began))


def _drawn(texts: Sequence[Text]) -> list[Text]:
    return random.Random(SEED).sample(texts, min(MOST_TEXTS, len(texts)))


def _pair(text: Text) -> tuple[str, str]:
    return text.said[:_MOST_CHARACTERS], text.wanted[:_MOST_CHARACTERS]


def _mean(ranks: Sequence[float]) -> Figure | None:
    return intervals.mean(ranks) if ranks else None


def _listed(figure: Figure | None) -> list[float] | None:
    return None if figure is None else [round(value, 3) for value in figure.as_list()]
