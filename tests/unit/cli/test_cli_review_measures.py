"""`tuneloop review stats` says which measures of prose go with what people decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuneloop import review
from tuneloop.cli.main import app
from tuneloop.workspace import Workspace

FILE = "name: desk\nbase: b\ntask: {kind: prose}\ndata: {sources: [a.jsonl]}\n"
GOOD = "The parcel will be with you on Monday, and we are sorry that it is late."
LOOP = "We are sorry for the delay of your parcel. " * 6


@pytest.fixture
def desk(
    tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    (tmp_path / "tuneloop.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    opened = Workspace.open(desk_workspace)
    yield opened
    opened.records.close()


def put(workspace: Workspace, name: str, answer: str) -> str:
    item = review.Proposal(
        kind="sample",
        key=name,
        messages=[{"role": "user", "content": [{"type": "text", "text": "Where is my parcel?"}]}],
        answer=answer,
        proposal=answer,
        interaction=name,
    )
    review.enqueue(workspace, [item], model="desk", double_share=0)
    return item.item("desk")


def run(*words: str) -> Any:
    done = CliRunner().invoke(app, ["review", *words], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


def test_a_measure_is_shown_with_how_far_it_goes_with_people(desk: Workspace) -> None:
    for name in ("one", "two"):
        run("approve", put(desk, name, f"{GOOD} Your number is {name}."))
    mended = put(desk, "three", GOOD)
    run("approve", mended, "--answer", GOOD.replace("Monday, and", "Monday. And"))
    assert run("stats", "--json")["measures"] == {}, "nobody has decided against an answer"
    run("reject", put(desk, "four", LOOP))
    run("approve", put(desk, "five", LOOP + "Bye."), "--answer", GOOD)
    measures = run("stats", "--json")["measures"]
    assert measures["no_loops"]["value"] == 1, "whose comma alone was mended stood"
    assert (measures["distinct_2"]["value"], measures["distinct_2"]["n"]) == (1, 5)
    assert measures["answered"]["value"] == 0.5
    assert "chrf" not in measures and "length_fit" not in measures
    shown = run("stats")
    assert "no_loops" in shown and "1.00" in shown
    assert max(map(len, shown.splitlines())) <= 80
