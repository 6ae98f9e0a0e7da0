"""What share of a golden suite must pass: it follows from what the bundle was held to. Pure rules.

A bundle that has just passed its gates is within its limit as long as it gives the same answers.
A gate on the suite is the limit; without one it is the lower end of the 95 % interval of what the
bundle passed in its evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tuneloop.intervals import Figure
from tuneloop.monitoring.measurement import Limit, show, tell

UNKNOWN_RELEASE = 0.90
"""The limit of a suite that has no gate and that the bundle was never asked."""


@dataclass(frozen=True, kw_only=True)
class SuiteNow:
    """How a golden suite was answered now, and what there is to hold that against."""

    name: str
    passed: int
    cases: int
    bound: float | None
    """Pass rate that a gate on the suite asks for, 0..1."""
    released: Figure | None
    """Pass rate of the bundle in its evaluation, on the cases that are still the same."""
    mixed: bool = False
    """Whether some answers are those of another bundle, which is being rolled out."""


@dataclass(frozen=True, kw_only=True)
class SuiteLimit:
    """The pass rate that a suite must show, which is still good, and where it comes from."""

    threshold: float
    why: str


def suite_limit(suite: SuiteNow) -> SuiteLimit:
    """The limit of one suite.

    A gate that the bundle did not meet in its evaluation, such as one that was declared since, is
    for the next candidate.
    """
    released = suite.released
    if suite.bound is not None and (released is None or released.value >= suite.bound):
        return SuiteLimit(threshold=suite.bound, why="its gate")
    if released is None:
        return SuiteLimit(
            threshold=UNKNOWN_RELEASE, why="it has no gate, and the bundle was not evaluated on it"
        )
    threshold = min(released.low, UNKNOWN_RELEASE) if suite.mixed else released.low
    return SuiteLimit(
        threshold=threshold, why=f"the bundle passed {tell(released, 'share')} in its evaluation"
    )


def pooled(suites: Sequence[SuiteNow]) -> Limit:
    """The limit of all suites together, each by its number of cases."""
    cases = sum(suite.cases for suite in suites)
    # In fractions: as floats, 0.68 of 75 cases is a little more than 51.
    wanted = sum(_written(suite_limit(suite).threshold) * suite.cases for suite in suites)
    threshold = float(wanted / cases)
    rates = [suite.released.value * suite.cases for suite in suites if suite.released is not None]
    best = None
    if len(rates) == len(suites):  # What to come back to is known, and may be less than all.
        best = max(threshold, sum(rates) / cases)
    return Limit(threshold=threshold, unit="share", side="below", best=best)


def below(suites: Sequence[SuiteNow]) -> list[SuiteNow]:
    """The suites that are below their own limits, which all together may hide."""
    # A share is divided to the float that stands for the same decimal in a gate.
    return [suite for suite in suites if suite.passed / suite.cases < suite_limit(suite).threshold]


def _written(share: float) -> Fraction:
    """The decimal that a person wrote."""
    return Fraction(str(share))


def explained(suites: Sequence[SuiteNow]) -> str:
    """Where the limit comes from, for people."""
    if len(suites) == 1:
        return f"the limit: {suite_limit(suites[0]).why}"
    return "the limits: " + ", ".join(
        f"{suite.name} {show(suite_limit(suite).threshold, 'share')} ({suite_limit(suite).why})"
        for suite in suites
    )
