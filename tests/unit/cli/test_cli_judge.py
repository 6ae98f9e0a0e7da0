"""`tuneloop judge`, `golden`, `review sample` as a person and a script use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from live_desk import capture, make_loop, put_live
from tuneloop.cli.main import app
from tuneloop.errors import UsageError
from tuneloop.evaluation.plan import plan_evaluation
from tuneloop.evaluation.stage import evaluate
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.loop import Loop
from tuneloop.testing.judge import judge_script, verdict
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace


def opinion(quoted: str) -> str:
    if "<answer to check" in quoted:
        return json.dumps({"claims": [{"claim": "It is good.", "supported": "good" in quoted}]})
    if "<first answer" in quoted:
        first, second = quoted.index("<first answer"), quoted.index("<second answer")
        return verdict("first" if "good" in quoted[first:second] else "second", key="better")
    return verdict(5 if "good" in quoted else 1)


@pytest.fixture
def loop(tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """A desk that gave 30 good answers and 10 bad ones last week, and has a judge."""
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open(desk_workspace)
    (tmp_path / "golden.jsonl").write_text(
        "".join(json.dumps({"prompt": f"ask {n}", "completion": "good"}) + "\n" for n in range(6))
    )
    with ScriptedUpstream(judge_script(opinion)) as upstream:
        made = make_loop(
            workspace,
            tmp_path,
            judge={"base_url": upstream.base_url, "model": "judge", "share": 1.0},
            evaluation={"suites": [{"name": "golden", "file": "golden.jsonl"}]},
        )
        live = put_live(made)
        now = datetime.now(UTC)
        for count, response in ((30, "good"), (10, "bad")):
            capture(made, count, bundle=live.id, at=now - timedelta(hours=3), response=response)
            capture(made, count, bundle=live.id, at=now - timedelta(days=7), response=response)
        yield made
    workspace.records.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200"})


def told(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_judge_run_show_and_calibrate(loop: Loop, tmp_path: Path) -> None:
    found = told("judge", "run")
    assert sum(found["judged"].values()) == 40
    assert "not calibrated" in found["standing"]
    assert "0 answers judged by" in run("judge", "run").stdout

    rows = [
        {"prompt": "q", "answer": f"{what} {n}", "correct": (what == "good") != (n == 0)}
        for what in ("good", "bad")
        for n in range(25)
    ]
    (tmp_path / "labelled.jsonl").write_text("\n".join(map(json.dumps, rows)))
    calibrated = told("judge", "calibrate", "labelled.jsonl")
    assert (calibrated["n"], calibrated["corrects"]) == (50, True)
    assert calibrated["agreement"]["value"] == 0.96
    assert "kappa" in run("judge", "calibrate", "labelled.jsonl").stdout

    shown = told("judge", "show")
    (week,) = shown["judged"]
    assert week["passed"]["value"] == 0.75
    assert week["corrected"]["low"] < 0.75 < week["corrected"]["high"]
    assert len(shown["calibrations"]) == 2
    text = run("judge", "show").stdout
    assert "calibrated: agrees with people on 96 %" in " ".join(text.split())


def test_claims_are_calibrated_by_labels_of_their_own(loop: Loop, tmp_path: Path) -> None:
    rows = [{"prompt": "q", "answer": f"good {n}", "correct": n > 4} for n in range(25)]
    (tmp_path / "claims.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = told("judge", "calibrate", "claims.jsonl", "--metric", "unsupported_claims")
    assert (found["of"], found["n"], found["corrects"]) == ("unsupported_claims", 25, False)
    assert found["sensitivity"]["value"] == 1.0
    shown = run("judge", "calibrate", "claims.jsonl", "--metric", "unsupported_claims").stdout
    assert "unsupported_claims by judge-2026-01@" in shown
    wrong = run("judge", "calibrate", "claims.jsonl", "--metric", "judge.tone").exception
    assert isinstance(wrong, UsageError) and "no metric 'judge.tone'" in wrong.message


def test_calibrate_wants_to_know_which_labels(loop: Loop) -> None:
    assert isinstance(run("judge", "calibrate").exception, UsageError)
    assert isinstance(run("judge", "calibrate", "--from-labels").exception, UsageError)
    assert isinstance(run("judge", "calibrate", "file", "--from-labels").exception, UsageError)


def test_a_weekly_sample_is_queued_decided_and_calibrates_the_judge(loop: Loop) -> None:
    found = told("review", "sample")
    assert (found["new"], sum(found["slices"].values())) == (20, 20)
    assert "0 new samples" in run("review", "sample").stdout
    items = {item["id"]: item["answer"] for item in told("review", "list")}
    for how, answer in (("approve", "good"), ("reject", "bad")):
        told("review", how, *(one for one, said in items.items() if said == answer))
    calibrated = told("judge", "calibrate", "--from-labels")
    assert (calibrated["n"], calibrated["agreement"]["value"]) == (20, 1.0)
    assert told("judge", "show")["samples"]["n"] == 20


def test_two_bundles_answers_are_compared_in_both_orders(loop: Loop) -> None:
    def says(text: str) -> Any:
        return lambda request: Reply(text=text)

    def mixed(request: Received) -> Reply:
        return Reply(text="bad" if "ask 0" in request.body["messages"][-1]["content"] else "good")

    sampling = Sampling(max_tokens=8)
    plan = plan_evaluation(
        model="desk",
        task=loop.model.task,
        settings=loop.model.evaluation,
        sampling=sampling,
        dataset=None,
        folder=loop.model_file.folder,
    )
    with ScriptedUpstream(mixed) as mine, ScriptedUpstream(says("bad")) as theirs:
        targets = [
            OpenAITarget(base_url=one.base_url, model="m", identity=name, sampling=sampling)
            for one, name in ((mine, "new"), (theirs, "old"))
        ]
        alone = evaluate(loop.workspace, plan=plan, target=targets[1])
        references = {"production": Subject(target=targets[1])}
        evaluate(loop.workspace, plan=plan, target=targets[0], references=references)
    found = told("judge", "compare")
    assert (found["candidate"], found["reference"], found["ties"]) == (5, 0, 1)
    assert found["turned"] == 1, "two bad answers: this judge says `second` in both orders"
    assert found["p_value"] == 2 / 2**5
    assert "Candidate better 5" in run("judge", "compare", "--limit", "6").stdout
    assert isinstance(run("judge", "compare", alone.id).exception, UsageError)


def test_golden_run_says_what_it_lacks(loop: Loop, tmp_path: Path) -> None:
    found = told("golden", "run")
    assert (found["verdict"], found["monitor"]) == ("not_measured", "golden_set")
    make_loop(loop.workspace, tmp_path)
    assert isinstance(run("golden", "run").exception, UsageError)
    assert isinstance(run("judge", "run").exception, UsageError)
