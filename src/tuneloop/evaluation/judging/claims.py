"""Claim by claim: what an answer says, and which of it the prompt does not support.

The judge writes the list and the verdicts; it sees the prompt and the answer, and no reference. Its
figure is pooled over all claims as `ungrounded` is over all checkable parts, and corrected by what
people said of single claims, see `calibration`; without labels enough no verdict stands on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tuneloop import intervals
from tuneloop.evaluation.discernment import Discernment
from tuneloop.evaluation.judging import standing
from tuneloop.evaluation.judging.calibration import Calibration, corrected, of_all, rest
from tuneloop.evaluation.judging.judge import Claims, Judge, Unjudged, refuse_unjudged
from tuneloop.evaluation.judging.prompt import CLAIMS_DIGEST, Exchange
from tuneloop.evaluation.scorers.base import Metric, Score
from tuneloop.evaluation.scorers.groundedness import pooled
from tuneloop.evaluation.scorers.judge import CLAIMS
from tuneloop.evaluation.suites import Case
from tuneloop.hashing import digest_json
from tuneloop.intervals import Figure
from tuneloop.progress import Progress

_SHOWN_CLAIMS = 5
_COUNT = "which count as if none of their claims were supported"


@dataclass(frozen=True, kw_only=True)
class ClaimedAnswers:
    """The judge's lists for the answers of one evaluation."""

    judge: Judge
    calibrations: Sequence[Calibration] = ()
    """the newest first"""
    claims: dict[str, Claims | Unjudged] = field(default_factory=dict)
    """digest of prompt and answer → what the judge found"""

    def prepare(self, asked: Sequence[tuple[Case, str]], progress: Progress) -> None:
        """Judge the in-scope answers of a suite, several at a time.

        Raises:
            EvaluationError: the judge does not answer, or gives no verdict on too many answers.
        """
        exchanges = {
            _key(case, output): Exchange(messages=case.messages, answer=output)
            for case, output in asked
            if not case.out_of_scope
        }
        new = [key for key in exchanges if key not in self.claims]
        if new:
            model = self.judge.settings.model
            progress.step(f"Checking the claims of {len(new)} answers with {model}")
        found = self.judge.claims_of_all([exchanges[key] for key in new], progress)
        self.claims.update(zip(new, found, strict=True))
        refuse_unjudged([self.claims[key] for key in exchanges])

    def score(self, case: Case, output: str) -> Score | None:
        """The share of the answer's claims that are not supported; its weight is their number."""
        found = self.claims[_key(case, output)]
        if isinstance(found, Unjudged):
            return Score(value=1.0, detail=f"no verdict: {found.code}", fault="unjudged")
        if not found.number:
            return Score(value=0.0, weight=0)
        shown = "; ".join(found.unsupported[:_SHOWN_CLAIMS])
        return Score(
            value=len(found.unsupported) / found.number,
            weight=found.number,
            detail=f"not supported: {shown}" if shown else "",
        )

    def figure(self, scores: Sequence[Score]) -> Figure:
        """The pooled share of claims without support, corrected where something corrects it."""
        return self.figure_at(scores, 1.0, intervals.CONFIDENCE)

    def figure_at(self, scores: Sequence[Score], effect: float, confidence: float) -> Figure:
        """The same at another confidence, of cases that are worth fewer by the design effect."""
        judged = [score for score in scores if score.fault != "unjudged"]
        known = standing.of_versions(self._versions(), self.calibrations)
        if known is None or not known.corrects or not judged:
            return _counted(scores, confidence)
        supported = rest(pooled(judged, confidence))
        parts, wholes = zip(*((s.value * s.weight, s.weight) for s in judged), strict=True)
        worth = max(1.0, intervals.independent_parts(parts, wholes) / effect)
        right = corrected(supported, known, worth=worth, confidence=confidence) or supported
        if len(judged) < len(scores):
            of = intervals.share(len(judged), len(scores), confidence=confidence)
            right = of_all(right, of)
        return rest(right)

    def objection(self) -> str:
        """Why no verdict may stand on these lists; empty: one may."""
        return standing.objection(self._versions(), self.calibrations, metric=CLAIMS)

    def discernment(self) -> Discernment | None:
        """What a difference of these shares is corrected by; None: nothing corrects it."""
        known = standing.of_versions(self._versions(), self.calibrations)
        return known.discernment if known is not None else None

    def remarks(self, scores: Sequence[Score]) -> list[str]:
        """Who judged, how far it is known to agree with people, and what is left out."""
        versions = self._versions()
        judged = [score for score in scores if score.fault != "unjudged"]
        seen = rest(pooled(judged)) if judged and len(versions) == 1 else None
        notes = [
            f"{CLAIMS}: {standing.standing(version, self.calibrations, seen)}"
            for version in versions
        ]
        if missing := sum(isinstance(found, Unjudged) for found in self.claims.values()):
            notes.append(f"{CLAIMS}: no verdict on {missing} answers, {_COUNT}")
        return notes

    def _versions(self) -> list[str]:
        return sorted({found.judge for found in self.claims.values() if isinstance(found, Claims)})


def claims_metric(judge: Judge, calibrations: Sequence[Calibration] = ()) -> Metric:
    """The metric `unsupported_claims`; what corrects it is part of its identity."""
    claimed = ClaimedAnswers(judge=judge, calibrations=calibrations)
    return Metric(
        name=CLAIMS,
        about=f"claims in the answers to in-scope cases that {judge.settings.model} finds not "
        "supported by the prompt, as a share of all of them",
        scorer=claimed.score,
        counts="in-scope",
        higher_is_better=False,
        needs_answer=True,
        figure=claimed.figure,
        figure_at=claimed.figure_at,
        source_digest=standing.identity(CLAIMS_DIGEST, calibrations),
        prepare=claimed.prepare,
        remarks=claimed.remarks,
        objection=claimed.objection,
        discerns=claimed.discernment,
    )


def _counted(scores: Sequence[Score], confidence: float) -> Figure:
    """The pooled share; an answer without a verdict has as many claims as the others on average."""
    weights = [score.weight for score in scores if score.fault != "unjudged"]
    usual = max(1.0, math.fsum(weights) / len(weights)) if weights else 1.0
    whole = [replace(s, weight=usual) if s.fault == "unjudged" else s for s in scores]
    return pooled(whole, confidence)


def _key(case: Case, output: str) -> str:
    return digest_json([[dict(message) for message in case.messages], output])
