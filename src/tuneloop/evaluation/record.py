"""Evaluations on record: the row of each, its report, and every answer that was given.

`stage` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.readable_report import Report
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.evaluation.runner import prompt_digest
from tuneloop.evaluation.targets import Answer
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.storage.references import LATEST, meant_by, one_named
from tuneloop.workspace import Workspace

ANSWERS_FILE = "answers.jsonl"
"""Beside the report."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One row of `evaluations`."""

    id: str
    model: str
    subject: str
    """identity of what was asked"""
    gates: str
    """digest of the lock, stored before the first answer"""
    suites: str
    status: str
    """running, finished, failed"""
    verdict: str | None
    """passed, failed, refused; None until finished"""
    artifact: str | None
    """the report"""
    figures: Mapping[str, Any]
    """`suites`: suite → metric → [value, low, high, n]; `comparisons`: reference → `Standing`;
    `repeatability`, where it was measured: see `evaluation.repeatability`; `weakened`, where
    something was asked for less than of others: see `registry.weakness`"""
    created_at: datetime
    finished_at: datetime | None


def find(workspace: Workspace, evaluation: str) -> Evaluation:
    """The evaluation with this id.

    Raises:
        EvaluationError: there is none.
    """
    table = tables.evaluations
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.id == evaluation)).first()
    if row is None:
        raise _unknown(evaluation)
    return record_of(Evaluation, row)


def named(workspace: Workspace, model: str, reference: str = LATEST) -> Evaluation:
    """An evaluation by id, its beginning, or `latest` (the newest finished one of the model).

    Raises:
        EvaluationError: no id begins so.
        UsageError: several do, or none is finished.
    """
    evaluations = find_all(workspace)
    if reference != LATEST and not meant_by(evaluations, reference, _names):
        raise _unknown(reference)
    return one_named(
        evaluations,
        reference,
        _names,
        what="finished evaluations" if reference == LATEST else "evaluations",
        remedy="See them with `tuneloop evaluation list`; make one with `tuneloop run`.",
        latest=[row for row in evaluations if row.model == model and row.status == "finished"],
    )


def _names(evaluation: Evaluation) -> tuple[str, ...]:
    return (evaluation.id,)


def _unknown(evaluation: str) -> EvaluationError:
    return EvaluationError(
        f"There is no evaluation {evaluation!r}.", remedy="List them: tuneloop evaluation list"
    )


def find_all(workspace: Workspace, *, model: str | None = None) -> list[Evaluation]:
    """All evaluations of a model, or of all, the newest first."""
    table = tables.evaluations
    query = sa.select(table)
    if model is not None:
        query = query.where(table.c.model == model)
    with workspace.records.begin() as tx:
        rows = tx.execute(query.order_by(table.c.created_at.desc(), table.c.id)).all()
    return [record_of(Evaluation, row) for row in rows]


def read_report(workspace: Workspace, evaluation: Evaluation) -> Report:
    """The stored report of a finished evaluation, verified.

    Raises:
        EvaluationError: the evaluation is not finished.
    """
    return Report.read(_artifact(workspace, evaluation))


def read_answers(workspace: Workspace, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Who answered what: `target` (candidate, production, base), `suite`, `case`, the `messages`
    that it read, `expected`, `answer` and `scores` of each case; its `group`, where it has one;
    `repeats` are the texts that came back where a case was asked again."""
    text = (_artifact(workspace, evaluation) / ANSWERS_FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def answers_of_candidate(workspace: Workspace, evaluation: Evaluation) -> dict[str, Answer]:
    """What the candidate of a finished evaluation said: prompt digest → answer."""
    answers = {
        prompt_digest(row["messages"]): Answer(**row["answer"])
        for row in read_answers(workspace, evaluation)
        if row["target"] == CANDIDATE
    }
    return {prompt: answer for prompt, answer in answers.items() if answer.error is None}


def _artifact(workspace: Workspace, evaluation: Evaluation) -> Path:
    if evaluation.artifact is None:
        raise EvaluationError(
            f"Evaluation {evaluation.id} has no report: it is {evaluation.status}.",
            remedy="Run it again: tuneloop evaluate",
        )
    return workspace.artifacts.get(evaluation.artifact)
