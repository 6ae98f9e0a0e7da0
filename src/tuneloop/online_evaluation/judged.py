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
from tuneloop.evaluation.judging.metric import standing
from tuneloop.evaluation.judging.pairs import Preferences, prefer_all, summary
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.record import Evaluation
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.intervals import Figure
from tuneloop.online_evaluation.declared_judge import calibrations, declared_judge
from tuneloop.online_evaluation.exchanges import whole_answers
from tuneloop.online_evaluation.judging import KIND
from tuneloop.project import Project
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


def compare(project: Project, done: Evaluation, *, limit: int) -> Preferences:
    """Which answers to the main suite the judge prefers: the candidate's or production's.

    Raises:
        UsageError: no judge is declared, or production was not asked in the evaluation.
        EvaluationError: the judge does not answer.
    """
    judge = declared_judge(project, remember=True)
    rows = evaluations.read_answers(project.workspace, done)
    mine, theirs = _answered(rows, CANDIDATE), _answered(rows, "production")
    pairs = [
        (_exchange(mine[case]), theirs[case]["answer"]["text"])
        for case in sorted(mine.keys() & theirs.keys())[:limit]
    ]
    if not pairs:
        raise UsageError(
            f"Production was not asked in evaluation {done.id}: there is nothing to compare.",
            remedy="Deploy a bundle, then evaluate another one: tuneloop run",
        )
    project.progress.step(f"Judging {len(pairs)} pairs in both orders with {judge.settings.model}")
    return summary(prefer_all(judge, pairs, project.progress))


def _answered(rows: Sequence[dict[str, Any]], target: str) -> dict[str, dict[str, Any]]:
    """Case of the main suite, which comes first → what a target answered."""
    return {
        row["case"]: row
        for row in rows
        if row["target"] == target
        and row["suite"] == rows[0]["suite"]
        and row["answer"]["error"] is None
    }


def _exchange(row: Mapping[str, Any]) -> Exchange:
    return Exchange(
        messages=tuple(row["messages"]), answer=row["answer"]["text"], reference=row["expected"]
    )


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
