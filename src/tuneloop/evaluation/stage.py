"""Carries out a planned evaluation and stores it: lock, ask, measure, judge, report."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tuneloop import intervals
from tuneloop.errors import EvaluationError
from tuneloop.evaluation import gates, looks, near_misses, validity
from tuneloop.evaluation.asking import (
    AskAgain,
    ask_everybody,
    asked_meanwhile,
    notes_on_latency,
)
from tuneloop.evaluation.bounds import bounds_of
from tuneloop.evaluation.comparison import Comparison, can_compare, compare, standing
from tuneloop.evaluation.decision import DecisionRule
from tuneloop.evaluation.metrics import QUANTILES
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.readable_report import Report
from tuneloop.evaluation.record import ANSWERS_FILE, Evaluation, find
from tuneloop.evaluation.repeatability import Repeats
from tuneloop.evaluation.report import (
    CANDIDATE,
    ParityHop,
    QuantisationRow,
    make_report,
)
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.scorers.prose import LIKENESS
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import Answer, ChatTarget
from tuneloop.progress import Progress, Silent
from tuneloop.registry.weakness import Weakness
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

ANSWERS_FOLDER = "work/answers"
"""In the workspace: what targets said, so that they are not asked the same again."""

QuantisationTable = Callable[[SuiteResult], Sequence[QuantisationRow]]
"""The candidate's result on the main suite in, a row for every exported file out."""


def evaluate(
    workspace: Workspace,
    *,
    plan: EvaluationPlan,
    target: ChatTarget,
    references: Mapping[str, Subject] | None = None,
    known: Mapping[str, Answer] | None = None,
    ask_again: AskAgain | None = None,
    quantisations: QuantisationTable | None = None,
    parity: Sequence[ParityHop] = (),
    notes: Sequence[str] = (),
    weakened: Sequence[Weakness] = (),
    beside: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask a candidate every case and its references (`production`, `base`) theirs, judge, store.

    After a kill or a failure the same call takes up the same evaluation and reuses its answers.
    Answers of references are kept for later evaluations that ask the same. `weakened` is what is
    asked for less than of others; it stands first in the report. `known` is what the
    candidate answered elsewhere with the same sampling: prompt digest → answer. `beside`: two
    servers fit on this machine, so the last reference is asked while the others are, unless a gate
    judges latency.

    Raises:
        EvaluationError: the candidate samples otherwise than planned, somebody does not answer or
            cannot be compared.
        ConflictError: the stored gates are not those of the plan.
    """
    progress = progress or Silent()
    for weakness in weakened:
        progress.note(f"warning: {weakness.sentence}")
    subjects = {CANDIDATE: Subject(target=target, known=known or {}), **(references or {})}
    _check_sampling(plan, target)
    row = _start(workspace, plan, target)
    look, earlier = looks.take(
        workspace,
        evaluation=row.id,
        model=plan.model,
        suite=plan.main_suite,
        subject=target.identity,
    )
    rule = plan.rule.at(look)
    folder = partial(_answers_folder, workspace, row)
    meanwhile = asked_meanwhile(plan, subjects, folder=folder) if beside else None
    try:
        results, again = ask_everybody(
            plan,
            subjects,
            folder=folder,
            ask_again=ask_again,
            meanwhile=meanwhile,
            progress=progress,
        )
        gates.check_lock(plan.locked(), find(workspace, row.id).gates)
        objections = _objections(plan)
        comparisons = _comparisons(plan, rule, subjects, results, objections)
        outcome = gates.apply_gates(
            plan.gate_lock,
            figures={result.suite.name: result.figures for result in results[CANDIDATE]},
            sizes=plan.sizes(),
            comparisons=comparisons,
            unusable={**objections, **plan.unusable},
            rule=rule,
            bounds={
                result.suite.name: bounds_of(result, plan.metrics, level=rule.level)
                for result in results[CANDIDATE]
            },
        )
        report = Report(
            make_report(
                evaluation=row.id,
                created_at=row.created_at,
                plan=plan,
                rule=rule,
                looks=earlier,
                outcome=outcome,
                results=results,
                comparisons=comparisons,
                repeatability=again.figure.as_json() if again else None,
                quantisations=quantisations(results[CANDIDATE][0]) if quantisations else (),
                parity=parity,
                weakened=weakened,
                notes=[
                    *notes,
                    *_differences(plan, subjects),
                    *notes_on_latency(meanwhile),
                    *_remarks(plan, results[CANDIDATE][0]),
                    *_open_intervals(plan, results[CANDIDATE]),
                ],
            )
        )
        artifact = _store(workspace, report, _answer_rows(plan, subjects, results, again))
    except Exception:
        _finish(workspace, row.id, status="failed")
        raise
    summary = _summary(results[CANDIDATE], comparisons)
    if again is not None:
        summary["repeatability"] = again.figure.as_json()
    if weakened:
        summary["weakened"] = [weakness.as_json() for weakness in weakened]
    verdict = outcome.verdict
    _finish(
        workspace, row.id, status="finished", verdict=verdict, artifact=artifact, figures=summary
    )
    shutil.rmtree(folder(CANDIDATE, subjects[CANDIDATE]), ignore_errors=True)
    progress.note(f"{verdict}: {outcome.reason}")
    if advised := near_misses.advice(report.as_json()["gates"]):
        progress.note(advised)
    for reference, comparison in summary["comparisons"].items():
        for warning in (*comparison["alarms"], *comparison["warnings"]):
            progress.note(f"warning: against {reference}, {warning}")
    return find(workspace, row.id)


def _check_sampling(plan: EvaluationPlan, candidate: ChatTarget) -> None:
    if candidate.sampling != plan.sampling:
        raise EvaluationError(
            f"The candidate would sample with {candidate.sampling.as_request()}, "
            f"but the evaluation is planned with {plan.sampling.as_request()}.",
            remedy="Evaluate with the sampling that it will be served with.",
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


def _answers_folder(workspace: Workspace, row: Evaluation, label: str, subject: Subject) -> Path:
    """A candidate's answers go with its evaluation; a reference is asked each prompt once."""
    if label == CANDIDATE:
        return workspace.folder(f"{ANSWERS_FOLDER}/{row.id}")
    return workspace.folder(f"{ANSWERS_FOLDER}/references/{subject.conditions}".rstrip("/"))


def _remarks(plan: EvaluationPlan, main: SuiteResult) -> list[str]:
    """What the metrics say about the candidate's figures on the main suite, and its answers about
    the measures of likeness that gates stand on."""
    judged = {gate.metric for gate in plan.gate_lock.gates}
    # One by another embedder takes a server, or a model that is loaded in its own time.
    ours = {m.name for m in plan.metrics if m.name in judged and not m.source_digest}
    answers = [
        (of.answer.text, case.expected)
        for case in main.suite.cases
        if case.expected is not None
        and not case.out_of_scope
        and (of := main.cases[case.id]).answer.error is None
    ]
    measures = {name: measure for name, measure in LIKENESS.items() if name in ours}
    return validity.doubts(answers, measures) + [
        note
        for metric in plan.metrics
        if metric.remarks is not None and metric.name in main.figures
        for note in metric.remarks(
            [of.scores[metric.name] for of in main.cases.values() if metric.name in of.scores]
        )
    ]


def _open_intervals(plan: EvaluationPlan, results: Sequence[SuiteResult]) -> Iterator[str]:
    """Percentiles that gates stand on, of fewer answers than their interval takes."""
    figures = {result.suite.name: result.figures for result in results}
    for gate in plan.gate_lock.gates:
        q, figure = QUANTILES.get(gate.metric), figures[gate.suite].get(gate.metric)
        if q is None or figure is None:
            continue
        holds = intervals.quantile_coverage(figure.n, q)
        if holds < intervals.CONFIDENCE:
            yield (
                f"{gate.name}: {figure.n} answers are too few for a 95 % interval of the "
                f"{q:.0%} quantile; the one shown holds the true one in {holds:.0%} of such samples"
            )


def _objections(plan: EvaluationPlan) -> dict[str, str]:
    """Metrics on which no verdict may stand, as the answers showed, and why."""
    of = {m.name: m.objection() for m in plan.metrics if m.objection is not None}
    return {name: objection for name, objection in of.items() if objection}


def _differences(plan: EvaluationPlan, subjects: Mapping[str, Subject]) -> list[str]:
    return [
        note for label, subject in subjects.items() for note in subject.differences(label, plan)
    ]


def _comparisons(
    plan: EvaluationPlan,
    rule: DecisionRule,
    subjects: Mapping[str, Subject],
    results: Mapping[str, Sequence[SuiteResult]],
    objections: Mapping[str, str],
) -> list[Comparison]:
    """Against each reference: on the main suite, then on every other that it answered too.

    `objections` are metrics that decide nothing, and why.
    """
    comparisons = []
    for label, of in results.items():
        if label == CANDIDATE:
            continue
        answered = {theirs.suite.name: theirs for theirs in of}
        for mine in results[CANDIDATE]:
            if (theirs := answered.get(mine.suite.name)) is None:
                continue
            known = subjects[label].trained_on.get(mine.suite.name, ())
            main = mine.suite.name == plan.main_suite.name
            if main or can_compare(mine, theirs, known=known, main_metrics=plan.main_metrics):
                comparisons.append(
                    compare(
                        mine,
                        theirs,
                        label=label,
                        metrics=plan.measured,
                        margin=plan.margin,
                        rule=rule,
                        known=known,
                        main_metrics=plan.main_metrics,
                        guards=plan.guards,
                        objections=objections,
                        forgetting=plan.forgetting,
                    )
                )
    return comparisons


def _summary(results: Sequence[SuiteResult], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    return {
        "suites": {
            result.suite.name: {name: f.as_list() for name, f in result.figures.items()}
            for result in results
        },
        "comparisons": {
            reference: asdict(standing(list(of)))
            for reference, of in groupby(comparisons, key=lambda comparison: comparison.reference)
        },
    }


def _store(workspace: Workspace, report: Report, answers: Iterable[Mapping[str, Any]]) -> str:
    folder = Path(tempfile.mkdtemp(dir=workspace.folder("work")))
    try:
        with (folder / ANSWERS_FILE).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in answers)
        report.write(folder)
        return workspace.artifacts.put(folder, kind="evaluation")
    except OSError as e:
        raise EvaluationError(
            f"The report cannot be written to {folder}: {e.strerror}.",
            remedy="Free some space and run the same command again: it continues.",
        ) from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answer_rows(
    plan: EvaluationPlan,
    subjects: Mapping[str, Subject],
    results: Mapping[str, Sequence[SuiteResult]],
    again: Repeats | None,
) -> Iterator[dict[str, Any]]:
    for label, subject in subjects.items():
        for asked, result in zip(subject.suites(plan), results[label], strict=True):
            main = label == CANDIDATE and asked.name == plan.main_suite.name
            repeats = again.texts if main and again else {}
            for case in asked.cases:
                case_result = result.cases[case.id]
                yield {
                    "target": label,
                    "suite": asked.name,
                    "case": case.id,
                    "messages": [dict(message) for message in case.messages],
                    **({"tools": list(map(dict, case.tools))} if case.tools else {}),
                    "expected": case.expected,
                    **({"group": case.group} if case.group else {}),
                    "answer": asdict(case_result.answer),
                    "scores": {name: score.value for name, score in case_result.scores.items()},
                    **({"repeats": list(repeats[case.id])} if case.id in repeats else {}),
                }
