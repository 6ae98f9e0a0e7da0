"""Parts of a suite on which a candidate lost: what the whole of it hides.

Twenty lost cases of one class are a few points of all cases, and a candidate that wins as many
elsewhere seems equal. So each slice is compared by itself, on the metric that the verdict is about:
the tags of the rows, their label, whether they are out of scope, the language of the question.
Among many slices one seems lost by chance; all of them together err as seldom as one would by
Holm's correction (Holm 1979, "A simple sequentially rejective multiple test procedure",
Scandinavian Journal of Statistics 6), which holds however the slices overlap. A slice in which too
few cases changed sides to ever show a loss costs the others nothing: how many changed is known
before it is looked at who won them (Tarone 1990, "A modified Bonferroni method for discrete data",
Biometrics 46). The guards of a comparison are corrected in the same way.

A loss that is large, but on too few cases to be sure of, is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from tuneloop.evaluation import clusters as clustered
from tuneloop.evaluation.decision import CLAIM_RATE, DecisionRule
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.paired import differences, is_ahead, mcnemar_exact
from tuneloop.evaluation.results import MAXIMUM_SLICE_VALUES
from tuneloop.evaluation.suites import Suite
from tuneloop.prose.languages import JSON, TOO_SHORT, language_of

MINIMUM_CASES = 5
"""A slice with fewer that count is not compared: four lost cases are a chance of one in sixteen."""
WARNED_FROM = 0.1
"""Two-sided p-value, of a slice looked at alone, from which on a large loss is a warning."""
LANGUAGE = "language"
"""The slice that tuneloop adds, where the rows have none of that name."""
_NAME_CHARACTERS = 60

Verdict = Literal["worse", "warning", ""]
Pairs = Mapping[str, tuple[float, float]]
"""Case → scores of candidate and reference."""


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """One slice of a suite: the candidate against the reference on its cases alone."""

    name: str
    """e.g. `intent=refund`; several names where they hold the same cases"""
    cases: int
    candidate: float
    """mean score"""
    reference: float
    difference: float
    """mean of candidate minus reference, turned so that more is better"""
    won: int
    lost: int
    p_value: float
    """two-sided, that it is no loss; 1 where the candidate did not do worse"""
    adjusted: float | None
    """the same among all slices (Holm); None: too few cases changed sides to ever show a loss"""
    verdict: Verdict = ""

    @property
    def sentence(self) -> str:
        """What was lost, for the first line of a report."""
        lost = (
            f"{_shown(self.name)}: {self.lost} of {self.cases} cases lost, {self.won} won, "
            f"{self.difference:+.3f}"
        )
        if self.verdict == "worse":
            return f"worse on {lost} (p = {self.adjusted:.2g} among all slices)"
        if is_sure(self.adjusted):
            return f"{lost}, which is within the margin (p = {self.adjusted:.2g} among all slices)"
        return f"{lost}, too few to be sure (p = {self.p_value:.2g})"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How sure it is that a candidate did worse somewhere."""

    p_value: float
    """two-sided; 1 where it did not do worse"""
    least: float
    """the smallest p-value that as many changes could have given"""


def compare_subgroups(
    suite: Suite,
    pairs: Pairs,
    *,
    metric: Metric,
    clusters: Mapping[str, Hashable],
    margin: float,
    rule: DecisionRule,
) -> tuple[Sequence[Subgroup], int]:
    """Every slice that is large enough, the worst first; and how many are too small.

    `pairs` are the cases that count, `clusters` names the group of each.
    """
    slices, too_small = _slices(suite, pairs)
    by_case = dict(zip(pairs, differences(metric, pairs.values()), strict=True))
    losses = [
        loss_of([by_case[case] for case in of], [clusters[case] for case in of])
        for of in slices.values()
    ]
    found = []
    for (name, of), loss, adjusted in zip(slices.items(), losses, adjust(losses), strict=True):
        changes = [by_case[case] for case in of]
        won, lost = (sum(is_ahead(s * d, metric.name) for d in changes) for s in (1, -1))
        one = Subgroup(
            name=name,
            cases=len(of),
            candidate=math.fsum(pairs[case][0] for case in of) / len(of),
            reference=math.fsum(pairs[case][1] for case in of) / len(of),
            difference=math.fsum(changes) / len(of),
            won=won,
            lost=lost,
            p_value=loss.p_value,
            adjusted=adjusted,
        )
        found.append(replace(one, verdict=_verdict(one, margin=margin, rule=rule)))
    return sorted(found, key=lambda one: (one.p_value, one.difference)), too_small


def _verdict(one: Subgroup, *, margin: float, rule: DecisionRule) -> Verdict:
    if is_sure(one.adjusted) and one.difference < -margin:
        return "worse"
    nothing_left = one.candidate == 0 and one.lost >= MINIMUM_CASES - 1
    large = one.difference < -rule.worse_by and one.lost > one.won and one.p_value <= WARNED_FROM
    return "warning" if one.lost == one.cases or nothing_left or large else ""


def loss_of(changes: Sequence[float], clusters: Sequence[Hashable]) -> Loss:
    """Of differences where more is better; passes and failures exactly, else Student's test.

    Cases of one cluster turn together, see `clusters.sign_flip_p`.
    """
    sums = [total for total, _ in clustered.totals(changes, clusters)]
    moved = sum(abs(total) > 1e-12 for total in sums)
    if all(change in (-1.0, 0.0, 1.0) for change in changes):
        if math.fsum(changes) >= 0:
            p_value = 1.0
        elif len(sums) == len(changes):
            p_value = mcnemar_exact(changes.count(1.0), changes.count(-1.0))
        else:
            p_value = clustered.sign_flip_p([round(change) for change in changes], clusters)
        return Loss(p_value=p_value, least=min(1.0, 2 * 0.5**moved))
    return Loss(p_value=_student(sums), least=0.0)


def adjust(losses: Sequence[Loss]) -> list[float | None]:
    """Each p-value by Holm among those that could show a loss at all; None of the others."""
    able = _able([loss.least for loss in losses])
    adjusted = dict(zip(able, holm([losses[i].p_value for i in able]), strict=True))
    return [adjusted.get(i) for i in range(len(losses))]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of the given ones."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def is_sure(adjusted: float | None) -> bool:
    """Whether a loss is no chance, at the level at which a comparison calls a candidate worse."""
    return adjusted is not None and adjusted < CLAIM_RATE


def _able(least: Sequence[float]) -> list[int]:
    """Those that can reach the level in a family of their own size."""
    size = 1
    while len(able := [i for i, p in enumerate(least) if p < CLAIM_RATE / size]) > size:
        size += 1
    return able


def _student(sums: Sequence[float]) -> float:
    """That the sums of what is independent have the mean 0; 1 where their mean is no loss."""
    from scipy.stats import t

    m, mean = len(sums), math.fsum(sums) / len(sums)
    if mean >= 0 or m < 2:
        return 1.0
    spread = math.fsum((total - mean) ** 2 for total in sums) / (m - 1)
    if spread < 1e-12:  # all alike: as sure as so many signs
        return min(1.0, 2 * 0.5**m)
    return float(2 * t.cdf(mean / math.sqrt(spread / m), m - 1))


def _slices(suite: Suite, pairs: Pairs) -> tuple[Mapping[str, tuple[str, ...]], int]:
    """Slice → its cases that count; those of the whole suite say nothing new."""
    members: dict[str, dict[str, list[str]]] = {}
    for case in suite.cases:
        if case.id in pairs:
            for name, value in ({LANGUAGE: _language(case.question)} | dict(case.slices)).items():
                members.setdefault(name, {}).setdefault(value, []).append(case.id)
    members.get(LANGUAGE, {}).pop("", None)
    named = [
        (f"{name}={value}", tuple(cases))
        for name, values in sorted(members.items())
        if len(values) <= MAXIMUM_SLICE_VALUES
        for value, cases in sorted(values.items())
        if len(cases) < len(pairs)
    ]
    large = [(name, cases) for name, cases in named if len(cases) >= MINIMUM_CASES]
    return _each_once(large), len(named) - len(large)


def _each_once(named: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Slices of the same cases under one name: they are one test."""
    names: dict[tuple[str, ...], list[str]] = {}
    for name, cases in named:
        names.setdefault(cases, []).append(name)
    return {" and ".join(of): cases for cases, of in names.items()}


def _shown(name: str) -> str:
    """A tag may hold anything."""
    line = "".join(c if c.isprintable() else " " for c in name)
    return line if len(line) <= _NAME_CHARACTERS else f"{line[: _NAME_CHARACTERS - 2]} …"


@lru_cache(maxsize=20_000)
def _language(question: str) -> str:
    """Empty where nobody can tell."""
    language = language_of(question)
    return "" if language in (TOO_SHORT, JSON) else language
