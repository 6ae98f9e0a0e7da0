"""What the smoke test asks, and what it holds the answers against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from live_desk import make_loop, put_live
from tuneloop.candidates.candidate import probes_of
from tuneloop.storage import tables
from tuneloop.workspace import Workspace


def said(case: str, target: str, text: str, *, finish_reason: str = "stop") -> dict[str, Any]:
    return {
        "case": case,
        "target": target,
        "suite": "held-out",
        "messages": [{"role": "user", "content": case}],
        "answer": {"text": text, "finish_reason": finish_reason},
    }


def stored(workspace: Workspace, folder: Path, *rows: dict[str, Any]) -> str:
    folder.mkdir()
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    artifact, now = workspace.artifacts.put(folder, kind="evaluation"), workspace.now()
    with workspace.records.begin() as tx:
        tx.execute(
            tables.evaluations.insert().values(
                id=folder.name,
                model="desk",
                subject="",
                gates="",
                suites="",
                status="finished",
                artifact=artifact,
                figures={},
                created_at=now,
                finished_at=now,
            )
        )
    return folder.name


def test_an_answer_that_was_ended_in_a_loop_is_held_against_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Served it goes on, so that its beginning would never be said again, nor by the base."""
    loop = make_loop(workspace, tmp_path / "desk")
    evaluation = stored(
        workspace,
        tmp_path / "one",
        said("a", "candidate", "fine"),
        said("b", "candidate", "so so so", finish_reason="loop"),
        said("a", "base", "go go go", finish_reason="loop"),
    )
    (probe,) = probes_of(workspace, put_live(loop, evaluation=evaluation))
    assert (probe.evaluated, probe.base) == ("fine", None)


def test_where_every_answer_loops_it_is_asked_all_the_same(
    workspace: Workspace, tmp_path: Path
) -> None:
    loop = make_loop(workspace, tmp_path / "desk")
    looping = said("b", "candidate", "so so so", finish_reason="loop")
    evaluation = stored(workspace, tmp_path / "one", looping, said("b", "base", "go"))
    (probe,) = probes_of(workspace, put_live(loop, evaluation=evaluation))
    assert (probe.evaluated, probe.base) == (None, "go")
