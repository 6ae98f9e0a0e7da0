"""Decisions are kept without a flood, stand on what is in the stores, and are explained."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tuneloop import review
from tuneloop.cli import main as cli
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.retraining import cycles, decisions, trigger_inputs
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.review import Proposal
from tuneloop.storage import tables
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> Project:
    settings = ModelSettings(name="desk", base="b", data=DataSettings(sources=("a.jsonl",)))
    path = tmp_path / "tuneloop.yaml"
    made = Project(
        workspace=workspace,
        model_file=ModelFile(path=path, settings=settings, origins={}),
        actor="bob",
    )
    release(made, corrections=0)
    return made


def release(project: Project, *, corrections: int, **evaluation: Any) -> None:
    made = bundles.register(
        project.workspace,
        manifest_of(
            model="desk",
            base={},
            artifacts={},
            dataset={"corrections": corrections},
            training={},
            task={},
            serving={},
            evaluation=evaluation,
            routing={},
        ),
    )
    with project.workspace.records.begin() as tx:
        aliases.move(
            tx,
            model="desk",
            name="production",
            bundle=made.id,
            expected=aliases.read(tx, "desk").get("production"),
            actor="test",
            reason="release",
            now=project.workspace.now(),
        )


def approve(project: Project, count: int, *, first: int = 0) -> None:
    proposals = [
        Proposal(
            kind="correction",
            key=str(number),
            messages=[{"role": "user", "content": f"question {number}"}],
            answer="wrong",
            proposal="right",
        )
        for number in range(first, first + count)
    ]
    review.enqueue(project.workspace, proposals, model="desk", double_share=0.0)
    for item in review.listing(project.workspace, "desk"):
        review.decide(
            project.workspace, model="desk", item=item.id, decision="approved", reviewer="ann"
        )


def test_the_same_decision_is_kept_once_a_day(project: Project, clock: Any) -> None:
    first = decisions.decide(project)
    clock.advance(hours=1)
    assert decisions.decide(project).id == first.id
    approve(project, 25)
    news = decisions.decide(project)
    assert (news.action, news.fired) == ("retrain", ("corrections",))
    clock.advance(days=1)
    tomorrow = decisions.decide(project)
    kept = decisions.listing(project.workspace, "desk")
    assert [one.id for one in kept] == [tomorrow.id, news.id, first.id]
    assert len({one.id for one in kept}) == 3
    assert kept[0] == tomorrow
    assert decisions.listing(project.workspace, "desk", limit=1) == [tomorrow]
    assert decisions.listing(project.workspace, "other") == []


def test_another_process_that_decides_the_same_meanwhile_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = decisions._append

    def beaten(workspace: Workspace, *rest: Any) -> None:
        """The other one stores it first; then our own row is refused."""
        monkeypatch.setattr(decisions, "_append", append)
        append(workspace, *rest)
        with workspace.records.begin() as tx:
            row = dict(tx.execute(sa.select(tables.retraining_decisions)).mappings().one())
            tx.execute(sa.insert(tables.retraining_decisions).values(**row))

    monkeypatch.setattr(decisions, "_append", beaten)
    decided = decisions.decide(project)
    assert [one.id for one in decisions.listing(project.workspace, "desk")] == [decided.id]


def test_a_cycle_that_a_person_asked_for_is_under_way_until_its_end(
    project: Project, clock: Any
) -> None:
    cycles.ask(project, reason="the new catalogue", actor="ann")
    asked = decisions.decide(project)
    assert asked.because == "under_way" and "the new catalogue" in asked.reason
    CycleRecord.start(project, "the new catalogue").close("finished", "better")
    clock.advance(hours=1)
    assert decisions.decide(project).because == "quiet"


def test_what_a_refused_candidate_was_made_of_is_nothing_new(project: Project, clock: Any) -> None:
    approve(project, 25)
    assert material(project) == (25, 0)
    release(project, corrections=25)
    assert material(project) == (0, 0)
    approve(project, 3, first=100)
    assert material(project) == (3, 0)


def material(project: Project) -> tuple[int, int]:
    found = trigger_inputs.gather(project, now=project.workspace.now()).material
    return found.approved, found.waiting


def test_a_golden_suite_that_production_answered_is_a_stable_benchmark(
    project: Project, clock: Any
) -> None:
    golden = ModelSettings.model_validate(
        project.model.model_dump()
        | {"evaluation": {"suites": [{"name": "gold", "file": "g.jsonl"}]}}
    )
    project = replace(project, model_file=replace(project.model_file, settings=golden))
    assert not trigger_inputs.gather(project, now=clock.time).benchmark.stable
    for cases, stable in ((30, False), (60, True)):
        figures = {"suites": {"gold": {"accuracy": [0.9, 0.8, 1.0, cases]}}}
        with project.workspace.records.begin() as tx:
            tx.execute(
                sa.insert(tables.evaluations).values(
                    id=f"e{cases}",
                    model="desk",
                    subject="s",
                    gates="g",
                    suites="s",
                    status="finished",
                    figures=figures,
                    created_at=clock.time,
                    finished_at=clock.time,
                )
            )
        release(project, corrections=0, id=f"e{cases}")
        found = trigger_inputs.gather(project, now=clock.time).benchmark
        assert found.stable == stable
        assert f"{cases} golden cases of at least 50" in found.reason


def test_a_cycle_that_failed_is_told_with_its_outcome(project: Project, clock: Any) -> None:
    approve(project, 25)
    CycleRecord.start(project, "first").close("failed", "the disk is full")
    clock.advance(days=1)
    decision = decisions.decide(project)
    assert decision.because == "failed_cycle" and "the disk is full" in decision.reason
    assert decision.earliest == clock.time + timedelta(days=29)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text('{"prompt": "hello", "completion": "fine"}\n')
    path = tmp_path / "tuneloop.yaml"
    path.write_text("name: desk\nbase: b\ndata:\n  sources: [a.jsonl]\n")
    return path


def test_the_commands_check_and_explain(model_file: Path) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(cli.app, ["triggers", *words, "-f", str(model_file)])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "No decisions yet" in run("explain")
    checked = json.loads(run("check", "--json", "--set", "automation.level=3"))
    assert (checked["action"], checked["because"]) == ("do_not", "not_deployed")
    assert checked["worker"].startswith("automation level 3")
    assert "do not retrain" in run("explain")
    explained = json.loads(run("explain", "--json", "--limit", "5"))
    assert [one["id"] for one in explained] == [checked["id"]]
    assert {finding["rule"] for finding in explained[0]["findings"]} >= {"edit_rate", "novelty"}
