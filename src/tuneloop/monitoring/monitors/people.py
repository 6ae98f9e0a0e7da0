"""Monitors of what people and judges said afterwards: corrections, escalations, scores."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit, measured
from tuneloop.monitoring.monitors.tally import Subject, Tally
from tuneloop.monitoring.shift import Margin, assess_shift
from tuneloop.monitoring.sketches import Counts, Mean, Scores, Share, Sketch, WeightedScores
from tuneloop.monitoring.window import Batch, Window
from tuneloop.prose.changes import edit_share
from tuneloop.task.answer_form import WRONG, confirms, corrects, edited_text
from tuneloop.task.kind import is_prose

_SAID_BY_PEOPLE = ("edit", "label", "rating", "escalation")


class EditRate(Tally):
    """The share of answers that a person changed, of all answers, looked at or not.

    The size of an edit is its Levenshtein distance as a share of the longer text's characters, of
    prose of its words (see `prose.changes`). Where nobody ever said anything of an answer, that
    nobody changed one says nothing: then there is no figure.
    """

    name = "edit_rate"
    waits_for = ("edit",)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._edits = subject.feedback("edit")
        self._prose = is_prose(TaskSettings.model_validate(subject.task))
        self.edited, self.sizes = Share(), Mean()

    def add(self, batch: Batch) -> None:
        import numpy as np
        from rapidfuzz.distance import Levenshtein

        answers = self._edits.sampled(batch.answers)
        edits = [
            (response or "", value)
            for _, response, _, value in self._edits.on(answers).iter_rows()
            if corrects(value, response or "")
        ]
        self.edited.add(len(edits), answers.height)
        texts = [(old, new) for old, value in edits if (new := edited_text(value)) is not None]
        size = edit_share if self._prose else Levenshtein.normalized_distance
        self.sizes.add(np.array([size(old, new) for old, new in texts]))

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.edited, self.sizes

    def measure(self, window: Window) -> Measurement:
        limit = Limit(threshold=self._settings.edit_rate_above, unit="share", side="above")
        if not self.edited.hits and not self._subject.heard(*_SAID_BY_PEOPLE):
            return _unheard(self.name, window, self.edited.n, "was to be changed", limit)
        size = self.sizes.figure
        of = "words" if self._prose else "characters"
        told = f", {size.value:.0%} of the {of} on average" if size else ""
        return against_limit(
            self.name,
            window,
            self.edited.figure,
            what=f"answers that people changed{told}",
            limit=limit,
            minimum=self._settings.minimum_samples,
            detail={
                "mean_edit_size": size and [size.value, size.low, size.high, size.n],
                "sampled_share": self._edits.share,
            },
        )


class Escalations(Tally):
    """The share of answers that were handed to a person, as far as people say so at all."""

    name = "escalations"
    waits_for = ("escalation",)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._feedback = subject.feedback("escalation")
        self.escalated = Share()

    def add(self, batch: Batch) -> None:
        answers = self._feedback.sampled(batch.answers)
        self.escalated.add(self._feedback.on(answers).height, answers.height)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.escalated,)

    def measure(self, window: Window) -> Measurement:
        if not self.escalated.hits and not self._subject.heard(*_SAID_BY_PEOPLE):
            return _unheard(self.name, window, self.escalated.n, "was handed to a person")
        return assess_shift(
            self.name,
            window,
            self.escalated.figure,
            what="answers that were escalated",
            unit="share",
            baseline=self._subject.baseline(self.name),
            margin=Margin(distance=self._settings.share_shift, side="above"),
            minimum=self._settings.minimum_samples,
            detail={"sampled_share": self._feedback.share},
        )


def _unheard(
    name: str, window: Window, answers: int, what: str, limit: Limit | None = None
) -> Measurement:
    """Where nobody ever said anything of an answer, silence says nothing of these."""
    return measured(
        name,
        window,
        None,
        verdict="not_enough_data",
        message="not enough data: nobody has edited, rated, labelled or escalated an answer yet, "
        f"so nobody knows whether one of {answers} {what}",
        limit=limit,
    )


class Accuracy(Tally):
    """The mean score, 0 to 1, of the answers that people or a judge scored; a person goes first.

    A label is the right answer: 1 where the answer says the same. In prose other words may be right
    too, so a label in other words decides nothing there and is counted apart. A rating is the score
    itself. A judgement is 1 where it passed the answer, else 0.

    An answer of the weekly sample stands for as many as it was drawn for, so that a rare kind of
    answer that is always looked at counts no more than it occurs (Hájek 1971). The sample counts
    for as many answers as it is worth (Kish 1965) beside those that somebody chose to score, each
    of which is one; these are as good a sample of all answers as their choice was.
    """

    name = "accuracy"
    waits_for = ("label", "rating")

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._feedback = subject.feedback("label", "rating", "judgement")
        self._prose = subject.task.get("kind") == "prose"
        self._weights = subject.sample_weights()
        self.scores, self.sampled = Scores(), WeightedScores()
        self.kinds, self.undecided = Counts(), Share()

    def add(self, batch: Batch) -> None:
        by_answer: dict[str, dict[str, float]] = defaultdict(dict)
        for identity, response, kind, value in self._feedback.on(batch.answers).iter_rows():
            score = _score(kind, value, response or "")
            if self._prose and kind == "label" and score == 0 and _json(value) != WRONG:
                self.undecided.add(1, 1)
            elif score is not None:
                by_answer[identity][kind] = score
        for identity, of in by_answer.items():
            kind = next(kind for kind in ("label", "rating", "judgement") if kind in of)
            if identity in self._weights:
                self.sampled.add(of[kind], self._weights[identity])
            else:
                self.scores.add(of[kind])
            self.kinds.add({kind: 1})

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.scores, self.sampled, self.kinds, self.undecided

    @property
    def figure(self) -> Figure | None:
        """Wilson's interval at the effective number of scores; None without any."""
        drawn = self.sampled.effective
        cases = drawn + self.scores.n
        if not cases:
            return None
        value = (drawn * self.sampled.mean + self.scores.total) / cases
        n = max(1, int(cases))
        return intervals.share(value * n, n)

    def measure(self, window: Window) -> Measurement:
        undecided = {"labels_in_other_words": self.undecided.n} if self._prose else {}
        by = ", ".join(f"{n} by {kind}" for kind, n in sorted(self.kinds.of.items()))
        return against_limit(
            self.name,
            window,
            self.figure,
            what=f"score of the answers that were scored{f' ({by})' if by else ''}",
            limit=Limit(threshold=self._settings.accuracy_below, unit="share", side="below"),
            minimum=self._settings.minimum_samples,
            detail={
                "by": dict(self.kinds.of),
                "of_the_sample": self.sampled.n,
                "worth": round(self.sampled.effective, 1),
                "sampled_share": self._feedback.share,
                **undecided,
            },
        )


@dataclass(kw_only=True)
class JudgeScores(Sketch):
    """The scores of each judge, for those of two judges must not be mixed."""

    of: dict[str, Scores] = field(default_factory=lambda: defaultdict(Scores))

    def merge(self, other: Self) -> None:
        for judge_name, scores in other.of.items():
            self.of[judge_name].merge(scores)


class JudgeQuality(Tally):
    """The mean score of the window's busiest judge, against that judge's baseline."""

    name = "judge_quality"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._feedback = subject.feedback("judgement")
        self.judges = JudgeScores()

    def add(self, batch: Batch) -> None:
        for _, response, kind, value in self._feedback.on(batch.answers).iter_rows():
            score = _score(kind, value, response or "")
            if score is not None:
                self.judges.of[str(_json(value).get("judge"))].add(score)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return (self.judges,)

    def measure(self, window: Window) -> Measurement:
        busiest = _busiest(self.judges.of.items())
        return assess_shift(
            self.name,
            window,
            self.judges.of[busiest].figure if busiest else None,
            what=f"mean score by the judge {busiest}",
            unit="score",
            baseline=self._subject.baseline(self.name, judge=busiest) if busiest else None,
            margin=Margin(distance=self._settings.judge_drop, side="below"),
            minimum=self._settings.minimum_samples,
            detail={
                "judge": busiest,
                "judgements": {name: scores.n for name, scores in self.judges.of.items()},
            },
        )


def _busiest(judges: Iterable[tuple[str, Scores]]) -> str | None:
    return max(judges, key=lambda judge: (judge[1].n, judge[0]), default=(None, None))[0]


def _score(kind: str, value: str, answer: str) -> float | None:
    """What feedback says of an answer, 0 to 1; None where it says nothing that one could count."""
    if kind == "label":
        return float(confirms(value, answer))
    if kind == "judgement":
        judgement = _json(value)
        # A judge's four of five is a right answer, and its score is 0.75.
        score = float(judgement["passed"]) if "passed" in judgement else judgement.get("score")
    else:
        score = _parsed(value)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        return None
    return float(score)


def _json(value: str) -> dict[str, Any]:
    parsed = _parsed(value)
    return parsed if isinstance(parsed, dict) else {}


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
