"""Whole evaluations against a scripted server, in a real workspace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tuneloop.errors import ConflictError, EvaluationError
from tuneloop.evaluation.plan import EvaluationPlan, plan_evaluation
from tuneloop.evaluation.record import answers_of_candidate, find_all, read_answers, read_report
from tuneloop.evaluation.report import QuantisationRow
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.stage import evaluate
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.modelfile import AbstainSettings, EvaluationSettings, SuiteSettings, TaskSettings
from tuneloop.storage import tables
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

INTENTS = ("refund", "delivery", "human")
TASK = TaskSettings(
    system="Sort.",
    output_schema={
        "type": "object",
        "properties": {"intent": {"enum": list(INTENTS)}},
        "required": ["intent"],
    },
    abstain=AbstainSettings(field="intent", value="human"),
)
SAMPLING = Sampling(max_tokens=32)


def answer(intent: str) -> str:
    return json.dumps({"intent": intent})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {
            "id": f"{i:016x}",
            "messages": [
                {"role": "system", "content": "Sort."},
                {"role": "user", "content": f"{INTENTS[i % 3]} please {i}"},
            ],
            "completion": answer(INTENTS[i % 3]),
        }
        for i in range(90)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "eval.jsonl").write_text(text)
    golden = {"prompt": "refund of my order", "completion": answer("refund")}
    (tmp_path / "golden.jsonl").write_text(json.dumps(golden) + "\n")
    return tmp_path


def plan(folder: Path, **changes: object) -> EvaluationPlan:
    values = {
        "gates": {
            "accuracy": ">= 0.90",
            "format": ">= 0.95",
            "abstention_recall": {"condition": ">= 0.8", "minimum_cases": 30},
            "golden.accuracy": ">= 1",
        },
        "suites": (SuiteSettings(name="golden", file="golden.jsonl"),),
        **changes,
    }
    return plan_evaluation(
        model="desk",
        task=TASK,
        settings=EvaluationSettings.model_validate(values),
        sampling=SAMPLING,
        dataset=folder,
        folder=folder,
    )


def knows(request: Received) -> Reply:
    return Reply(text=answer(request.body["messages"][-1]["content"].split()[0]))


def knows_only_refunds(request: Received) -> Reply:
    return Reply(text=answer("refund"))


def target(upstream: ScriptedUpstream, identity: str) -> OpenAITarget:
    return OpenAITarget(
        base_url=upstream.base_url,
        model="m",
        identity=identity,
        sampling=SAMPLING,
        retry_pause_seconds=0.01,
    )


def test_a_good_candidate_passes_and_is_better_than_production(
    workspace: Workspace, folder: Path
) -> None:
    with ScriptedUpstream(knows) as good, ScriptedUpstream(knows_only_refunds) as poor:
        done = evaluate(
            workspace,
            plan=plan(folder),
            target=target(good, "new"),
            references={"production": Subject(target=target(poor, "old"))},
        )
        assert len(good.requests) == len(poor.requests) == 91
    assert (done.status, done.verdict, done.subject) == ("finished", "passed", "new")
    assert done.figures["suites"]["held-out"]["accuracy"][::3] == [1.0, 60]
    assert done.figures["comparisons"]["production"]["verdict"] == "better"
    report = read_report(workspace, done).as_json()
    assert report["subjects"] == {"candidate": "new", "production": "old"}
    assert [s["name"] for s in report["suites"]] == ["held-out", "golden"]
    rows = read_answers(workspace, done)
    assert [row["target"] for row in rows] == ["candidate"] * 91 + ["production"] * 91
    assert rows[0]["answer"]["text"] == rows[0]["expected"]
    assert find_all(workspace, model="desk") == [done]
    assert not (workspace.root / "work/answers" / done.id).exists()


def test_cases_that_production_was_trained_on_do_not_count_for_it(
    workspace: Workspace, folder: Path
) -> None:
    """What it learnt by heart would hold a better candidate back."""

    def learnt(request: Received) -> Reply:
        kind, _, number = request.body["messages"][-1]["content"].split()[:3]
        return Reply(text=answer(kind if number.isdigit() and int(number) < 45 else "refund"))

    known = {f"{i:016x}" for i in range(45)}
    with ScriptedUpstream(knows) as good, ScriptedUpstream(learnt) as old:
        production = Subject(target=target(old, "old"), trained_on={"held-out": known})
        done = evaluate(
            workspace,
            plan=plan(folder),
            target=target(good, "new"),
            references={"production": production},
        )
    report = read_report(workspace, done).as_json()
    compared = report["comparisons"][0]
    assert compared["left_out"] == 45 and compared["verdict"] == "better"
    assert compared["metrics"][0]["difference"]["n"] <= 45
    figures = report["suites"][0]["figures"]
    assert figures["candidate"]["accuracy"]["n"] == 60
    assert figures["production"]["accuracy"]["n"] == 30
    standing = done.figures["comparisons"]["production"]
    assert "45 of 90 cases do not count: production was trained on them" in standing["reason"]
    assert any("production was trained on 45 cases" in note for note in report["notes"])


def test_a_poor_candidate_fails_with_reasons(workspace: Workspace, folder: Path) -> None:
    with ScriptedUpstream(knows_only_refunds) as poor:
        done = evaluate(workspace, plan=plan(folder), target=target(poor, "old"))
    assert done.verdict == "failed"
    reason = read_report(workspace, done).as_json()["reason"]
    assert "held-out.accuracy is 0.500" in reason
    assert "held-out.abstention_recall is 0.000" in reason


@pytest.mark.parametrize(
    ("golden_cases", "verdict", "warned"), [(12, "worse", False), (3, "better", True)]
)
def test_a_loss_on_another_suite_is_not_hidden_by_a_gain_on_the_main_one(
    workspace: Workspace, folder: Path, golden_cases: int, verdict: str, warned: bool
) -> None:
    rows = [
        {"prompt": f"golden case {i}", "completion": answer("refund")} for i in range(golden_cases)
    ]
    (folder / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ScriptedUpstream(knows) as new, ScriptedUpstream(knows_only_refunds) as old:
        done = evaluate(
            workspace,
            plan=plan(folder),
            target=target(new, "new"),
            references={"production": Subject(target=target(old, "old"))},
        )
    found = done.figures["comparisons"]["production"]
    assert found["verdict"] == verdict and found["difference"] > 0.5
    told = found["warnings"][0] if warned else found["reason"]
    assert told.startswith("on suite 'golden' correct")
    assert len(found["warnings"]) == warned
    report = read_report(workspace, done)
    assert [one["suite"] for one in report.as_json()["comparisons"]] == ["held-out", "golden"]


def test_the_lock_is_stored_before_the_first_answer(workspace: Workspace, folder: Path) -> None:
    stored: list[str] = []

    def spying(request: Received) -> Reply:
        with workspace.records.begin() as tx:
            stored.extend(tx.execute(sa.select(tables.evaluations.c.gates)).scalars())
        return knows(request)

    planned = plan(folder, concurrency=1)
    with ScriptedUpstream(spying) as upstream:
        evaluate(workspace, plan=planned, target=target(upstream, "new"))
    assert stored[0] == planned.gate_lock.digest and len(set(stored)) == 1


def test_gates_that_change_under_way_stop_the_evaluation(
    workspace: Workspace, folder: Path
) -> None:
    softer = plan(folder, gates={"accuracy": ">= 0.10"}, concurrency=1)

    def tampering(request: Received) -> Reply:
        with workspace.records.begin() as tx:
            tx.execute(tables.evaluations.update().values(gates=softer.gate_lock.digest))
        return knows(request)

    with ScriptedUpstream(tampering) as upstream, pytest.raises(ConflictError, match="changed"):
        evaluate(workspace, plan=plan(folder, concurrency=1), target=target(upstream, "new"))
    swapped = replace(plan(folder), margin=0.5)  # after the gates were locked
    with (
        ScriptedUpstream(knows) as upstream,
        pytest.raises(ConflictError, match="A changed gate is a new evaluation"),
    ):
        evaluate(workspace, plan=swapped, target=target(upstream, "other"))


def test_what_stops_in_the_middle_leaves_an_evaluation_that_continues(
    workspace: Workspace, folder: Path
) -> None:
    planned = plan(folder, concurrency=1)
    with ScriptedUpstream(knows) as upstream:
        gone = target(upstream, "new")
        answered = 0
        original = gone.complete

        def complete(messages):  # type: ignore[no-untyped-def]
            nonlocal answered
            answered += 1
            if answered == 50:
                raise RuntimeError("killed")
            return original(messages)

        gone.complete = complete  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="killed"):
            evaluate(workspace, plan=planned, target=gone)
        (failed,) = find_all(workspace, model="desk")
        assert failed.status == "failed"
        before = len(upstream.requests)
        done = evaluate(workspace, plan=planned, target=target(upstream, "new"))
        assert len(upstream.requests) - before == 91 - 49
    assert done.id == failed.id and done.verdict == "passed"


def test_a_second_evaluation_asks_the_candidate_again_but_not_the_reference(
    workspace: Workspace, folder: Path
) -> None:
    with ScriptedUpstream(knows) as new, ScriptedUpstream(knows) as base:
        for _ in range(2):
            evaluate(
                workspace,
                plan=plan(folder),
                target=target(new, "new"),
                references={"base": Subject(target=target(base, "base"), main_suite_only=True)},
            )
        assert (len(new.requests), len(base.requests)) == (182, 90)
        # The next cycle has one more held-out row: the base is asked that one alone.
        with (folder / "eval.jsonl").open("a") as file:
            row = {"prompt": "refund please, once more", "completion": answer("refund")}
            file.write(json.dumps(row) + "\n")
        evaluate(
            workspace,
            plan=plan(folder),
            target=target(new, "newer"),
            references={"base": Subject(target=target(base, "base"), main_suite_only=True)},
        )
        assert (len(new.requests), len(base.requests)) == (182 + 92, 91)
    assert len(find_all(workspace, model="desk")) == 3


def test_a_reference_that_answers_the_main_suite_only(workspace: Workspace, folder: Path) -> None:
    with ScriptedUpstream(knows) as new, ScriptedUpstream(knows_only_refunds) as base:
        done = evaluate(
            workspace,
            plan=plan(folder),
            target=target(new, "new"),
            references={"base": Subject(target=target(base, "base"), main_suite_only=True)},
        )
    report = read_report(workspace, done)
    held_out, golden = report.as_json()["suites"]
    assert list(held_out["figures"]) == ["candidate", "base"]
    assert list(golden["figures"]) == ["candidate"]
    assert done.figures["comparisons"]["base"]["verdict"] == "better"
    assert report.as_html() and report.as_terminal()


def test_a_base_that_is_asked_some_of_the_cases_is_compared_on_those(
    workspace: Workspace, folder: Path
) -> None:
    def subject(base: ScriptedUpstream) -> Subject:
        return Subject(target=target(base, "base"), main_suite_only=True, main_cases=20)

    with ScriptedUpstream(knows) as new, ScriptedUpstream(knows_only_refunds) as base:
        done = evaluate(
            workspace,
            plan=plan(folder),
            target=target(new, "new"),
            references={"base": subject(base)},
        )
        assert len(base.requests) == 20
        # The next cycle has more held-out rows: the base has answered nearly all it is asked.
        with (folder / "eval.jsonl").open("a") as file:
            for number in range(5):
                row = {"prompt": f"refund, {number}", "completion": answer("refund")}
                file.write(json.dumps(row) + "\n")
        evaluate(
            workspace,
            plan=plan(folder),
            target=target(new, "newer"),
            references={"base": subject(base)},
        )
        assert 20 <= len(base.requests) <= 25
    report = read_report(workspace, done)
    held_out, _ = report.as_json()["suites"]
    assert held_out["figures"]["base"]["error_share"]["n"] == 20
    assert held_out["figures"]["candidate"]["error_share"]["n"] == 90
    (comparison,) = report.as_json()["comparisons"]
    assert comparison["verdict"] == "better" and comparison["cases"] == 20
    assert {pair["difference"]["n"] for pair in comparison["metrics"]} <= set(range(21))
    said = "base was asked 20 of 90 cases of suite 'held-out', drawn by their ids"
    assert any(note.startswith(said) for note in report.as_json()["notes"])
    assert report.as_html() and report.as_terminal()
    assert sum(row["target"] == "base" for row in read_answers(workspace, done)) == 20


def test_production_is_asked_with_its_own_system_text_and_sampling(
    workspace: Workspace, folder: Path
) -> None:
    """It answers rightly under its own text alone: under the candidate's it would seem worse."""

    def under(system: str) -> Callable[[Received], Reply]:
        def reply(request: Received) -> Reply:
            first = request.body["messages"][0]
            return knows(request) if first["content"] == system else Reply(text="?")

        return reply

    with ScriptedUpstream(under("Sort.")) as new, ScriptedUpstream(under("Old text.")) as old:
        production = target(old, "old")
        production.sampling = Sampling(temperature=0.0, max_tokens=9)
        done = evaluate(
            workspace,
            plan=plan(folder),
            target=target(new, "new"),
            references={"production": Subject(target=production, system="Old text.")},
        )
        assert {request.body["max_tokens"] for request in old.requests} == {9}
        assert {request.body["max_tokens"] for request in new.requests} == {32}
        assert done.figures["comparisons"]["production"]["difference"] == 0
        # What it said under its own text is never taken for what it would say under another.
        before = len(old.requests)
        again = evaluate(
            workspace,
            plan=plan(folder),
            target=target(new, "new"),
            references={"production": Subject(target=production)},
        )
        assert len(old.requests) == before + 91
        assert again.figures["comparisons"]["production"]["difference"] == 1
    notes = read_report(workspace, done).as_json()["notes"]
    assert "production was asked with its own system text, max_tokens, as it is served" in notes
    asked = {row["target"]: row["messages"][0]["content"] for row in read_answers(workspace, done)}
    assert asked == {"candidate": "Sort.", "production": "Old text."}


def test_what_production_said_as_a_candidate_is_not_asked_again(
    workspace: Workspace, folder: Path
) -> None:
    with ScriptedUpstream(knows) as served:
        own = evaluate(workspace, plan=plan(folder), target=target(served, "file of old"))
        known = answers_of_candidate(workspace, own)
        assert len(known) == 91
        evaluate(
            workspace,
            plan=plan(folder),
            target=target(served, "new"),
            references={"production": Subject(target=target(served, "old"), known=known)},
        )
        assert len(served.requests) == 91 + 91


def test_the_table_of_quantisations_is_made_of_the_candidates_answers(
    workspace: Workspace, folder: Path
) -> None:
    def table(main: SuiteResult) -> list[QuantisationRow]:
        figures = {"accuracy": main.figures["accuracy"]}
        return [QuantisationRow(name="q8_0", size_bytes=5, tokens_per_second=None, figures=figures)]

    with ScriptedUpstream(knows) as new:
        done = evaluate(
            workspace, plan=plan(folder), target=target(new, "new"), quantisations=table
        )
    (row,) = read_report(workspace, done).as_json()["quantisations"]
    assert row["figures"]["accuracy"]["value"] == 1.0


def test_the_candidate_must_sample_as_planned(workspace: Workspace, folder: Path) -> None:
    with ScriptedUpstream(knows) as upstream:
        hot = target(upstream, "new")
        hot.sampling = Sampling(temperature=1.0)
        with pytest.raises(EvaluationError, match="would sample with"):
            evaluate(workspace, plan=plan(folder), target=hot)
        assert not upstream.requests
    assert find_all(workspace, model="desk") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates": {"acuracy": ">= 0.9"}}, "Did you mean 'accuracy'"),
        ({"suites": (SuiteSettings(name="held-out", file="golden.jsonl"),)}, "Two suites"),
        ({"suites": (SuiteSettings(name="golden", file="none.jsonl"),)}, "does not exist"),
    ],
)
def test_a_plan_that_cannot_work_fails_before_anything_is_asked(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        plan(folder, **changes)


def test_a_gate_brings_its_scorer_along(folder: Path) -> None:
    planned = plan(folder, gates={"golden.token_f1": ">= 0.5"})
    assert "token_f1" in [metric.name for metric in planned.metrics]


def test_references_that_break_their_own_form_are_told(folder: Path) -> None:
    row = {"prompt": "delivery?", "completion": answer("teleport")}
    (folder / "golden.jsonl").write_text(json.dumps(row) + "\n")
    assert "break the task's own output form" in plan(folder).notes[0]
