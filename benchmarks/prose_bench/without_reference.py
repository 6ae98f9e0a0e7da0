"""Measures that need no reference: what they find in texts that people wrote or chose."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prose_bench.texts import Text
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.scorers.base import Metric
from tuneloop.evaluation.suites import Case
from tuneloop.evaluation.validity import agreement
from tuneloop.intervals import mean, share
from tuneloop.modelfile import TaskSettings

_PROSE = metrics_for(TaskSettings(kind="prose"))
_REACHED = ("answered", "no_loops", "in_language", "length_fit")


def chosen_against_rejected(replies: Sequence[Text]) -> dict[str, Any]:
    """AUC of replies that people chose against those that they rejected, `[value, low, high, n]`.

    `of_pairs`: only the two replies to one conversation are compared; ties are half.
    """
    judged = [
        (_case(reply), said, approved)
        for reply in replies
        for said, approved in ((reply.wanted, True), (reply.said, False))
    ]
    overall = agreement(_PROSE, judged)
    return {
        metric.name: {
            "all": _rounded(overall[metric.name].as_list()),
            "of_pairs": _of_pairs(metric, replies),
        }
        for metric in _PROSE
        if metric.name in overall
    }


def false_alarms(texts: Sequence[Text]) -> dict[str, Any]:
    """Share of texts that people wrote in which a measure that every good answer reaches finds a
    fault, `[value, low, high, n]`; the language is compared with the question's."""
    return {
        metric.name: _rounded(
            share(
                sum(1 - score.value for score in scores),
                len(scores),
            ).as_list()
        )
        for metric in _PROSE
        if metric.name in _REACHED
        and (scores := [s for text in texts if (s := metric.score(_case(text), text.wanted))])
    }


def speed(texts: Sequence[Text]) -> dict[str, int]:
    """Texts a CPU second of each measure but those of likeness."""
    found = {}
    for metric in _PROSE:
        if metric.name in ("chrf", "rouge_l", "bleu", "similarity"):
            continue
        began = time.process_time()
        for text in texts:
            metric.score(_case(text, text.wanted), text.said)
        found[metric.name] = round(len(texts) / (time.process_time() - began))
    return found


def _case(text: Text, expected: str | None = None) -> Case:
    asked = {"role": "user", "content": text.question}
    return Case(id="1", messages=(asked,), expected=expected)


def _of_pairs(metric: Metric, replies: Sequence[Text]) -> list[float]:
    sign = 1 if metric.higher_is_better else -1
    wins = []
    for reply in replies:
        chosen, rejected = (metric.score(_case(reply), said) for said in (reply.wanted, reply.said))
        if chosen is not None and rejected is not None:
            better = sign * (chosen.value - rejected.value)
            wins.append((better > 0) + (better == 0) / 2)
    return _rounded(mean(wins).as_list())


def _rounded(figure: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in figure]
