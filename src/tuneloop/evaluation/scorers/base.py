"""What every scorer is, what a metric makes of it, and the families that metrics come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tuneloop.evaluation.discernment import Discernment
from tuneloop.evaluation.suites import GENERAL, Case
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.progress import Progress

Counted = Literal["all", "in-scope", "out-of-scope"]
Fault = Literal["missing", "wrong", "invented", "unjudged"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How good one answer is."""

    value: float
    """0 (wrong) to 1 (right)"""
    detail: str = ""
    """why it is not 1, in words for the report"""
    fault: Fault | None = None
    """of a value: expected and not given, given and different, given and not expected; of an
    answer: the judge gave no verdict"""
    weight: float = 1.0
    """how many things `value` is the share of, for a metric whose `figure` pools them"""
    label: str = ""
    """of a metric over classes: the reference's"""
    given: str = ""
    """the answer's; empty: it gives none"""
    judge: str = ""
    """version of the judge who said so, if one did"""


Scorer = Callable[[Case, str], Score | None]
"""None: the case says nothing about this metric and is not counted in it."""

RIGHT = Score(value=1.0)


def passed(condition: bool, detail: str) -> Score:
    """1 where the condition holds, else 0 with its reason."""
    return RIGHT if condition else Score(value=0.0, detail=detail)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One named, defined way to judge answers."""

    name: str
    about: str
    """the definition in one line; part of the gate lock"""
    scorer: Scorer
    counts: Counted = "all"
    higher_is_better: bool = True
    needs_answer: bool = False
    """a request that got no answer is left out instead of counting as 0"""
    empty_without_answer: bool = False
    """a request that got no answer is scored as an empty one instead of counting as 0"""
    figure: Callable[[Sequence[Score]], Figure] | None = None
    """of the scores of all counted cases; None: their mean"""
    figure_at: Callable[[Sequence[Score], float, float], Figure] | None = None
    """(scores, design effect, confidence) → the figure with the interval at that confidence, of
    cases that are worth fewer by the design effect; None: that of `figure`, widened"""
    field: str = ""
    """the field of a JSON answer that it is about, if it is about one"""
    source_digest: str = ""
    """of a user's own function, or of what a judge is told"""
    prepare: Callable[[Sequence[tuple[Case, str]], Progress], None] | None = None
    """called with the answers of a suite before the first of them is scored"""
    remarks: Callable[[Sequence[Score]], Sequence[str]] | None = None
    """what a reader must know about the metric's figure, of the scores behind it"""
    objection: Callable[[], str] | None = None
    """called after all were scored: why no verdict may stand on the metric; empty: one may"""
    discerns: Callable[[], Discernment | None] | None = None
    """of a judge, called after all were scored: what its differences are corrected by; None: it is
    not known"""
    general: bool = False
    """it scores answers to questions that are none of the task's, and no others"""
    beside: tuple[Metric, ...] = ()
    """of a judge: further metrics that it makes; none of them is measured unasked"""

    def is_for(self, kind: str) -> bool:
        """Whether it scores the cases of suites of this kind: the task says nothing about what is
        right in general."""
        return self.general == (kind == GENERAL)

    def score(self, case: Case, output: str | None) -> Score | None:
        """The score of one answer; None where the case is not counted.

        `output` None means that the request got no answer.
        """
        if self.counts != "all" and case.out_of_scope != (self.counts == "out-of-scope"):
            return None
        if output is not None or self.empty_without_answer:
            return self.scorer(case, output or "")
        return None if self.needs_answer else Score(value=0.0, detail="no answer")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A metric that a gate or a caller asks for by its name."""

    name: str
    task: TaskSettings
    judge: Callable[[], Metric] | None = None
    """Makes the metric `judge` with those `beside` it; None: there is no judge."""


def _nothing(task: TaskSettings) -> Sequence[Metric]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Family:
    """Metrics that belong together: one row of the table of scorers."""

    name: str
    about: str
    of_task: Callable[[TaskSettings], Sequence[Metric]] = _nothing
    """What every evaluation of such a task measures; its order is part of gate locks. Asked of our
    own families only: an evaluation is no other one because a package was installed."""
    brings: Callable[[str], bool] | None = None
    """Whether a name is one of its metrics on demand; None: `NAME` and `NAME.something` are."""
    metric: Callable[[Wanted], Metric] | None = None
    """Makes a metric on demand; None: it has none."""

    def has(self, name: str) -> bool:
        """Whether it makes the metric of this name on demand."""
        if self.metric is None:
            return False
        return name.partition(".")[0] == self.name if self.brings is None else self.brings(name)
