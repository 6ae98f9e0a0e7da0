"""An evaluation is named as a bundle, a run or a cycle is."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from live_desk import make_loop
from tuneloop.errors import EvaluationError, UsageError
from tuneloop.loop import Loop
from tuneloop.storage import tables
from tuneloop.workspace import FOLDER, Workspace


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """Four evaluations: one is under way, one is another model's, which shares the workspace."""
    loop = make_loop(Workspace.open(tmp_path / FOLDER), tmp_path)
    kept = {"model": "desk", "subject": "s", "gates": "g" * 64, "suites": "c" * 64, "figures": {}}
    with loop.workspace.records.begin() as tx:
        for identity, changed in {
            "e1a-0001": {},
            "e1b-0002": {},
            "e2-0003": {"status": "running"},
            "f9-0004": {"model": "other"},
        }.items():
            row = {"id": identity, "status": "finished", **kept, **changed}
            tx.execute(sa.insert(tables.evaluations).values(**row, created_at=loop.workspace.now()))
    return loop


@pytest.mark.parametrize(
    ("reference", "identity"),
    [("e1a", "e1a-0001"), ("e2", "e2-0003"), ("e1b-0002", "e1b-0002"), ("f9-0004", "f9-0004")],
)
def test_the_beginning_of_its_id_is_enough(loop: Loop, reference: str, identity: str) -> None:
    assert loop.evaluation(reference).id == identity


def test_latest_is_the_newest_finished_one_of_this_model(loop: Loop) -> None:
    assert loop.evaluation().id == "e1b-0002"


def test_a_beginning_of_two_or_of_none_is_told(loop: Loop) -> None:
    with pytest.raises(UsageError, match="'e1' names 2 evaluations; expected one"):
        loop.evaluation("e1")
    with pytest.raises(EvaluationError, match="There is no evaluation 'nowhere'") as e:
        loop.evaluation("nowhere")
    assert "tuneloop evaluation list" in e.value.remedy
