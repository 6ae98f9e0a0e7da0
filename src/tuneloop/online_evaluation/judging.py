"""Production's answers → the judge: a declared share of each live bundle's, every day (E7).

Which answers is decided by a hash of their ids, so that nobody can choose them and a run repeated
chooses the same. Each is judged once by a version of the judge; the verdict is feedback of kind
`judgement`, kept and removed with its interaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from tuneloop.datasets.split import hash_share
from tuneloop.evaluation.judging.judge import Judge, JudgeVerdict, Unjudged
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.judging.standing import standing
from tuneloop.hashing import canonical_json, short
from tuneloop.online_evaluation.declared_judge import declared_judge
from tuneloop.online_evaluation.exchanges import exchange_of, system_texts, whole_answers
from tuneloop.project import Project
from tuneloop.setup.judged import calibrations
from tuneloop.storage.captured import feedback
from tuneloop.storage.ingest import moving
from tuneloop.storage.spool import new_id

KIND = "judgement"
JUDGE = "judge"
"""The user of the feedback that it gives."""
LOOK_BACK = timedelta(days=2)
"""Answers older than this are not judged any more; a day that the worker missed is made up for."""
_REMEMBER = timedelta(days=30)
_BATCH = 50
_REASON_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class JudgingRun:
    """What one run did."""

    judge: str | None
    """version; None where nothing was judged"""
    changed_from: str | None
    """the version of the judgements before, where it is another one: a new baseline begins"""
    judged: Mapping[str, int]
    """bundle → answers"""
    unjudged: Mapping[str, int]
    """reason code → answers without a verdict; they are tried again while they are recent"""
    bad_answers: Mapping[str, int]
    """reason code → answers of the judge that were no verdict, retries included"""
    over_limit: int
    """chosen answers that the daily limit leaves out"""
    prompt_tokens: int
    completion_tokens: int
    standing: str
    """how far the judge agrees with people, or that nobody knows"""


def judge_traffic(project: Project, now: datetime) -> JudgingRun | None:
    """Judge the day's share of captured answers; None where no judge is declared.

    Safe to repeat: what this version has judged is not judged again.

    Raises:
        UsageError: the judge's API key is not in the environment.
        EvaluationError: the judge does not answer.
        BusyError: another process is at it.
    """
    if project.model.judge is None:
        return None
    judge = declared_judge(project)
    with project.workspace.exclusive(f"judge-{project.model.name}", doing="judge answers"):
        project.ingest()
        return _judge_traffic(project, judge, now)


def _judge_traffic(project: Project, judge: Judge, now: datetime) -> JudgingRun:
    past = _Past.read(project, judge, now)
    chosen = _chosen(project, judge.settings.share, now)
    open_ = [answer_id for answer_id in chosen if (answer_id, past.version) not in past.judged]
    room = max(0, judge.settings.daily_limit - past.today)
    judged: list[tuple[str, JudgeVerdict]] = []
    unjudged: Counter[str] = Counter()
    todo = open_[:room]
    if todo:
        project.progress.step(f"Judging {len(todo)} answers with {judge.settings.model}")
    for batch in _batches(project, todo, now):
        rows = [row for row, exchange in batch if exchange is not None]
        unjudged["no_text"] += len(batch) - len(rows)
        verdicts = judge.score_all([exchange for _, exchange in batch if exchange is not None])
        new = []
        for row, verdict in zip(rows, verdicts, strict=True):
            if isinstance(verdict, Unjudged):
                unjudged[verdict.code] += 1
            elif (row["id"], verdict.judge) not in past.judged:
                new.append((row["id"], verdict))
                judged.append((row["bundle"], verdict))
        _store(project, judge, new, now)
        project.progress.update(len(judged) + unjudged.total(), len(todo))
    run = _report(project, judge, past, judged, unjudged, over_limit=len(open_) - len(todo))
    _tell(project, run)
    return run


@dataclass(frozen=True, kw_only=True)
class _Past:
    """The judgements of this rubric that are there already."""

    version: str | None
    """of the newest one"""
    judged: frozenset[tuple[str, str | None]]
    """interaction, version"""
    today: int
    """judgements of any rubric since midnight, UTC"""

    @classmethod
    def read(cls, project: Project, judge: Judge, now: datetime) -> _Past:
        import polars as pl

        rows = (
            feedback(project.workspace.traffic, KIND, since=now - _REMEMBER)
            .filter(pl.col("endpoint") == project.model.endpoint_name)
            .select("interaction", "time", pl.col("value").str.json_path_match("$.judge"))
            .sort("time")
            .collect()
        )
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        ours = rows.filter(pl.col("value").str.ends_with(f"@{short(judge.rubric)}"))
        return cls(
            version=ours["value"][-1] if ours.height else None,
            judged=frozenset(zip(ours["interaction"], ours["value"], strict=True)),
            today=rows.filter(pl.col("time") >= midnight).height,
        )


def _chosen(project: Project, share: float, now: datetime) -> list[str]:
    """Ids of the recent answers that the hash picks, in its order: a limit leaves a fair sample."""
    ids = whole_answers(project, since=now - LOOK_BACK, until=now).select("id").collect()["id"]
    picked = (
        (rank, answer_id) for answer_id in ids if (rank := hash_share(f"judge:{answer_id}")) < share
    )
    return [answer_id for _, answer_id in sorted(picked)]


def _batches(
    project: Project, ids: Sequence[str], now: datetime
) -> Iterator[list[tuple[dict[str, Any], Exchange | None]]]:
    import polars as pl

    systems, waiting = system_texts(project), iter(ids)
    while batch := list(islice(waiting, _BATCH)):
        rows = (
            whole_answers(project, since=now - LOOK_BACK, until=now)
            .filter(pl.col("id").is_in(batch))
            .select("id", "bundle", "messages", "response")
            .collect()
        )
        yield [
            (row, exchange_of(row, system=systems.get(row["bundle"], "")))
            for row in rows.iter_rows(named=True)
        ]


def _store(
    project: Project, judge: Judge, verdicts: Sequence[tuple[str, JudgeVerdict]], now: datetime
) -> None:
    time_ns = int(now.timestamp() * 1_000_000) * 1_000
    rows = [
        {
            "id": new_id(time_ns),
            "time": now,
            "interaction": interaction,
            "endpoint": project.model.endpoint_name,
            "kind": KIND,
            "value": canonical_json(
                {
                    "score": verdict.score,
                    "passed": verdict.passed,
                    "judge": verdict.judge,
                    "rubric": judge.rubric,
                    "reason": verdict.reason[:_REASON_CHARACTERS],
                    "tokens": verdict.tokens,
                }
            ),
            "user": JUDGE,
        }
        for interaction, verdict in verdicts
    ]
    with moving(project.workspace.folder("spool")):  # a clean-up must not meet a half-written file
        project.workspace.traffic.append("feedback", rows)


def _report(
    project: Project,
    judge: Judge,
    past: _Past,
    judged: Sequence[tuple[str, JudgeVerdict]],
    unjudged: Counter[str],
    *,
    over_limit: int,
) -> JudgingRun:
    version = judged[-1][1].judge if judged else past.version
    changed = past.version is not None and version != past.version
    known = calibrations(project.workspace, project.model.name)
    return JudgingRun(
        judge=version,
        changed_from=past.version if changed else None,
        judged=dict(Counter(bundle for bundle, _ in judged)),
        unjudged=dict(+unjudged),
        bad_answers=dict(judge.usage.bad_answers),
        over_limit=over_limit,
        prompt_tokens=judge.usage.prompt_tokens,
        completion_tokens=judge.usage.completion_tokens,
        standing=standing(version, known) if version else "nothing judged yet",
    )


def _tell(project: Project, run: JudgingRun) -> None:
    note = project.progress.note
    tokens = run.prompt_tokens + run.completion_tokens
    note(f"{sum(run.judged.values())} answers judged, {tokens} tokens; {run.standing}")
    if run.changed_from is not None:
        note(f"the judge was {run.changed_from} and is {run.judge} now: a new baseline begins")
    if run.unjudged:
        note(
            f"no verdict: {', '.join(f'{code} × {n}' for code, n in sorted(run.unjudged.items()))}"
        )
    if run.over_limit:
        note(f"{run.over_limit} more were chosen than judge.daily_limit lets through")
