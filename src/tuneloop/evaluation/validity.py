"""Whether a measure of likeness can tell the right reference from another case's, on these rows.

A measure that cannot says nothing about a model, however exact its figure is. What is measured is
an AUC: the probability that a text of case i is more like the reference of i than like another's,
ties half (Hanley and McNeil 1982, Radiology 143; 0.5 is chance, more is better).

Before training there are no answers, so two texts of a row stand in for its answer:

- the first half of its reference, against the second halves: one subject in other words, as two
  right answers are. Where all references are made of the same phrases it finds nothing;
- its question, against whole references: an answer made of nothing but the prompt. It says whether
  references follow from what is asked.

Their mean came nearest to the AUC of real answers (docs/decisions/0031-measures-of-prose.md).
Afterwards the candidate's own answers are asked (`auc_of_measure`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tuneloop import intervals
from tuneloop.evaluation.scorers.base import Metric
from tuneloop.evaluation.scorers.prose import LIKENESS
from tuneloop.evaluation.suites import Case
from tuneloop.intervals import BOOTSTRAP_SEED, Figure
from tuneloop.prose.likeness import words_of

VALID_FROM = 0.75
"""What the lower end of the interval must reach: halfway from chance to certainty, which is where
right and wrong are about one standard deviation apart. Replies to open questions, whose likeness to
a reference is known not to go with people's judgements (Liu et al. 2016, EMNLP), stay below."""
MOST_ROWS = 100
OTHERS = 3
"""References of other rows that each text is compared with."""
_MOST_CHARACTERS = 1_200
"""Of a text: its beginning tells whose it is, and a look before a run is short."""
_LEAST_WORDS = 4
"""Of half a reference."""

Measure = Callable[[str, str], float]
Rows = Sequence[tuple[str, str]]
"""Question and reference of each."""


@dataclass(frozen=True, kw_only=True)
class Validity:
    """Whether one measure may decide something on these rows."""

    auc: Figure | None
    """0.5 (chance) to 1; `n` rows. None: they are too few, or have no words"""
    valid: bool
    reason: str
    """in one line"""


def of_rows(rows: Rows, measures: Mapping[str, Measure] = LIKENESS) -> Mapping[str, Validity]:
    """Each measure on rows that nobody has answered yet; the same rows give the same figures.

    At most `MOST_ROWS` of them are looked at, drawn by a fixed seed.

    Raises:
        MissingExtraError: a measure's package is not installed.
    """
    drawn = _drawn([row for row in rows if row[1].strip()])
    halves = [_halves(reference) for _, reference in drawn]
    by_half = [at for at, half in enumerate(halves) if half is not None]
    asked = [(_beginning(question), _beginning(reference)) for question, reference in drawn]
    return {
        name: _judged(
            _together(
                len(drawn),
                zip(by_half, _ranked(measure, [half for half in halves if half]), strict=True),
                enumerate(_ranked(measure, asked)),
            )
        )
        for name, measure in measures.items()
    }


def of_answers(answers: Rows, measures: Mapping[str, Measure] = LIKENESS) -> Mapping[str, Validity]:
    """Each measure on a model's own answers, which are (answer, reference) of each case.

    Raises:
        MissingExtraError: a measure's package is not installed.
    """
    return {name: _verdict(auc_of_measure(measure, answers)) for name, measure in measures.items()}


def auc_of_measure(measure: Measure, answers: Rows) -> Figure | None:
    """Probability that an answer is more like its reference than like another case's, ties half.

    `answers` are (answer, reference). The interval is a bootstrap of cases, each with `OTHERS`
    references of others; None for fewer than two.
    """
    drawn = _drawn([row for row in answers if row[1].strip()])
    ranks = _ranked(measure, [(_beginning(said), _beginning(wanted)) for said, wanted in drawn])
    return intervals.mean(ranks) if ranks else None


def agreement(
    metrics: Iterable[Metric], judged: Sequence[tuple[Case, str, bool]]
) -> Mapping[str, Figure]:
    """How far each metric goes with people: metric → AUC of approved answers against others.

    `judged` are (case, the model's answer, whether people approved it as it is). The probability
    that an approved answer scores better than one that was edited or rejected, ties half: 0.5 is no
    agreement, more is better. Metrics that count no case of one of both kinds are absent: those of
    likeness, where there is no reference but the answer that people approved.
    """
    figures = {}
    for metric in metrics:
        sign = 1 if metric.higher_is_better else -1
        scores = [(metric.score(case, said), approved) for case, said, approved in judged]
        right, wrong = (
            [sign * score.value for score, approved in scores if score and approved is wanted]
            for wanted in (True, False)
        )
        if right and wrong:
            figures[metric.name] = auc(right, wrong)
    return figures


def auc(right: Sequence[float], wrong: Sequence[float]) -> Figure:
    """Probability that one of `right` is more than one of `wrong`, ties half: Mann and Whitney's U
    over the number of pairs (1947).

    The interval is that of Hanley and McNeil (1982, formula 1); where all pairs agree it has no
    width, and there it is Wilson's of as many as the fewer of both.

    Raises:
        ValueError: one of them is empty.
    """
    if not right or not wrong:
        raise ValueError("expected at least one value of each")
    value = fmean((a > b) + (a == b) / 2 for a in right for b in wrong)
    n, fewer = len(right) + len(wrong), min(len(right), len(wrong))
    if value in (0.0, 1.0):
        ends = intervals.share(int(value) * fewer, fewer)
        return Figure(value=value, low=ends.low, high=ends.high, n=n)
    two_right, two_wrong = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (
        value * (1 - value)
        + (len(right) - 1) * (two_right - value**2)
        + (len(wrong) - 1) * (two_wrong - value**2)
    ) / (len(right) * len(wrong))
    half = intervals.two_sided_z(intervals.CONFIDENCE) * max(0.0, variance) ** 0.5
    return Figure(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=n)


def _drawn(rows: Rows) -> Rows:
    """A few of them in an order that has nothing to do with theirs."""
    seeded = random.Random(BOOTSTRAP_SEED)
    return seeded.sample(rows, min(MOST_ROWS, len(rows)))


def _ranked(measure: Measure, texts: Rows) -> list[float]:
    """Of each (text, reference) the share of others' references that its own is more like."""
    n = len(texts)
    if n < 2:
        return []
    ranks = []
    for at, (text, own) in enumerate(texts):
        of_own = measure(text, own)
        of_others = [
            measure(text, texts[(at + step) % n][1]) for step in range(1, min(OTHERS, n - 1) + 1)
        ]
        ranks.append(fmean((of_own > other) + (of_own == other) / 2 for other in of_others))
    return ranks


def _together(n: int, *ranks: Iterable[tuple[int, float]]) -> list[float]:
    """Row by row the mean over the texts that stand in for its answer."""
    of_row: list[list[float]] = [[] for _ in range(n)]
    for at, rank in (pair for texts in ranks for pair in texts):
        of_row[at].append(rank)
    return [fmean(row) for row in of_row if row]


def _judged(ranks: Sequence[float]) -> Validity:
    return _verdict(intervals.mean(ranks) if ranks else None)


def _verdict(measured: Figure | None) -> Validity:
    if measured is None:
        return Validity(auc=None, valid=False, reason="there are too few references to tell")
    ends = f"{measured.value:.2f} ({measured.low:.2f}–{measured.high:.2f}, n = {measured.n})"
    if measured.low >= VALID_FROM:
        return Validity(
            auc=measured, valid=True, reason=f"AUC {ends}: tells a reference from another row's"
        )
    return Validity(
        auc=measured,
        valid=False,
        reason=f"AUC {ends}: does not surely tell a reference from another row's "
        f"(at least {VALID_FROM:g})",
    )


def _beginning(text: str) -> str:
    return text[:_MOST_CHARACTERS]


def _halves(text: str) -> tuple[str, str] | None:
    """Both halves, parted between words where there are spaces; None of a text of few words."""
    text = _beginning(text).strip()
    middle = len(text) // 2
    space = text.find(" ", middle)
    at = space if 0 <= space < middle + middle // 2 else middle
    first, second = text[:at], text[at:]
    if min(len(words_of(first)), len(words_of(second))) < _LEAST_WORDS:
        return None
    return first, second
