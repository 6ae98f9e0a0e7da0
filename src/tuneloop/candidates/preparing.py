"""Stage 1 as the cycle needs it: the sources of the model file plus everything approved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneloop import review
from tuneloop.candidates import held_out
from tuneloop.candidates.held_out import HeldOut
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion, Extras
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.sizes import alike, what_is_doubted, what_is_missing
from tuneloop.project import Project
from tuneloop.registry import people
from tuneloop.registry.weakness import sentences
from tuneloop.setup import check, weakened
from tuneloop.task.kind import is_prose

CORRECTIONS_FILE = "approved.jsonl"
SAMPLES_FILE = "samples.jsonl"


def prepare(project: Project, *, looked: bool = False) -> DatasetVersion:
    """Make a dataset version, or find the one that is equal; its contradictions go to review.

    `looked`: what could fail later was looked at just now.

    Raises:
        NotAllowedError: people are declared, and whoever acts may not edit data.
        ModelFileError: the model file names what is not there.
        DataError: the sources cannot be used.
        EvaluationError: a gate, a metric or a suite file cannot be understood.
    """
    people.allow(project.workspace, project.actor, "edit data", model=project.model.name)
    if not looked:
        check.tell(project)
    made = versions.prepare(
        project.workspace,
        project.model_file,
        extras=_approved(project),
        needs=held_out.needs(project),
        template=project.template(),
        progress=project.progress,
    )
    plan = held_out.plan_to_count(project, made)
    on_gates = _on_gates(held_out.held_out(project, made, plan=plan))
    for note in [*_notes(made), *on_gates, *_weaker(project, plan)]:
        project.progress.note(note)
    new = review.collect_contradictions(
        project.workspace,
        made,
        system=project.model.task.system,
        double_share=project.model.review.double_share,
    )
    if new:
        project.progress.note(
            f"Contradictions that wait for a person's choice: {new}. Choose: tuneloop review"
        )
    return made


def _approved(project: Project) -> Extras:
    """What people have approved, as files beside the sources."""
    workspace, name, prose = project.workspace, project.model.name, is_prose(project.model.task)
    learnt = review.approved_rows(workspace, name, prose=prose)
    sampled = review.sampled_rows(workspace, name, prose=prose)
    if not (learnt or sampled):
        return Extras()
    if learnt:
        project.progress.note(f"{len(learnt)} approved answers go into the dataset")
    if sampled:
        project.progress.note(_on_samples(project, len(sampled)))
    items = tuple(row["tags"]["review"] for row in (*learnt, *sampled))
    return Extras(
        corrections=tuple(
            _file(project, name, rows)
            for name, rows in ((CORRECTIONS_FILE, learnt), (SAMPLES_FILE, sampled))
            if rows
        ),
        reviewers=review.reviewers_of(project.workspace, project.model.name, items),
        review_items=items,
    )


def _file(project: Project, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    file = project.workspace.folder("work/corrections") / name
    file.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return file


def _on_samples(project: Project, count: int) -> str:
    """How many live samples there are, and how many say of no answer that it is the right one."""
    said = f"{count} samples of live traffic are cases, and are not trained on"
    decided = review.decided(project.workspace, project.model.name, kind="sample")
    rejected = sum(item.status == "rejected" for item in decided)
    if not rejected:
        return said
    were = "was" if rejected == 1 else "were"
    return (
        f"{said}; {rejected} more {were} rejected without a right answer and cannot be cases: "
        "write it instead (tuneloop review), or what is hard is missing among them"
    )


def _notes(made: DatasetVersion) -> list[str]:
    """What a person should know about a version."""
    report = made.report
    left_out = sum(report["left_out"].values())
    rows, answers = report["rows_in"], report["answers_in"]
    of = f"{rows}" if rows == answers else f"{answers} answers in {rows} rows"
    notes = [
        f"dataset {made.label}: {made.rows_train} to train on, {made.rows_eval} held out, "
        f"{left_out} left out of {of}"
    ]
    if report["outdated"]["rows"]:
        notes.append(f"{report['outdated']['rows']} outdated: a person approved another answer")
    if pairs := report["preferences"]["train"]:
        notes.append(f"{pairs} preference pairs")
    check = report["leak_check"]
    cases = check["held_out"] + check["suite_cases"]
    notes.append(
        f"leak check: {check['leaks']} rows were left out of training because they give one of "
        f"{cases} held-out and test cases away"
        if check["leaks"]
        else f"leak check: no training row gives one of {cases} held-out and test cases away"
    )
    return [*notes, *_changes(made.validation)]


def _on_gates(held: HeldOut) -> list[str]:
    """The share that is held out, which cases decide, and the gates that have too few of them."""
    missing = [what_is_missing(*sizes) for sizes in alike(held.short)]
    doubted = [what_is_doubted(*sizes) for sizes in alike(held.doubted)]
    return [held.why, held.cases, *(f"warning: {told}" for told in missing + doubted)]


def _weaker(project: Project, plan: EvaluationPlan) -> list[str]:
    """What a candidate will be held to less than others, and default gates that nobody mentions."""
    found = weakened.of_plan(project, plan)
    return [f"warning: {one}" for one in sentences(found)] + weakened.added_gates(project)


def _changes(validation: Mapping[str, Any] | None) -> list[str]:
    """What a validation found changed."""
    if validation is None:
        return []
    return [
        f"against {validation['against']}, {check['name']}: {check['detail']}"
        for check in validation["checks"]
        if check["verdict"] == "changed"
    ]


def corrections_in(version: DatasetVersion) -> int:
    """How many approved corrections a version was made with."""
    return sum(
        source["rows"]
        for source in version.report["sources"]
        if source["source"] == f"corrections/{CORRECTIONS_FILE}"
    )
