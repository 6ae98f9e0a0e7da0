"""How far a judge agrees with people, and a share corrected for what it gets wrong.

`kappa` is Cohen's, see `agreement`.

A judge that passes the share p of the answers, with sensitivity se (share of right answers that it
passes) and specificity sp (share of wrong ones that it fails), has seen about

    (p + sp - 1) / (se + sp - 1)

right answers (Rogan and Gladen 1978, "Estimating prevalence from the results of a screening test",
American Journal of Epidemiology 107). Its interval is Lang and Reiczigel's (2014, "Confidence
limits for prevalence of disease adjusted for estimated sensitivity and specificity", Preventive
Veterinary Medicine 113), which counts the uncertainty of all three shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuneloop import intervals
from tuneloop.agreement import kappa
from tuneloop.evaluation.discernment import Discernment
from tuneloop.evaluation.scorers.judge import NAME
from tuneloop.intervals import Figure

MINIMUM_OF_EACH = 20
"""A share is corrected only where so many right and so many wrong answers were labelled.

With so many of each the interval held its 95 % in simulation: docs/decisions/0048-judge.md.
"""
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One judge against people's labels."""

    judge: str
    """the judge's version"""
    n: int
    """answers that people and the judge judged"""
    unjudged: int
    """labelled answers on which the judge gave no verdict"""
    agreement: Figure
    """share on which both say the same"""
    kappa: Figure | None
    """agreement beyond chance; None where people or the judge said only one thing"""
    sensitivity: Figure | None
    """share of the right answers that the judge passes; None without right answers"""
    specificity: Figure | None
    """share of the wrong answers that the judge fails; None without wrong answers"""
    of: str = NAME
    """the metric; of `unsupported_claims` its answers are single claims, right where supported"""

    @property
    def corrects(self) -> bool:
        """Whether there are labels enough, and the judge tells right from wrong at all."""
        return not self.objection

    @property
    def objection(self) -> str:
        """Why no verdict may stand on the judge; empty: one may.

        That it tells right from wrong is shown where the interval of se + sp - 1 (Youden's index)
        by MOVER (Zou and Donner 2008, Statistics in Medicine 27) is above 0.
        """
        se, sp = self.sensitivity, self.specificity
        right, wrong = (0 if share is None else share.n for share in (se, sp))
        if se is None or sp is None or min(right, wrong) < MINIMUM_OF_EACH:
            return (
                f"the judge was compared with people on {right} right and {wrong} wrong answers, "
                f"and it takes {MINIMUM_OF_EACH} of each"
            )
        if se.value + sp.value - 1 <= math.hypot(se.value - se.low, sp.value - sp.low):
            return (
                "its calibration does not show that the judge tells right from wrong "
                f"(it passes {se.value:.0%} of {right} right answers, and fails {sp.value:.0%} of "
                f"{wrong} wrong ones)"
            )
        return ""

    @property
    def discernment(self) -> Discernment | None:
        """What differences are corrected by; None: no verdict may stand on the judge."""
        se, sp = self.sensitivity, self.specificity
        if not self.corrects or se is None or sp is None:
            return None
        return Discernment(sensitivity=se, specificity=sp)

    @property
    def summary(self) -> str:
        """For people, beside a judged figure."""
        kappa = "no kappa: only one kind of label or verdict"
        if self.kappa is not None:
            kappa = f"kappa {self.kappa.value:.2f} ({self.kappa.low:.2f} to {self.kappa.high:.2f})"
        return (
            f"calibrated: agrees with people on {100 * self.agreement.value:.0f} % "
            f"({100 * self.agreement.low:.0f} to {100 * self.agreement.high:.0f} %, "
            f"n = {self.n}), {kappa}"
        )

    def as_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads."""
        fields = asdict(self)
        if self.of == NAME:  # as it was before there were others: gate locks stand on it
            del fields["of"]
        return fields

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """What `as_json` wrote."""
        figures = ("agreement", "kappa", "sensitivity", "specificity")
        read = {name: Figure(**value[name]) if value[name] else None for name in figures}
        return cls(**{**value, **read})


def calibrate(
    pairs: Sequence[tuple[bool, bool]], *, judge: str, unjudged: int = 0, of: str = NAME
) -> Calibration:
    """Compare (right according to a person, passed by the judge) of the same answers.

    Raises:
        ValueError: there are no pairs.
    """
    right = [passed for label, passed in pairs if label]
    wrong = [not passed for label, passed in pairs if not label]
    return Calibration(
        judge=judge,
        of=of,
        n=len(pairs),
        unjudged=unjudged,
        agreement=intervals.share(sum(a == b for a, b in pairs), len(pairs)),
        kappa=_kappa(pairs),
        sensitivity=intervals.share(sum(right), len(right)) if right else None,
        specificity=intervals.share(sum(wrong), len(wrong)) if wrong else None,
    )


def corrected(
    passed: Figure,
    calibration: Calibration,
    *,
    worth: float | None = None,
    confidence: float = intervals.CONFIDENCE,
) -> Figure | None:
    """The share of right answers behind the share that the judge passed; None: it cannot be told.

    `passed` is a share of answers that none of the labels is about; they are worth as much as
    `worth` independent ones, by default their number.
    """
    se, sp = calibration.sensitivity, calibration.specificity
    if not calibration.corrects or se is None or sp is None:
        return None
    value = (passed.value + sp.value - 1) / (se.value + sp.value - 1)
    z = intervals.two_sided_z(confidence)
    low, high = _lang_reiczigel(passed.value, worth or passed.n, se, sp, z)
    # What is measured at a bar must not miss it by the rounding of a float.
    value = min(1.0, max(0.0, round(value, _DIGITS)))
    return Figure(value=value, low=min(low, value), high=max(high, value), n=passed.n)


def of_all(right: Figure, judged: Figure) -> Figure:
    """The share of right answers in all cases, where those that nobody judged count as wrong.

    `right` is the share among the judged, `judged` the share of these in all. The interval of the
    product recovers the variance from those of its parts (MOVER, Zou and Donner 2008).
    """
    value = right.value * judged.value
    below = math.hypot(
        judged.value * (right.value - right.low), right.value * (judged.value - judged.low)
    )
    above = math.hypot(
        judged.value * (right.high - right.value), right.value * (judged.high - judged.value)
    )
    return Figure(
        value=value, low=max(0.0, value - below), high=min(1.0, value + above), n=judged.n
    )


def rest(share: Figure) -> Figure:
    """The share of the others."""
    value, low, high = (round(1 - of, _DIGITS) for of in (share.value, share.high, share.low))
    return Figure(value=value, low=low, high=high, n=share.n)


def _lang_reiczigel(
    passed: float, cases: float, se: Figure, sp: Figure, z: float
) -> tuple[float, float]:
    n = cases + z * z
    p = (cases * passed + z * z / 2) / n
    n_se, n_sp = se.n + 2, sp.n + 2
    sensitivity, specificity = (se.n * se.value + 1) / n_se, (sp.n * sp.value + 1) / n_sp
    youden = sensitivity + specificity - 1
    if youden <= 0:
        return 0.0, 1.0
    share = (p + specificity - 1) / youden
    of_se = sensitivity * (1 - sensitivity) / n_se
    of_sp = specificity * (1 - specificity) / n_sp
    shift = 2 * z * z * (share * of_se - (1 - share) * of_sp)
    spread = math.sqrt(p * (1 - p) / n + share**2 * of_se + (1 - share) ** 2 * of_sp) / youden
    low, high = share + shift - z * spread, share + shift + z * spread
    return min(1.0, max(0.0, low)), min(1.0, max(0.0, high))


def _kappa(pairs: Sequence[tuple[bool, bool]]) -> Figure | None:
    if len({a for a, _ in pairs}) < 2 or len({b for _, b in pairs}) < 2:
        return None
    return kappa([(str(label), str(passed)) for label, passed in pairs])
