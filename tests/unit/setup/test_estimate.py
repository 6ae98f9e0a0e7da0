"""What a cycle will take: from what earlier runs took, else from a table, never from nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tiny_base import write_base
from tuneloop.cli.main import app
from tuneloop.project import Project
from tuneloop.registry.base_model import base_spec
from tuneloop.setup import speeds
from tuneloop.setup.estimate import (
    SIZE_ELSEWHERE,
    Asked,
    Measured,
    Speeds,
    Work,
    elsewhere,
    expected,
    sentence,
    total,
)
from tuneloop.storage import tables
from tuneloop.training.record import hardware

NOTHING = Speeds(train=None, export=None, evaluate=None)
KNOWN = Speeds(
    train=Measured(value=400, origin="400 tokens/s, as the last time on this machine"),
    export=Measured(value=60, origin="as the last time on this machine"),
    evaluate=Measured(value=50, origin="50 tokens/s, as the last time on this machine"),
)


def work(*, at_once: bool = False) -> Work:
    return Work(
        trained_tokens=120_000,
        candidate=Asked(cases=100, prompt_tokens=300, answer_tokens=100),
        base=Asked(cases=50, prompt_tokens=300, answer_tokens=200),
        at_once=at_once,
    )


def test_a_step_takes_its_work_by_what_was_measured() -> None:
    train, export, evaluate = expected(work(), KNOWN)
    assert (train.step, train.seconds) == ("train", 300)
    assert (export.step, export.seconds) == ("export", 60)
    # (100 × (100 + 300 / 3) + 50 × (200 + 300 / 3)) / 50
    assert (evaluate.step, evaluate.seconds) == ("evaluate", pytest.approx(700))
    assert total([train, export, evaluate]) == pytest.approx(1_060)


def test_where_two_servers_fit_the_longer_one_counts() -> None:
    *_, evaluate = expected(work(at_once=True), KNOWN)
    assert evaluate.seconds == pytest.approx(400)


def test_what_nobody_knows_is_not_made_up() -> None:
    steps = expected(work(), NOTHING)
    assert total(steps) is None and all(step.seconds is None for step in steps)
    assert sentence(steps) == (
        "Train: not known (no run of this kind yet); export: not known (no run of this kind yet); "
        "evaluate: not known (no run of this kind yet)."
    )


def test_a_sum_is_said_only_where_every_step_is_known() -> None:
    known = expected(work(), KNOWN)
    assert sentence(known).startswith(
        "About 17:40 min: train about 5:00 min (400 tokens/s, as the last time on this machine); "
    )
    assert sentence(known, at_least=True).startswith("More than 17:40 min: ")
    half = expected(work(), Speeds(train=KNOWN.train, export=None, evaluate=KNOWN.evaluate))
    assert sentence(half).startswith("Train about 5:00 min") and "export: not known" in sentence(
        half
    )


def test_a_larger_model_takes_longer_where_nothing_was_measured_here() -> None:
    small, large = elsewhere(int(SIZE_ELSEWHERE)), elsewhere(int(10 * SIZE_ELSEWHERE))
    slow, quick = (expected(work(), speeds) for speeds in (large, small))
    for of_large, of_small in zip(slow, quick, strict=True):
        assert of_large.seconds == pytest.approx(10 * (of_small.seconds or 0))
        assert "measured on another machine" in of_large.origin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_base(tmp_path / "base")
    rows = [{"prompt": f"{n * 7919}?", "completion": "yes it is"} for n in range(200)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tuneloop.yaml").write_text(
        "name: desk\nbase: base\ndata: {sources: [rows.jsonl]}\n"
        "evaluation: {gates: {error_share: '<= 0.1'}}\nendpoint: {context_tokens: 512}\n"
    )
    return tmp_path


def add(project: Project, table: str, **values: Any) -> None:
    now, known = project.workspace.now(), tables.metadata.tables[table]
    texts = {column.name: "" for column in known.columns if isinstance(column.type, sa.String)}
    times = {"created_at": now, "finished_at": now}
    with project.workspace.records.begin() as tx:
        tx.execute(known.insert().values({**texts, **times, "model": "desk", **values}))


def trained(base: str, *, processor: str, tokens_per_second: float) -> dict[str, Any]:
    return {
        "base": {"spec": base},
        "hardware": {"processor": processor},
        "hyperparameters": {"method": {"value": "lora"}},
        "tokens_per_second": tokens_per_second,
    }


def test_the_last_run_of_this_base_on_this_machine_counts(folder: Path) -> None:
    project = Project.open(folder, actor="ada")
    base = base_spec("base", folder=folder)
    here = hardware("cpu", threads=1)["processor"]
    records = [
        trained(base, processor=here, tokens_per_second=321.0),
        trained("another base", processor=here, tokens_per_second=9.0),
        trained(base, processor="another one", tokens_per_second=9.0),
    ]
    for number, record in enumerate(records):
        add(project, "training_runs", id=str(number), status="finished", record=record)
    add(project, "cycles", id="1", steps={"export": {"seconds": 77.0}})
    add(project, "cycles", id="2", steps={"export": {"seconds": 0.2}})  # used again
    made = project.workspace.folder("work") / "made"
    made.mkdir()
    answer = {"latency_ms": 2_000.0, "prompt_tokens": 300, "completion_tokens": 100, "error": None}
    said = [{"target": "candidate", "answer": answer}, {"target": "base", "answer": answer}]
    (made / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    artifact = project.workspace.artifacts.put(made, kind="evaluation")
    add(project, "evaluations", id="1", status="finished", artifact=artifact, figures={})
    known = speeds.recorded(project)
    project.close()
    assert known.train == Measured(
        value=321.0, origin="321 tokens/s, as the last time on this machine"
    )
    assert known.export is not None and known.export.value == 77.0
    # 100 written and a third of 300 read in two seconds, by each of four slots.
    assert known.evaluate is not None and known.evaluate.value == pytest.approx(400)


def test_who_has_trained_before_is_told_that_what_is_there_takes_no_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.open(folder, actor="ada")
    add(project, "training_runs", id="1", status="finished", record={})
    project.close()
    monkeypatch.chdir(folder)
    found = json.loads(CliRunner().invoke(app, ["check", "--json"]).stdout)
    (time,) = [finding for finding in found["findings"] if finding["what"] == "time"]
    assert time["found"].endswith("What was made before is used again and takes no time.")


def test_check_says_what_each_step_will_take(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = json.loads(CliRunner().invoke(app, ["check", "--json"]).stdout)
    assert [step["step"] for step in found["expected"]] == ["train", "export", "evaluate"]
    assert all("measured on another machine" in step["origin"] for step in found["expected"])
    (time,) = [finding for finding in found["findings"] if finding["what"] == "time"]
    assert time["verdict"] == "ok" and "evaluate about" in time["found"]
    assert "used again" not in time["found"], "nothing was made yet"
    gone = json.loads(
        CliRunner().invoke(app, ["check", "--json", "--set", "base=nobody/none"]).stdout
    )
    assert gone["expected"] == []
