"""The judge as a metric of evaluation suites, so that a gate may stand on it.

Its figure is the share of right answers, corrected for what the judge gets wrong, with the
uncertainty of that; the share that it passed is told beside. Without labels enough it is the share
that the judge passed, and no verdict stands on it. An answer without a verdict is not right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from tuneloop import intervals
from tuneloop.evaluation.discernment import Discernment
from tuneloop.evaluation.judging import standing
from tuneloop.evaluation.judging.calibration import Calibration, corrected, of_all
from tuneloop.evaluation.judging.claims import claims_metric
from tuneloop.evaluation.judging.judge import Judge, JudgeVerdict, Unjudged, refuse_unjudged
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.scorers.base import Metric, Score
from tuneloop.evaluation.scorers.judge import CLAIMS as CLAIMS
from tuneloop.evaluation.scorers.judge import NAME as NAME
from tuneloop.evaluation.scorers.judge import NAMES as NAMES
from tuneloop.evaluation.scorers.judge import is_judged as is_judged
from tuneloop.evaluation.scorers.judge import metric_of_rubric as metric_of_rubric
from tuneloop.evaluation.suites import Case
from tuneloop.hashing import digest_json
from tuneloop.intervals import Figure
from tuneloop.modelfile import JudgeSettings
from tuneloop.progress import Progress


def uncalled(settings: JudgeSettings | None = None) -> Metric:
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
    rubrics = map(metric_of_rubric, settings.rubrics if settings else ())
    judge, *others = (
        Metric(name=name, about="", scorer=lambda case, output: None, source_digest=name)
        for name in (NAME, *rubrics)
    )
    return replace(judge, beside=(claims, *others))


@dataclass(frozen=True, kw_only=True)
class JudgedAnswers:
    """The judge's verdicts on the answers of one evaluation; the metric `judge` reads them."""

    judge: Judge
    metric: str = NAME
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
        """1 where the judge passes the answer, 0 where it fails it or gave no verdict."""
        verdict = self.verdicts[_key(case, output)]
        if isinstance(verdict, Unjudged):
            return Score(value=0.0, detail=f"no verdict: {verdict.code}", fault="unjudged")
        return Score(value=float(verdict.passed), detail=verdict.reason, judge=verdict.judge)

    def figure(self, scores: Sequence[Score]) -> Figure:
        """The share of right answers; of those that the judge passed where nothing corrects it."""
        return self.figure_at(scores, 1.0, intervals.CONFIDENCE)

    def figure_at(self, scores: Sequence[Score], effect: float, confidence: float) -> Figure:
        """The same at another confidence, of cases that are worth fewer by the design effect."""
        judged = [score for score in scores if score.judge]
        known = standing.of_versions(sorted({score.judge for score in judged}), self.calibrations)
        right = None
        if known is not None:
            worth = len(judged) / effect
            right = corrected(_passed(judged), known, worth=worth, confidence=confidence)
        if right is None:
            return _passed(scores, confidence)
        if len(judged) == len(scores):
            return right
        return of_all(right, intervals.share(len(judged), len(scores), confidence=confidence))

    def objection(self) -> str:
        """Why no verdict may stand on these verdicts; empty: one may."""
        return standing.objection(self._versions(), self.calibrations, metric=self.metric)

    def discernment(self) -> Discernment | None:
        """What a difference of these verdicts is corrected by; None: nothing corrects it."""
        known = standing.of_versions(self._versions(), self.calibrations)
        return known.discernment if known is not None else None

    def remarks(self, scores: Sequence[Score]) -> list[str]:
        """What a reader must know about the figure: versions, agreement, what was passed."""
        versions = self._versions()
        judged = [score for score in scores if score.judge]
        passed = _passed(judged) if judged and len(versions) == 1 else None
        about = "" if self.metric == NAME else f"{self.metric}: "
        notes = [
            f"{about}{standing.standing(version, self.calibrations, passed)}"
            for version in versions
        ]
        if len(versions) > 1:
            notes.append(
                f"{self.metric}: several versions judged; their verdicts are not comparable"
            )
        missing = sum(isinstance(verdict, Unjudged) for verdict in self.verdicts.values())
        if missing:
            notes.append(
                f"{self.metric}: no verdict on {missing} answers, which count as not right; "
                "production's and the base's are not compared"
            )
        return notes

    def _versions(self) -> list[str]:
        judged = (v for v in self.verdicts.values() if isinstance(v, JudgeVerdict))
        return sorted({verdict.judge for verdict in judged})


def judge_metric(
    judge: Judge,
    calibrations: Sequence[Calibration] = (),
    *,
    rubrics: Mapping[str, Judge] = MappingProxyType({}),
) -> Metric:
    """The metric `judge`: the share of right answers, as far as the judge can tell it.

    Beside it are `unsupported_claims` and, of each of the team's `rubrics`, `judge.NAME` by the
    judge that is asked by it. `calibrations` are of all of them. What corrects a metric is part of
    its identity, and so of the gate lock.
    """
    others = (
        _by_rubric(metric_of_rubric(name), of, calibrations, rubric=f"the rubric {name!r}")
        for name, of in rubrics.items()
    )
    return replace(
        _by_rubric(NAME, judge, calibrations, rubric="the rubric"),
        beside=(claims_metric(judge, calibrations), *others),
    )


def _by_rubric(
    name: str, judge: Judge, calibrations: Sequence[Calibration], *, rubric: str
) -> Metric:
    settings = judge.settings
    judged = JudgedAnswers(judge=judge, metric=name, calibrations=calibrations)
    return Metric(
        name=name,
        about=f"answers that {settings.model} scores {settings.passes_from} or more of 5 "
        f"by {rubric}, corrected for what it gets wrong",
        scorer=judged.score,
        figure=judged.figure,
        figure_at=judged.figure_at,
        source_digest=standing.identity(judge.rubric, calibrations),
        prepare=judged.prepare,
        remarks=judged.remarks,
        objection=judged.objection,
        discerns=judged.discernment,
    )


def _passed(scores: Sequence[Score], confidence: float = intervals.CONFIDENCE) -> Figure:
    return intervals.share(
        sum(score.value == 1 for score in scores), len(scores), confidence=confidence
    )


def _exchange(case: Case, output: str) -> Exchange:
    return Exchange(messages=case.messages, answer=output, reference=case.expected)


def _key(case: Case, output: str) -> str:
    return digest_json([[dict(message) for message in case.messages], output, case.expected])
