"""`loop.judge`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tuneloop.arguments import checked_methods
from tuneloop.errors import UsageError
from tuneloop.evaluation.judging import metric as judging_metric
from tuneloop.evaluation.judging.calibration import Calibration
from tuneloop.evaluation.record import Evaluation
from tuneloop.intervals import Figure
from tuneloop.loop.part import Part
from tuneloop.online_evaluation import calibrating, declared_judge, judged, judging, sampling
from tuneloop.online_evaluation.judged import Judged, JudgedPairs
from tuneloop.online_evaluation.judging import JudgingRun
from tuneloop.setup import judged as known_judge


@checked_methods
class Judge(Part):
    """The language model that scores answers by a rubric, as the model file declares it."""

    def run(self) -> JudgingRun:
        """Judge the declared share of the answers that production gave in the last two days.

        What was judged is not judged again.

        Raises:
            UsageError: no judge is declared, or its API key is not in the environment.
            EvaluationError: the judge does not answer.
            BusyError: another process is at it.
        """
        done = judging.judge_traffic(self._project, self._project.workspace.now())
        if done is None:
            raise declared_judge.not_declared()
        return done

    def calibrate(
        self, labels: Path | str | None = None, *, metric: str = judging_metric.NAME
    ) -> Calibration:
        """Measure how far the judge agrees with people, on answers that people labelled.

        `labels` is a JSON Lines file with `prompt` or `messages`, `answer`, and `correct`, true or
        false; by default the labels of captured answers are taken. The result is kept, and stands
        beside every judged figure. `metric` is what the labels are about: `judge`, a rubric of your
        own such as `judge.tone`, or `unsupported_claims`, of which each answer is a single claim
        and `correct` says whether the prompt supports it.

        Raises:
            UsageError: no judge is declared, it has no such metric, or nothing is labelled;
                captured answers are labelled for `judge` alone.
            ModelFileError: the rubric's file cannot be used.
            DataError: the file cannot be used.
            EvaluationError: the judge does not answer, gives no verdict, or changed meanwhile.
        """
        now = self._project.workspace.now()
        if labels is not None:
            labelled = calibrating.labelled_in(Path(labels))
        elif metric != judging_metric.NAME:
            raise UsageError(
                f"Labels of captured answers say whether an answer is right, not what {metric} "
                "asks.",
                remedy="Name a file of labelled answers.",
            )
        else:
            sampling.record_labels(self._project, now)
            labelled = calibrating.labelled_in_traffic(self._project, now)
        return calibrating.run(self._project, labelled, now, metric=metric)

    def calibrations(self) -> list[Calibration]:
        """What `calibrate` measured so far, the newest first."""
        return known_judge.calibrations(self._project.workspace, self._project.model.name)

    def show(self) -> list[Judged]:
        """What was said of the answers of the last 7 days, by bundle and judge."""
        return judged.summaries(self._project, self._project.workspace.now())

    def accuracy(self) -> Figure | None:
        """The share of right answers by people's samples (`loop.review.sample`); None without."""
        return sampling.accuracy(self._project)

    def compare(
        self,
        evaluation: Evaluation,
        *,
        limit: int = 100,
        reference: Literal["production", "base"] | None = None,
    ) -> JudgedPairs:
        """Which answers are better: the candidate's of an evaluation, or a reference's.

        Each of at most `limit` pairs is judged in both orders; a verdict that turns with the order
        is a tie. `reference`: by default production, or the base where nothing was in production.

        Raises:
            UsageError: no judge is declared, or nobody else was asked in the evaluation.
            EvaluationError: the judge does not answer.
        """
        return judged.compare(self._project, evaluation, limit=limit, reference=reference)
