"""Whether a model does better than one that always says the same.

Both answer the same cases, so they are compared as any two models are (see `paired`): the model by
whether it gives the label of the reference, the constant answer by whether that is the most
frequent one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tuneloop.evaluation.case_pairs import clusters_of
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.paired import paired
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.scorers.classes import BALANCED_ACCURACY
from tuneloop.intervals import Figure, share

_RIGHT = Metric(name="label", about="the label of the reference", scorer=lambda case, output: None)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The most frequent label of a suite, always answered, against what a model answers."""

    label: str
    classes: int
    constant: Figure
    """share of the cases that have that label"""
    right: Figure
    """share of the cases whose label the model gives"""
    beaten: bool
    """whether the model is right in more cases for sure"""

    @property
    def sentence(self) -> str:
        """For the report."""
        constant = (
            f"always answering {self.label!r} would be right in {self.constant.value:.3f} of the "
            f"{self.constant.n} cases with a label"
        )
        if self.beaten:
            return f"{constant}; the candidate is in {self.right.value:.3f}"
        return f"{constant}, and the candidate, with {self.right.value:.3f}, is not surely better"


def baseline_of(result: SuiteResult) -> Baseline | None:
    """None where no case has a label, or all have the same one."""
    scores = {
        case: of.scores[BALANCED_ACCURACY]
        for case, of in result.cases.items()
        if BALANCED_ACCURACY in of.scores
    }
    labels = Counter(score.label for score in scores.values())
    if len(labels) < 2:
        return None
    ((label, cases),) = labels.most_common(1)
    groups = clusters_of(result.suite)
    compared = paired(
        _RIGHT,
        [(score.value, float(score.label == label)) for score in scores.values()],
        margin=0.0,
        clusters=[groups[case] for case in scores],
    )
    return Baseline(
        label=label,
        classes=len(labels),
        constant=share(cases, len(scores)),
        right=share(sum(score.value for score in scores.values()), len(scores)),
        beaten=compared.verdict == "better",
    )
