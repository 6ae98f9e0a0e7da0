"""What the judge said: of live answers by bundle, and of two bundles' answers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tuneloop import intervals
from tuneloop.errors import UsageError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation.judging.calibration import Calibration, corrected
from tuneloop.evaluation.judging.pairs import Preferences, prefer_all, summary
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.judging.standing import standing
from tuneloop.evaluation.record import Evaluation
from tuneloop.evaluation.side_by_side import Pair, pairs, reference_in
from tuneloop.intervals import Figure
from tuneloop.online_evaluation.declared_judge import declared_judge
from tuneloop.online_evaluation.exchanges import whole_answers
from tuneloop.online_evaluation.judging import KIND
from tuneloop.project import Project
from tuneloop.setup.judged import calibrations
from tuneloop.storage.captured import feedback

_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One judge's verdicts on one bundle's answers of the last 7 days."""

    bundle: str
    judge: str
    """version"""
    score: Figure
    """mean, 0 to 1"""
    passed: Figure
    """share that reaches `judge.passes_from`"""
    corrected: Figure | None
    """that share, corrected for the judge's known error; None without enough labels"""
    standing: str
    """how far the judge agrees with people, or that nobody knows"""
    tokens: int


@dataclass(frozen=True, kw_only=True)
class JudgedPairs(Preferences):
    """What the judge prefers in the pairs of one evaluation."""

    against: str
    """whose answers the candidate's are compared with: production, base"""


def summaries(project: Project, now: datetime) -> list[Judged]:
    """By bundle and judge.

    Raises:
        StoreError: the tables cannot be read.
    """
    import polars as pl

    value = pl.col("value")
    verdicts = feedback(project.workspace.traffic, KIND, since=now - _WEEK).select(
        "interaction",
        judge=value.str.json_path_match("$.judge"),
        score=value.str.json_path_match("$.score").cast(pl.Float64),
        passed=value.str.json_path_match("$.passed") == "true",
        tokens=value.str.json_path_match("$.tokens").cast(pl.Int64),
    )
    rows = (
        whole_answers(project, since=now - 2 * _WEEK, until=now)
        .select("id", "bundle")
        .join(verdicts, left_on="id", right_on="interaction")
        .group_by("bundle", "judge")
        .agg("score", "passed", pl.col("tokens").sum())
        .sort("bundle", "judge")
        .collect()
    )
    known = calibrations(project.workspace, project.model.name)
    return [_judged(row, known) for row in rows.iter_rows(named=True)]


def compare(
    project: Project, done: Evaluation, *, limit: int, reference: str | None = None
) -> JudgedPairs:
    """Which answers to the main suite the judge prefers: the candidate's or a reference's.

    `reference`: production or base, by default the first of them that was asked. The pairs are the
    first `limit` of those that people choose in.

    Raises:
        UsageError: no judge is declared, or nobody else was asked in the evaluation.
        EvaluationError: the judge does not answer.
    """
    judge = declared_judge(project, remember=True)
    rows = evaluations.read_answers(project.workspace, done)
    chosen = reference_in(rows, reference, done.id)
    drawn = pairs(rows, chosen, evaluation=done.id)[:limit]
    if not drawn:
        raise UsageError(
            f"No case of evaluation {done.id} was answered by the candidate and by {chosen}.",
            remedy="Look why: tuneloop evaluation show",
        )
    project.progress.step(f"Judging {len(drawn)} pairs in both orders with {judge.settings.model}")
    preferences = prefer_all(
        judge, [(_exchange(pair), pair.reference) for pair in drawn], project.progress
    )
    counted = summary(preferences, [pair.cluster for pair in drawn])
    return JudgedPairs(**vars(counted), against=chosen)


def _exchange(pair: Pair) -> Exchange:
    return Exchange(messages=pair.messages, answer=pair.candidate, reference=pair.expected)


def _judged(row: Mapping[str, Any], known: Sequence[Calibration]) -> Judged:
    passed = intervals.share(sum(row["passed"]), len(row["passed"]))
    version = str(row["judge"])
    of_it = next((calibration for calibration in known if calibration.judge == version), None)
    return Judged(
        bundle=row["bundle"],
        judge=version,
        score=intervals.mean(row["score"]),
        passed=passed,
        corrected=corrected(passed, of_it) if of_it else None,
        standing=standing(version, known, passed),
        tokens=row["tokens"],
    )
