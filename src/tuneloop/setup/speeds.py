"""How quick training, export and evaluation were, as the records of a workspace tell."""

from __future__ import annotations

import sqlalchemy as sa

from tuneloop.errors import TuneloopError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.project import Project
from tuneloop.registry.base_model import base_spec
from tuneloop.setup.estimate import Asked, Measured, Speeds, a_second
from tuneloop.storage import tables
from tuneloop.training import stage as runs
from tuneloop.training.record import hardware

_MADE_SECONDS = 2.0
"""An export that took less made nothing: it was used again."""
_HERE = "as the last time on this machine"


def recorded(project: Project) -> Speeds:
    """What earlier cycles of this model took on this machine; None where there was none."""
    return Speeds(train=_training(project), export=_export(project), evaluate=_evaluation(project))


def _training(project: Project) -> Measured | None:
    spec = base_spec(project.model.base, folder=project.model_file.folder)
    processor = hardware("cpu", threads=0)["processor"]
    method = project.model.training.method
    for run in runs.listing(project.workspace, project.model.name):
        record = run.record
        alike = (
            run.status == "finished"
            and record.get("base", {}).get("spec") == spec
            and record.get("hardware", {}).get("processor") == processor
            and record.get("hyperparameters", {}).get("method", {}).get("value") == method
        )
        speed = float(record.get("tokens_per_second") or 0.0)
        if alike and speed > 0:
            return a_second(speed, _HERE)
    return None


def _export(project: Project) -> Measured | None:
    table = tables.cycles
    query = (
        sa.select(table.c.steps)
        .where(table.c.model == project.model.name)
        .order_by(table.c.created_at.desc())
    )
    with project.workspace.records.begin() as tx:
        steps = tx.execute(query).scalars().all()
    took = (float(of.get("export", {}).get("seconds", 0.0)) for of in steps)
    seconds = next((each for each in took if each >= _MADE_SECONDS), None)
    return None if seconds is None else Measured(value=seconds, origin=_HERE)


def _evaluation(project: Project) -> Measured | None:
    rows = evaluations.find_all(project.workspace, model=project.model.name)
    last = next((row for row in rows if row.status == "finished" and row.artifact), None)
    if last is None:
        return None
    try:
        answers = [
            row["answer"]
            for row in evaluations.read_answers(project.workspace, last)
            if row["target"] == CANDIDATE and row["answer"]["error"] is None
        ]
    except TuneloopError:  # damaged or gone: it tells nothing
        return None
    seconds = sum(answer["latency_ms"] for answer in answers) / 1_000
    work = sum(
        Asked(
            cases=1,
            prompt_tokens=answer["prompt_tokens"],
            answer_tokens=answer["completion_tokens"],
        ).work
        for answer in answers
    )
    if seconds <= 0 or work <= 0:
        return None
    return a_second(work / seconds * project.model.cases_at_a_time, _HERE)
