"""Whether a measure of likeness can tell the right reference from another case's, on these rows.

A measure that cannot says nothing about a model, however exact its figure is. What is measured is
an AUC: the probability that a text of case i is more like the reference of i than like another's,
ties half (Hanley and McNeil 1982, Radiology 143; 0.5 is chance, more is better).

Before training there are no answers, so another text of the row stands in for its answer: the
question, an answer made of nothing but the prompt. Where it cannot (it has hardly a word, or is in
another language than the reference), the first half of the reference does, against second halves.
Questions came near to the AUC of real answers, halves did not, and references with words left out
say yes to everything: docs/decisions/0031-measures-of-prose.md. Afterwards the candidate's own
answers are asked (`of_answers`), and a report says where they are no more like their own references
than like others'.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tuneloop import intervals
from tuneloop.evaluation.scorers.base import Metric
from tuneloop.evaluation.scorers.prose import LIKENESS
from tuneloop.evaluation.suites import Case
from tuneloop.intervals import BOOTSTRAP_SEED, Figure
from tuneloop.prose.languages import other_language
from tuneloop.prose.likeness import words_of

VALID_FROM = 0.7
"""What the lower end of the interval must reach: of ten pairs seven are put right for sure, and
right and wrong stand three quarters of a standard deviation apart. Replies to open questions, whose
likeness to one reference is known not to go with people's judgements (Liu et al. 2016, EMNLP), stay
below it by chrF, BLEU and ROUGE-L."""
MOST_ROWS = 100
OTHERS = 3
"""References of other rows that each text is compared with."""
_MOST_CHARACTERS = 1_200
"""Of a text: its beginning tells whose it is, and a look before a run is short."""
_LEAST_WORDS = 4
"""Of a text that stands in for an answer."""

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
    texts = [stood_in for row in drawn if (stood_in := _stand_in(*row)) is not None]
    return {name: _verdict(_mean(ranked(measure, texts))) for name, measure in measures.items()}


def measures_by(embedder: object) -> Mapping[str, Measure]:
    """Those that can be looked at before a run: `similarity` only by the local embedder, `static`.

    Any other one takes a server, or a model that is loaded in its own time.
    """
    return {
        name: measure
        for name, measure in LIKENESS.items()
        if name != "similarity" or embedder == "static"
    }


def of_answers(answers: Rows, measures: Mapping[str, Measure] = LIKENESS) -> Mapping[str, Validity]:
    """Each measure on a model's own answers, which are (answer, reference) of each case.

    Raises:
        MissingExtraError: a measure's package is not installed.
    """
    return {name: _verdict(auc_of_measure(measure, answers)) for name, measure in measures.items()}


def doubts(answers: Rows, measures: Mapping[str, Measure]) -> list[str]:
    """Of the measures those that a model's own answers surely belie, in a sentence each.

    Raises:
        MissingExtraError: a measure's package is not installed.
    """
    return [
        f"by {name} the candidate's answers are hardly more like their own references than like "
        f"those of other cases (AUC {_ends(found.auc)}, at least {VALID_FROM:g} is wanted): it "
        "says much the same to everybody, or the measure tells nothing here"
        for name, found in of_answers(answers, measures).items()
        if found.auc is not None and found.auc.high < VALID_FROM
    ]


def auc_of_measure(measure: Measure, answers: Rows) -> Figure | None:
    """Probability that an answer is more like its reference than like another case's, ties half.

    `answers` are (answer, reference). The interval is a bootstrap of cases, each with `OTHERS`
    references of others; None for fewer than two.
    """
    drawn = _drawn([row for row in answers if row[1].strip()])
    return _mean(
        ranked(measure, [(_beginning(said), _beginning(wanted)) for said, wanted in drawn])
    )


def ranked(measure: Measure, texts: Rows) -> list[float]:
    """Of each (text, reference) the share of others' references than which it likes its own more.

    The others are the next `OTHERS` of the sequence; ties are half. Empty for fewer than two.
    """
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
    ordered = sorted(wrong)
    # Twice the wrong ones that are less, and once those that are equal.
    beaten = sum(bisect_left(ordered, one) + bisect_right(ordered, one) for one in right)
    value = beaten / (2 * len(right) * len(wrong))
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


def _mean(ranks: Sequence[float]) -> Figure | None:
    return intervals.mean(ranks) if ranks else None


def _drawn(rows: Rows) -> Rows:
    """A few of them in an order that has nothing to do with theirs."""
    seeded = random.Random(BOOTSTRAP_SEED)
    return seeded.sample(rows, min(MOST_ROWS, len(rows)))


def _verdict(measured: Figure | None) -> Validity:
    if measured is None:
        return Validity(auc=None, valid=False, reason="there are too few references to tell")
    ends = _ends(measured)
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


def _ends(auc: Figure) -> str:
    return f"{auc.value:.2f} ({auc.low:.2f}–{auc.high:.2f}, n = {auc.n})"


def _beginning(text: str) -> str:
    return text[:_MOST_CHARACTERS]


def _stand_in(question: str, reference: str) -> tuple[str, str] | None:
    """What stands in for an answer, and what it is compared with; None: there are no words."""
    question, reference = _beginning(question), _beginning(reference)
    if len(words_of(question)) >= _LEAST_WORDS and not other_language(question, reference):
        return question, reference
    return _halves(reference)


def _halves(text: str) -> tuple[str, str] | None:
    """Both halves, parted between words where there are spaces; None of a text of few words."""
    text = text.strip()
    middle = len(text) // 2
    space = text.find(" ", middle)
    at = space if 0 <= space < middle + middle // 2 else middle
    first, second = text[:at], text[at:]
    if min(len(words_of(first)), len(words_of(second))) < _LEAST_WORDS:
        return None
    return first, second
