"""Whether a golden case of prose is still answered well: pure rules on what was measured of it.

No answer of prose equals its reference, so a case passes where nothing is wrong that can be told
without one, and where it is as well answered as it was:

- every rule that was measured holds (`RULES`), and the answer was not cut off;
- no larger share of its checkable spans is ungrounded than at release, or than 5 %;
- where the case declares phrases, it says and does not say them; where it declares none, it is no
  less like its reference than at release, but for a declared drop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RULES = ("answered", "no_loops", "in_language", "length_fit", "format", "phrases")
"""Pass/fail metrics, each of which must hold."""
LIKENESS = ("chrf", "rouge_l", "similarity", "bleu")
"""The first that was measured now and at release is the likeness to the reference."""
UNGROUNDED = "ungrounded"
MOST_UNGROUNDED = 0.05
"""Share of an answer's checkable spans: the default of the gate on hallucinations."""


@dataclass(frozen=True, kw_only=True)
class MeasuredAnswer:
    """What was measured of one answer."""

    scores: Mapping[str, float]
    """metric → value, of the metrics that count the case"""
    cut_off: bool = False
    """ended at the token limit"""
    details: Mapping[str, str] = field(default_factory=dict)
    """metric → why it is not 1, where that is known"""

    @property
    def is_known(self) -> bool:
        """Whether anything was measured that says how well prose was answered."""
        return any(name in self.scores for name in (*RULES, *LIKENESS))


def faults(now: MeasuredAnswer, then: MeasuredAnswer | None, *, drop: float) -> tuple[str, ...]:
    """What an answer breaks, for people; none: it passes.

    `then` is what was measured of the same case at release; None where it was not asked.
    By no more than `drop` (0 to 1) it may be less like its reference than it was then.
    """
    broken = [
        f"{name}: {now.details[name]}" if now.details.get(name) else name
        for name in RULES
        if now.scores.get(name, 1.0) < 1
    ]
    if now.cut_off:
        broken.append("cut off at the token limit")
    known = then.scores if then is not None else {}
    return (*broken, *_ungrounded(now.scores, known), *_less_like(now.scores, known, drop))


def _ungrounded(now: Mapping[str, float], then: Mapping[str, float]) -> Sequence[str]:
    share = now.get(UNGROUNDED, 0.0)
    most = max(then.get(UNGROUNDED, 0.0), MOST_UNGROUNDED)
    return [f"{share:.0%} ungrounded, at most {most:.0%}"] if share > most else []


def _less_like(now: Mapping[str, float], then: Mapping[str, float], drop: float) -> Sequence[str]:
    if "phrases" in now:
        return []
    measure = next((name for name in LIKENESS if name in now and name in then), None)
    if measure is None or now[measure] >= then[measure] - drop:
        return []
    return [f"{measure} {now[measure]:.2f}, {then[measure]:.2f} at release"]
