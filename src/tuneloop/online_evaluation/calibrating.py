"""People's labels against the judge's verdicts on the same answers, and the stored results.

A calibration is kept as a measurement, `judge_calibration`: the agreement, with the rest as its
detail. It is of a judge, not of a bundle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tuneloop.errors import DataError, EvaluationError, UsageError
from tuneloop.evaluation.judging.calibration import Calibration, calibrate
from tuneloop.evaluation.judging.judge import Claims, JudgeVerdict, Unjudged
from tuneloop.evaluation.judging.metric import CLAIMS, NAME
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.monitoring import series
from tuneloop.monitoring.measurement import Measurement
from tuneloop.online_evaluation.declared_judge import declared_judge
from tuneloop.online_evaluation.exchanges import exchange_of, system_texts, whole_answers
from tuneloop.project import Project
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.manifest import Manifest
from tuneloop.setup.judged import CALIBRATION
from tuneloop.storage.captured import feedback, last_said
from tuneloop.task.answer_form import confirms
from tuneloop.task.rows import ANSWER_COLUMNS, FormError, recognise_case

LABELS = 500
"""The newest labels that `--from-labels` takes."""
_LABEL_AGE = timedelta(days=365)
_Said = JudgeVerdict | Claims | Unjudged


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One answer that a person judged."""

    exchange: Exchange
    right: bool


def run(
    project: Project, labelled: Sequence[Labelled], now: datetime, *, metric: str = NAME
) -> Calibration:
    """Ask the judge about answers that people judged, and store how far they agree.

    `metric` is what they judged: of `unsupported_claims` each answer is a claim, and right where
    its prompt supports it.

    Raises:
        UsageError: no judge is declared, it has no such metric, or nothing is labelled.
        ModelFileError: the rubric's file cannot be used.
        EvaluationError: the judge does not answer, gives no verdict at all, or changed meanwhile.
    """
    judge = declared_judge(project, remember=True, metric=metric)
    if not labelled:
        raise UsageError(
            "There is no labelled answer to calibrate the judge on.",
            remedy="Decide some samples (tuneloop review), or name a file of labelled answers.",
        )
    project.progress.step(f"Asking {judge.settings.model} about {len(labelled)} labelled answers")
    exchanges = [example.exchange for example in labelled]
    said: Sequence[_Said] = (
        judge.claims_of_all(exchanges, project.progress)
        if metric == CLAIMS
        else judge.score_all(exchanges, project.progress)
    )
    judged = [
        (example.right, passed, verdict.judge)
        for example, verdict in zip(labelled, said, strict=True)
        if not isinstance(verdict, Unjudged) and (passed := _passed(verdict)) is not None
    ]
    calibration = calibrate(
        [(right, passed) for right, passed, _ in judged],
        judge=_one_version([version for *_, version in judged], said),
        unjudged=len(said) - len(judged),
        of=metric,
    )
    _store(project, calibration, now)
    project.progress.note(f"{calibration.judge}: {calibration.summary}")
    if calibration.objection:
        project.progress.note(f"no gate may stand on it yet: {calibration.objection}")
    return calibration


def labelled_in(path: Path) -> list[Labelled]:
    """Answers in a JSON Lines file: a prompt, `answer`, `correct` true or false.

    The prompt has any form that a data source may have; `expected`, a right answer, is optional.

    Raises:
        DataError: naming the first line that cannot be used.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
        raise DataError(f"The labels {path} cannot be read: {reason}.") from e
    return [
        _labelled(line, f"{path.name}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def labelled_in_traffic(project: Project, now: datetime) -> list[Labelled]:
    """The newest captured answers with a label, of people in the review queue or of clients."""
    import polars as pl

    project.ingest()
    said = feedback(project.workspace.traffic, "label", since=now - _LABEL_AGE)
    labels = last_said(said).select(
        "interaction", pl.col("value").alias("label"), pl.col("time").alias("labelled")
    )
    rows = (
        whole_answers(project, since=now - _LABEL_AGE, until=now)
        .join(labels, left_on="id", right_on="interaction")
        .sort("labelled", "id", descending=True)
        .head(LABELS)
        .select("bundle", "messages", "response", "label")
        .collect()
    )
    systems = system_texts(project)
    return [
        Labelled(exchange=exchange, right=confirms(row["label"], row["response"]))
        for row in rows.iter_rows(named=True)
        if (exchange := exchange_of(row, system=systems.get(row["bundle"], ""))) is not None
    ]


def _passed(verdict: JudgeVerdict | Claims) -> bool | None:
    """Whether the judge passes an answer, or finds all of a claim supported; None: it saw none."""
    if isinstance(verdict, JudgeVerdict):
        return verdict.passed
    return not verdict.unsupported if verdict.number else None


def _one_version(judged: Sequence[str], said: Sequence[_Said]) -> str:
    versions = sorted(set(judged))
    if len(versions) == 1:
        return versions[0]
    if versions:
        problem = f"Several versions of the judge answered: {', '.join(versions)}."
    else:
        problem = f"The judge gave no verdict on any of {len(said)} answers; the last: {said[-1]}."
    raise EvaluationError(problem, remedy="Name another, or a dated, model in judge.model.")


def _store(project: Project, calibration: Calibration, now: datetime) -> None:
    measurement = Measurement(
        monitor=CALIBRATION,
        window_start=now,
        window_end=now,
        value=calibration.agreement.value,
        low=calibration.agreement.low,
        high=calibration.agreement.high,
        n=calibration.n,
        verdict="ok",
        message=f"judge {calibration.judge} is {calibration.summary}",
        detail=calibration.as_json(),
    )
    of_no_bundle = Bundle(id="", model=project.model.name, manifest=Manifest(), created_at=now)
    series.store(
        project.workspace,
        [measurement],
        bundle=of_no_bundle,
        endpoint=project.model.endpoint_name,
        now=now,
    )


def _labelled(line: str, where: str) -> Labelled:
    try:
        row = json.loads(line)
        answer, right, expected = row["answer"], row["correct"], row.get("expected")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise DataError(
            f"{where}: expected a prompt, `answer` and `correct`; found a problem with {e}."
        ) from e
    if not isinstance(answer, str) or not isinstance(right, bool):
        raise DataError(f"{where}: expected `answer` to be text and `correct` true or false.")
    if expected is not None and not isinstance(expected, str):
        raise DataError(f"{where}: expected `expected` to be text.")
    try:
        # Its answer is the one that was judged: no other column may be taken for one.
        case = recognise_case({k: v for k, v in row.items() if k.lower() not in ANSWER_COLUMNS})
    except FormError as e:
        raise DataError(f"{where}: {e.detail}.") from None
    messages = tuple(message.as_row() for message in case.messages)
    exchange = Exchange(messages=messages, answer=answer, reference=expected)
    return Labelled(exchange=exchange, right=right)
