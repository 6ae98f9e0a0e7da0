"""The judge as a metric of evaluation suites, so that a gate may stand on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tuneloop.evaluation.judging.calibration import Calibration, corrected
from tuneloop.evaluation.judging.claims import claims_metric
from tuneloop.evaluation.judging.judge import Judge, JudgeVerdict, Unjudged, refuse_unjudged
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.scorers.base import Metric, Score
from tuneloop.evaluation.scorers.judge import CLAIMS as CLAIMS
from tuneloop.evaluation.scorers.judge import NAME as NAME
from tuneloop.evaluation.scorers.judge import NAMES as NAMES
from tuneloop.evaluation.suites import Case
from tuneloop.hashing import digest_json
from tuneloop.intervals import Figure
from tuneloop.progress import Progress

NOT_CALIBRATED = "not calibrated: how far it agrees with people is not known"


def uncalled() -> Metric:
    """The metric where nothing is judged: the judge's API key may be on another machine.

    It may count any case, as a judge's verdicts may.
    """
    claims = Metric(
        name=CLAIMS,
        about="",
        scorer=lambda case, output: None,
        counts="in-scope",
        higher_is_better=False,
        source_digest=CLAIMS,
    )
    return Metric(
        name=NAME,
        about="",
        scorer=lambda case, output: None,
        source_digest=NAME,
        beside=(claims,),
    )


@dataclass(frozen=True, kw_only=True)
class JudgedAnswers:
    """The judge's verdicts on the answers of one evaluation; the metric `judge` reads them."""

    judge: Judge
    calibrations: Sequence[Calibration] = ()
    """the newest first"""
    verdicts: dict[str, JudgeVerdict | Unjudged] = field(default_factory=dict)
    """digest of prompt, answer and reference → what the judge said"""

    def prepare(self, asked: Sequence[tuple[Case, str]], progress: Progress) -> None:
        """Judge all answers of a suite at once, several at a time.

        Raises:
            EvaluationError: the judge does not answer, or gives no verdict on too many answers.
        """
        exchanges = {_key(case, output): _exchange(case, output) for case, output in asked}
        new = [key for key in exchanges if key not in self.verdicts]
        if new:
            progress.step(f"Judging {len(new)} answers with {self.judge.settings.model}")
        verdicts = self.judge.score_all([exchanges[key] for key in new], progress)
        self.verdicts.update(zip(new, verdicts, strict=True))
        refuse_unjudged([self.verdicts[key] for key in exchanges])

    def score(self, case: Case, output: str) -> Score | None:
        """1 where the judge passes the answer; None where it gave no verdict."""
        verdict = self.verdicts[_key(case, output)]
        if isinstance(verdict, Unjudged):
            return None
        return Score(value=float(verdict.passed), detail=verdict.reason)

    def remarks(self, figure: Figure) -> list[str]:
        """What a reader must know about the figure: versions, agreement, the corrected share."""
        judged = [
            verdict for verdict in self.verdicts.values() if isinstance(verdict, JudgeVerdict)
        ]
        versions = sorted({verdict.judge for verdict in judged})
        notes = [
            standing(version, self.calibrations, figure if len(versions) == 1 else None)
            for version in versions
        ]
        if len(versions) > 1:
            notes.append("judge: several versions judged; their verdicts are not comparable")
        if missing := len(self.verdicts) - len(judged):
            notes.append(f"judge: no verdict on {missing} answers, which are left out")
        return notes


def judge_metric(judge: Judge, calibrations: Sequence[Calibration] = ()) -> Metric:
    """The metric `judge`: the share of answers that the judge passes."""
    settings, judged = judge.settings, JudgedAnswers(judge=judge, calibrations=calibrations)
    return Metric(
        name=NAME,
        about=f"answers that {settings.model} scores {settings.passes_from} or more of 5 "
        "by the rubric",
        scorer=judged.score,
        source_digest=judge.rubric,
        prepare=judged.prepare,
        remarks=judged.remarks,
        beside=(claims_metric(judge),),
    )


def standing(
    version: str, calibrations: Sequence[Calibration], passed: Figure | None = None
) -> str:
    """How much a judge's figures may be trusted; `passed` is the share to correct."""
    known = next(
        (calibration for calibration in calibrations if calibration.judge == version), None
    )
    if known is None:
        return f"judge {version} is {NOT_CALIBRATED}"
    note = f"judge {version} is {known.summary}"
    right = passed and corrected(passed, known)
    if passed is not None and right is not None:
        note += (
            f"; its {passed.value:.3f} corrected for its known error: {right.value:.3f} "
            f"({right.low:.3f} to {right.high:.3f}, n = {right.n})"
        )
    return note


def _exchange(case: Case, output: str) -> Exchange:
    return Exchange(messages=case.messages, answer=output, reference=case.expected)


def _key(case: Case, output: str) -> str:
    return digest_json([[dict(message) for message in case.messages], output, case.expected])
