"""Cycles that are asked for, that wait, and that are ended by somebody else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tuneloop.errors import BusyError, ConflictError, UsageError
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.registry import audit
from tuneloop.retraining import cycles
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.retraining.loop import Loop
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_records: str | None) -> str | None:
    return either_records


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path) -> Loop:
    settings = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))
    return Loop(
        workspace, ModelFile(path=tmp_path / "tuneloop.yaml", settings=settings, origins={})
    )


def actions(loop: Loop) -> list[tuple[str, str]]:
    return [(e.action, e.actor) for e in reversed(audit.listing(loop.workspace, "router"))]


def test_a_cycle_that_is_asked_for_is_begun_once_and_keeps_who_asked(loop: Loop) -> None:
    asked = cycles.ask(loop, reason="drift", actor="ann")
    assert (asked.status, asked.reason, dict(asked.steps)) == ("asked", "drift", {})
    assert cycles.asked_by(loop.workspace, asked) == "ann"
    with pytest.raises(BusyError, match="is asked already"):
        cycles.ask(loop, reason="again", actor="bob")
    record = CycleRecord.start(loop, cycles.UNSAID)
    assert record.id == asked.id
    record.step("prepare", lambda: {"dataset": "d"})
    with pytest.raises(BusyError, match="is running already"):
        cycles.ask(loop, reason="again", actor="bob")
    record.close("finished", "fine")
    after = cycles.find(loop.workspace, "router")
    assert (after.status, after.reason, after.steps["prepare"]["dataset"]) == (
        "finished",
        "drift",
        "d",
    )
    assert [action for action, _ in actions(loop)] == ["cycle.ask", "cycle.start", "cycle.finish"]


def test_of_many_who_ask_at_once_one_gets_a_cycle(loop: Loop) -> None:
    refused: list[str] = []

    def ask(who: str) -> None:
        try:
            cycles.ask(loop, reason="now", actor=who)
        except BusyError:
            refused.append(who)

    threads = [threading.Thread(target=ask, args=(f"p{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cycles.listing(loop.workspace, "router")) == 1 and len(refused) == 3


def test_a_cancelled_cycle_keeps_its_steps_and_takes_no_more(loop: Loop) -> None:
    cycles.ask(loop, reason="drift", actor="ann")
    record = CycleRecord.start(loop, cycles.UNSAID)
    record.step("prepare", lambda: {"dataset": "d"})
    ended = cycles.cancel(loop.workspace, "router", "latest", actor="bob")
    assert (ended.status, ended.outcome) == ("cancelled", "cancelled by bob")
    with pytest.raises(ConflictError, match="ended by somebody else"):
        record.step("train", lambda: {"run": "r"})
    record.close("failed", "too late")
    after = cycles.find(loop.workspace, "router", ended.id[:10])
    assert after.status == "cancelled" and after.steps.keys() == {"prepare"}
    with pytest.raises(UsageError, match="is over: cancelled"):
        cycles.cancel(loop.workspace, "router", ended.id, actor="bob")
    with pytest.raises(UsageError, match="names 0 cycles"):
        cycles.find(loop.workspace, "router", "nonsense")
    assert cycles.ask(loop, reason="better", actor="ann").id != ended.id


def test_a_cycle_waits_once_and_goes_on_where_it_was(loop: Loop, clock: Any) -> None:
    record = CycleRecord.start(loop, "by hand")
    record.step("evaluate", lambda: {"bundle": "b"})
    record.wait("for an approval")
    record.wait("for an approval")
    waiting = cycles.find(loop.workspace, "router")
    assert (waiting.status, waiting.outcome) == ("waiting", "for an approval")
    assert cycles.asked_by(loop.workspace, waiting) is None
    clock.advance(days=3)
    again = CycleRecord.start(loop, cycles.UNSAID)
    assert (again.id, again.made("evaluate")["bundle"]) == (record.id, "b")
    assert [action for action, _ in actions(loop)] == ["cycle.start", "cycle.wait", "cycle.resume"]


def test_a_cycle_that_is_put_back_is_taken_up_by_somebody_else(loop: Loop) -> None:
    cycles.ask(loop, reason="drift", actor="ann")
    cycles.put_back(loop.workspace, CycleRecord.start(loop, cycles.UNSAID).id)
    assert cycles.find(loop.workspace, "router").status == "asked"
    cycles.fail(loop.workspace, cycles.find(loop.workspace, "router"), "it died", actor="worker")
    assert cycles.find(loop.workspace, "router").status == "failed"
