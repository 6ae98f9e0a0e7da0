"""Cycles that are asked for, that wait, and that are ended by somebody else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tuneloop.errors import BusyError, ConflictError, UsageError
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.project import Project
from tuneloop.registry import audit
from tuneloop.retraining import cycles
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    return either_new_records


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> Project:
    settings = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))
    file = ModelFile(path=tmp_path / "tuneloop.yaml", settings=settings, origins={})
    return Project(workspace=workspace, model_file=file, actor="bob")


def actions(project: Project) -> list[tuple[str, str]]:
    return [(e.action, e.actor) for e in reversed(audit.listing(project.workspace, "router"))]


def test_a_cycle_that_is_asked_for_is_begun_once_and_keeps_who_asked(project: Project) -> None:
    asked = cycles.ask(project, reason="drift", actor="ann")
    assert (asked.status, asked.reason, dict(asked.steps)) == ("asked", "drift", {})
    assert cycles.asked_by(project.workspace, asked) == "ann"
    with pytest.raises(BusyError, match="is asked already"):
        cycles.ask(project, reason="again", actor="bob")
    record = CycleRecord.start(project, cycles.UNSAID)
    assert record.id == asked.id
    record.step("prepare", lambda: {"dataset": "d"})
    with pytest.raises(BusyError, match="is running already"):
        cycles.ask(project, reason="again", actor="bob")
    record.close("finished", "fine")
    after = cycles.find(project.workspace, "router")
    assert (after.status, after.reason, after.steps["prepare"]["dataset"]) == (
        "finished",
        "drift",
        "d",
    )
    assert [action for action, _ in actions(project)] == [
        "cycle.ask",
        "cycle.start",
        "cycle.finish",
    ]


def test_of_many_who_ask_at_once_one_gets_a_cycle(project: Project) -> None:
    refused: list[str] = []

    def ask(who: str) -> None:
        try:
            cycles.ask(project, reason="now", actor=who)
        except BusyError:
            refused.append(who)

    threads = [threading.Thread(target=ask, args=(f"p{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cycles.listing(project.workspace, "router")) == 1 and len(refused) == 3


def test_a_cancelled_cycle_keeps_its_steps_and_takes_no_more(project: Project) -> None:
    cycles.ask(project, reason="drift", actor="ann")
    record = CycleRecord.start(project, cycles.UNSAID)
    record.step("prepare", lambda: {"dataset": "d"})
    ended = cycles.cancel(project.workspace, "router", "latest", actor="bob")
    assert (ended.status, ended.outcome) == ("cancelled", "cancelled by bob")
    with pytest.raises(ConflictError, match="ended by somebody else"):
        record.step("train", lambda: {"run": "r"})
    record.close("failed", "too late")
    after = cycles.find(project.workspace, "router", ended.id[:10])
    assert after.status == "cancelled" and after.steps.keys() == {"prepare"}
    with pytest.raises(UsageError, match="is over: cancelled"):
        cycles.cancel(project.workspace, "router", ended.id, actor="bob")
    with pytest.raises(UsageError, match="names 0 cycles"):
        cycles.find(project.workspace, "router", "nonsense")
    assert cycles.ask(project, reason="better", actor="ann").id != ended.id


def test_a_cycle_waits_once_and_goes_on_where_it_was(project: Project, clock: Any) -> None:
    record = CycleRecord.start(project, "by hand")
    record.step("evaluate", lambda: {"bundle": "b"})
    record.wait("for an approval")
    record.wait("for an approval")
    waiting = cycles.find(project.workspace, "router")
    assert (waiting.status, waiting.outcome) == ("waiting", "for an approval")
    assert cycles.asked_by(project.workspace, waiting) is None
    clock.advance(days=3)
    again = CycleRecord.start(project, cycles.UNSAID)
    assert (again.id, again.made("evaluate")["bundle"]) == (record.id, "b")
    assert [action for action, _ in actions(project)] == [
        "cycle.start",
        "cycle.wait",
        "cycle.resume",
    ]


def test_a_cycle_that_is_put_back_is_taken_up_by_somebody_else(project: Project) -> None:
    cycles.ask(project, reason="drift", actor="ann")
    cycles.put_back(project.workspace, CycleRecord.start(project, cycles.UNSAID).id)
    assert cycles.find(project.workspace, "router").status == "asked"
    cycles.fail(
        project.workspace, cycles.find(project.workspace, "router"), "it died", actor="worker"
    )
    assert cycles.find(project.workspace, "router").status == "failed"
