"""Claim by claim: what an answer says, and which of it the prompt does not support.

The judge writes the list and the verdicts; it sees the prompt and the answer, and no reference. Its
figure is pooled over all claims as `ungrounded` is over all checkable parts, and nobody calibrated
it: a person's sample says how far it may be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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

    def remarks(self, scores: Sequence[Score]) -> list[str]:
        """Who judged, and what is left out."""
        found = [claims for claims in self.claims.values() if isinstance(claims, Claims)]
        by = ", ".join(sorted({claims.judge for claims in found}))
        notes = [f"{CLAIMS}: {by}, which nobody has compared with people on claims"] if by else []
        if missing := len(self.claims) - len(found):
            notes.append(f"{CLAIMS}: no verdict on {missing} answers, {_COUNT}")
        return notes


def claims_metric(judge: Judge) -> Metric:
    """The metric `unsupported_claims`."""
    claimed = ClaimedAnswers(judge=judge)
    return Metric(
        name=CLAIMS,
        about=f"claims in the answers to in-scope cases that {judge.settings.model} finds not "
        "supported by the prompt, as a share of all of them",
        scorer=claimed.score,
        counts="in-scope",
        higher_is_better=False,
        needs_answer=True,
        figure=_counted,
        source_digest=CLAIMS_DIGEST,
        prepare=claimed.prepare,
        remarks=claimed.remarks,
    )


def _counted(scores: Sequence[Score]) -> Figure:
    """The pooled share; an answer without a verdict has as many claims as the others on average."""
    weights = [score.weight for score in scores if score.fault != "unjudged"]
    usual = max(1.0, math.fsum(weights) / len(weights)) if weights else 1.0
    return pooled([replace(s, weight=usual) if s.fault == "unjudged" else s for s in scores])


def _key(case: Case, output: str) -> str:
    return digest_json([[dict(message) for message in case.messages], output])
