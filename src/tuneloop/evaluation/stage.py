"""Carries out a planned evaluation and stores it: lock, ask, measure, judge, report."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import EvaluationError
from tuneloop.evaluation import gates
from tuneloop.evaluation.comparison import Comparison, compare
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import (
    CANDIDATE,
    ParityHop,
    QuantisationRow,
    Report,
    make_report,
)
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import ask
from tuneloop.evaluation.targets import ChatTarget
from tuneloop.progress import Progress, Silent
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

ANSWERS_FILE = "answers.jsonl"


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
    """`suites`: suite → metric → [value, low, high, n]; `comparisons`: reference → verdict"""
    created_at: datetime
    finished_at: datetime | None


def evaluate(
    workspace: Workspace,
    *,
    plan: EvaluationPlan,
    target: ChatTarget,
    references: Mapping[str, ChatTarget] | None = None,
    quantisations: Sequence[QuantisationRow] = (),
    parity: Sequence[ParityHop] = (),
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Ask a candidate and its references (`production`, `base`) every case, judge and store.

    After a kill or a failure the same call takes up the same evaluation and reuses its answers.
    Answers of references are kept for later evaluations on the same suite.

    Raises:
        EvaluationError: a target samples otherwise than planned, does not answer, or cannot be
            compared.
        ConflictError: the stored gates are not those of the plan.
    """
    progress = progress or Silent()
    targets = {CANDIDATE: target, **(references or {})}
    _check_sampling(plan, targets)
    row = _start(workspace, plan, target)
    try:
        results = {
            label: _results(plan, label, one, _answers_folder(workspace, row, label), progress)
            for label, one in targets.items()
        }
        gates.check_lock(plan.locked(), find(workspace, row.id).gates)
        outcome = gates.judge(
            plan.gate_lock,
            figures={result.suite.name: result.figures for result in results[CANDIDATE]},
            sizes=plan.sizes(),
        )
        comparisons = _comparisons(plan, results)
        report = make_report(
            evaluation=row.id,
            created_at=row.created_at,
            plan=plan,
            outcome=outcome,
            results=results,
            comparisons=comparisons,
            quantisations=quantisations,
            parity=parity,
            notes=notes,
        )
        artifact = _store(workspace, report, results)
    except Exception:
        _finish(workspace, row.id, status="failed")
        raise
    summary = _summary(results[CANDIDATE], comparisons)
    verdict = outcome.verdict
    _finish(
        workspace, row.id, status="finished", verdict=verdict, artifact=artifact, figures=summary
    )
    shutil.rmtree(_answers_folder(workspace, row, CANDIDATE), ignore_errors=True)
    progress.note(f"{verdict}: {outcome.reason}")
    return find(workspace, row.id)


def find(workspace: Workspace, evaluation: str) -> Evaluation:
    """The evaluation with this id.

    Raises:
        EvaluationError: there is none.
    """
    table = tables.evaluations
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.id == evaluation)).mappings().first()
    if row is None:
        raise EvaluationError(
            f"There is no evaluation {evaluation!r}.", remedy="List them: tuneloop evaluation list"
        )
    return Evaluation(**row)


def find_all(workspace: Workspace, *, model: str) -> list[Evaluation]:
    """All evaluations of a model, the newest first."""
    table = tables.evaluations
    query = sa.select(table).where(table.c.model == model)
    with workspace.records.begin() as tx:
        rows = tx.execute(query.order_by(table.c.created_at.desc(), table.c.id)).mappings().all()
    return [Evaluation(**row) for row in rows]


def read_report(workspace: Workspace, evaluation: Evaluation) -> Report:
    """The stored report of a finished evaluation, verified.

    Raises:
        EvaluationError: the evaluation is not finished.
    """
    return Report.read(_artifact(workspace, evaluation))


def read_answers(workspace: Workspace, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Who answered what: `target` (candidate, production, base), `suite`, `case`, `messages`,
    `expected`, `answer` and `scores` of each case."""
    text = (_artifact(workspace, evaluation) / ANSWERS_FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def _check_sampling(plan: EvaluationPlan, targets: Mapping[str, ChatTarget]) -> None:
    for label, target in targets.items():
        if target.sampling != plan.sampling:
            raise EvaluationError(
                f"The {label} would sample with {target.sampling.as_request()}, "
                f"but the evaluation is planned with {plan.sampling.as_request()}.",
                remedy="Evaluate with the sampling of production.",
            )


def _start(workspace: Workspace, plan: EvaluationPlan, target: ChatTarget) -> Evaluation:
    """Store the lock before anything is asked; take up one that was killed or failed."""
    table = tables.evaluations
    wanted = {
        "model": plan.model,
        "subject": target.identity,
        "gates": plan.gate_lock.digest,
        "suites": plan.suites_digest,
    }
    left = sa.select(table.c.id).where(
        *(table.c[key] == value for key, value in wanted.items()),
        table.c.status.in_(("running", "failed")),
    )
    with workspace.records.begin() as tx:
        evaluation = tx.execute(left).scalars().first()
        if evaluation is None:
            now = workspace.now()
            evaluation = f"{now:%Y%m%d}-{uuid.uuid4().hex[:8]}"
            tx.execute(
                table.insert().values(
                    id=evaluation, status="running", figures={}, created_at=now, **wanted
                )
            )
        else:
            again = {"status": "running", "finished_at": None}
            tx.execute(table.update().where(table.c.id == evaluation).values(**again))
    return find(workspace, evaluation)


def _finish(workspace: Workspace, evaluation: str, **values: Any) -> None:
    table = tables.evaluations
    with workspace.records.begin() as tx:
        tx.execute(
            table.update()
            .where(table.c.id == evaluation)
            .values(finished_at=workspace.now(), **values)
        )


def _answers_folder(workspace: Workspace, row: Evaluation, label: str) -> Path:
    """A candidate is asked afresh in every evaluation; a reference once for each suite."""
    return workspace.folder(f"work/answers/{row.id if label == CANDIDATE else 'references'}")


def _results(
    plan: EvaluationPlan, label: str, target: ChatTarget, folder: Path, progress: Progress
) -> list[SuiteResult]:
    results = []
    for suite in plan.suites:
        progress.step(f"Asking the {label} {len(suite.cases)} cases of suite {suite.name!r}")
        answers = ask(suite, target, folder=folder, concurrency=plan.concurrency, progress=progress)
        if answers.reused:
            progress.note(f"{answers.reused} answers of an earlier run were reused")
        results.append(measure(answers, plan.metrics))
    return results


def _comparisons(
    plan: EvaluationPlan, results: Mapping[str, Sequence[SuiteResult]]
) -> list[Comparison]:
    """Against each reference, on the main suite."""
    return [
        compare(results[CANDIDATE][0], of[0], label=label, metrics=plan.metrics, margin=plan.margin)
        for label, of in results.items()
        if label != CANDIDATE
    ]


def _summary(results: Sequence[SuiteResult], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    return {
        "suites": {
            result.suite.name: {name: f.as_list() for name, f in result.figures.items()}
            for result in results
        },
        "comparisons": {
            one.reference: {
                "verdict": one.verdict,
                "reason": one.reason,
                "difference": one.main.difference.value,
            }
            for one in comparisons
        },
    }


def _store(
    workspace: Workspace, report: Report, results: Mapping[str, Sequence[SuiteResult]]
) -> str:
    folder = Path(tempfile.mkdtemp(dir=workspace.folder("work")))
    try:
        _write_answers(folder / ANSWERS_FILE, results)
        report.write(folder)
        return workspace.artifacts.put(folder, kind="evaluation")
    except OSError as e:
        raise EvaluationError(
            f"The report cannot be written to {folder}: {e.strerror}.",
            remedy="Free some space and run the same command again: it continues.",
        ) from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_answers(path: Path, results: Mapping[str, Sequence[SuiteResult]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for label, of in results.items():
            for result in of:
                for case in result.suite.cases:
                    found = result.cases[case.id]
                    row = {
                        "target": label,
                        "suite": result.suite.name,
                        "case": case.id,
                        "messages": [dict(message) for message in case.messages],
                        "expected": case.expected,
                        "answer": asdict(found.answer),
                        "scores": {name: score.value for name, score in found.scores.items()},
                    }
                    file.write(json.dumps(row) + "\n")


def _artifact(workspace: Workspace, evaluation: Evaluation) -> Path:
    if evaluation.artifact is None:
        raise EvaluationError(
            f"Evaluation {evaluation.id} has no report: it is {evaluation.status}.",
            remedy="Run it again: tuneloop evaluate",
        )
    return workspace.artifacts.get(evaluation.artifact)
