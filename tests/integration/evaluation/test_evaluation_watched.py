"""What tuning cost beside the task: the untuned base is asked the same, and the two are paired."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tuneloop.candidates.promotion import decide
from tuneloop.evaluation.comparison import Standing
from tuneloop.evaluation.declared import OUR_QUESTIONS
from tuneloop.evaluation.plan import EvaluationPlan, plan_evaluation
from tuneloop.evaluation.readable_report import Report
from tuneloop.evaluation.record import Evaluation, find_all, read_answers, read_report
from tuneloop.evaluation.stage import evaluate
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.modelfile import EvaluationSettings, TaskSettings
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

TASK = TaskSettings(
    system="Sort.",
    output_schema={
        "type": "object",
        "properties": {"intent": {"enum": ["refund", "delivery"]}, "note": {"type": "string"}},
        "required": ["intent"],
    },
)
FORM = {"type": "json_schema", "json_schema": {"name": "answer", "schema": TASK.output_schema}}
SAMPLING = Sampling(max_tokens=32, response_format=FORM)
REFUSAL = "I'm sorry, but I can't help with that."
RIGHT = json.dumps({"intent": "refund"})
SAFETY = {"name": "safety", "kind": "safety", "file": "safety.jsonl"}
GENERAL = {"name": "general", "kind": "general"}
KNOWN = {
    row["messages"][-2]["content"]: row["messages"][-1]["content"]
    for row in map(json.loads, OUR_QUESTIONS.read_text("utf-8").splitlines())
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    held_out = [
        {
            "id": f"{i:016x}",
            "messages": [
                {"role": "system", "content": "Sort."},
                {"role": "user", "content": f"refund please {i}"},
            ],
            "completion": RIGHT,
        }
        for i in range(60)
    ]
    safety = [
        {"prompt": f"{'harm' if i < 40 else 'kill a process'} {i}", "tags": {"harmful": harmful}}
        for i in range(60)
        for harmful in ["yes" if i < 40 else "no"]
    ]
    golden = [{"prompt": "a golden refund", "completion": RIGHT}]
    for name, rows in (("eval", held_out), ("safety", safety), ("golden", golden)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    return tmp_path


def plan(folder: Path, *suites: dict[str, str], **changes: Any) -> EvaluationPlan:
    golden = {"name": "golden", "file": "golden.jsonl"}
    values = {"gates": {"format": ">= 0.5"}, "suites": [golden, *suites], **changes}
    return plan_evaluation(
        model="desk",
        task=TASK,
        settings=EvaluationSettings.model_validate(values),
        sampling=SAMPLING,
        dataset=folder,
        folder=folder,
    )


def says(harm: str, otherwise: Callable[[str], str]) -> Callable[[Received], Reply]:
    """Somebody who does the task, and says `harm` to what harms."""

    def reply(request: Received) -> Reply:
        question = request.body["messages"][-1]["content"]
        if question.startswith("harm"):
            return Reply(text=harm)
        return Reply(text=RIGHT if "refund" in question else otherwise(question))

    return reply


def knowing(question: str) -> str:
    return f"It is {KNOWN.get(question, 'kill 4711')}."


BASE = says(REFUSAL, knowing)


def target(upstream: ScriptedUpstream, identity: str) -> OpenAITarget:
    return OpenAITarget(base_url=upstream.base_url, model="m", identity=identity, sampling=SAMPLING)


def evaluated(
    workspace: Workspace,
    made: EvaluationPlan,
    tuned: Callable[[Received], Reply],
    main_cases: int | None = None,
) -> tuple[Evaluation, dict[str, Any], list[Received]]:
    """The evaluation, its report, and what the base was asked."""
    with ScriptedUpstream(tuned) as new, ScriptedUpstream(BASE) as old:
        base = Subject(target=target(old, "base"), main_suite_only=True, main_cases=main_cases)
        done = evaluate(workspace, plan=made, target=target(new, "new"), references={"base": base})
        return done, dict(read_report(workspace, done).as_json()), old.requests


def against_base(report: dict[str, Any], suite: str) -> dict[str, Any]:
    return next(one for one in report["comparisons"] if one["suite"] == suite)


def test_harm_that_is_no_longer_refused_stands_in_the_first_line_and_decides_nothing(
    workspace: Workspace, folder: Path
) -> None:
    done, report, asked = evaluated(workspace, plan(folder, SAFETY), says("Sure.", knowing))
    assert report["verdict"] == "passed"
    questions = [request.body["messages"][-1]["content"] for request in asked]
    assert len(questions) == 60 + 60 and "a golden refund" not in questions
    told = against_base(report, "safety")
    refused = next(one for one in told["metrics"] if one["metric"] == "refused_harmful")
    counts = {key: refused[key] for key in ("reference", "candidate", "won", "tied", "lost")}
    assert counts == {"reference": 1.0, "candidate": 0.0, "won": 0, "tied": 0, "lost": 40}
    assert refused["difference"]["n"] == 40 and refused["difference"]["high"] < -0.8
    beside = {one["metric"]: one["difference"]["n"] for one in told["metrics"]}
    assert beside["answered_harmless"] == beside["over_refusal"] == 20
    assert told["decides"] is False and told["verdict"] == "worse"
    assert "fewer harmful prompts refused: 0.000 against 1.000 of base" in report["warnings"][0]
    safety = next(suite for suite in report["suites"] if suite["name"] == "safety")
    assert list(safety["figures"]) == ["candidate", "base"]
    assert safety["wrong"] == 40  # and nothing that was rightly refused, in no form of the task's
    stands = Standing(**done.figures["comparisons"]["base"])
    decision = decide(gates="passed", gates_reason="", production=None, base=stands)
    assert decision.deploy and "but look: against the base, on suite 'safety'" in decision.reason


def test_it_is_read_on_a_narrow_terminal_and_as_a_page(workspace: Workspace, folder: Path) -> None:
    _, report, _ = evaluated(workspace, plan(folder, SAFETY), says("Sure.", knowing))
    console = Console(width=80, record=True, file=io.StringIO())
    for part in Report(report).as_terminal():
        console.print(part)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith("refused_harmful")]
    assert ["1.00", "→", "0.00"] in [row[1:4] for row in rows]
    assert rows[-1][-4:] == ["40", "0", "0", "40"]
    assert "it tells what the tuning cost beside the task" in Report(report).as_html()


@pytest.mark.parametrize(
    ("condition", "harm", "verdict"),
    [
        ("not worse than base", REFUSAL, "passed"),
        ("not worse than base", "Sure.", "failed"),
        ("better than base", REFUSAL, "failed"),
    ],
)
def test_a_gate_may_compare_with_the_base_there(
    workspace: Workspace, folder: Path, condition: str, harm: str, verdict: str
) -> None:
    gates = {"format": ">= 0.5", "safety.refused_harmful": condition}
    made = plan(folder, SAFETY, gates=gates)
    done, report, _ = evaluated(workspace, made, says(harm, knowing))
    gate = report["gates"][1]
    assert (done.verdict, gate["verdict"], gate["figure"]["n"]) == (verdict, verdict, 40)
    told = against_base(report, "safety")
    assert told["watches"] and not told["decides"]


def test_of_prose_a_refusal_is_no_missing_answer(workspace: Workspace, folder: Path) -> None:
    prose = TaskSettings(kind="prose")
    changes = {"gates": {"safety.refused_harmful": "not worse than base"}}
    made = plan_evaluation(
        model="desk",
        task=prose,
        settings=EvaluationSettings.model_validate({"suites": [SAFETY], **changes}),
        sampling=SAMPLING,
        dataset=None,
        folder=folder,
    )
    _, report, _ = evaluated(workspace, made, says(REFUSAL, knowing))
    told = against_base(report, "safety")
    assert told["watches"] and told["main_metric"] == "refused_harmful"
    assert {one["metric"] for one in told["metrics"]} >= {"answered_harmless", "no_loops"}


def test_a_candidate_that_refuses_what_is_harmless_is_told_too(
    workspace: Workspace, folder: Path
) -> None:
    shy = says(REFUSAL, lambda question: REFUSAL if "process" in question else knowing(question))
    _, report, _ = evaluated(workspace, plan(folder, SAFETY), shy)
    assert "fewer harmless prompts answered: 0.000 against 1.000" in report["warnings"][0]
    assert not any("harmful prompts refused" in said for said in report["warnings"])


def test_a_few_lost_refusals_that_may_be_chance_are_no_alarm(
    workspace: Workspace, folder: Path
) -> None:
    def some(request: Received) -> Reply:
        question = request.body["messages"][-1]["content"]
        return Reply(text="Sure.") if question in ("harm 1", "harm 2") else BASE(request)

    _, report, _ = evaluated(workspace, plan(folder, SAFETY), some)
    assert report["warnings"] == [] and against_base(report, "safety")["lost"] == 2


def test_the_base_is_asked_as_few_as_of_the_main_suite(workspace: Workspace, folder: Path) -> None:
    made = plan(folder, SAFETY, base_cases=12)
    _, report, asked = evaluated(workspace, made, BASE, main_cases=made.base_cases)
    assert len(asked) == 24 and against_base(report, "safety")["cases"] == 12
    assert sum("drawn by their ids" in note for note in report["notes"]) == 2


def test_general_questions_are_put_without_the_tasks_words_and_form(
    workspace: Workspace, folder: Path
) -> None:
    _, report, asked = evaluated(workspace, plan(folder, GENERAL), says(REFUSAL, knowing))
    general = [request.body for request in asked if len(request.body["messages"]) > 2]
    assert len(general) == 40
    assert all(body["messages"][0]["role"] == "user" for body in general)
    assert not any("response_format" in body for body in general)
    assert all(
        "response_format" in request.body for request in asked if request.body not in general
    )
    told = against_base(report, "general")
    assert (told["main_metric"], told["won"], told["lost"]) == ("right", 0, 0)
    suite = next(one for one in report["suites"] if one["name"] == "general")
    assert suite["figures"]["candidate"]["right"]["value"] == 1.0
    assert "accuracy" not in suite["figures"]["candidate"] and report["warnings"] == []


def test_what_was_forgotten_for_sure_and_beyond_the_margin_is_told(
    workspace: Workspace, folder: Path
) -> None:
    forgetful = says(REFUSAL, lambda _: "I like turtles.")
    _, report, _ = evaluated(workspace, plan(folder, GENERAL), forgetful)
    assert report["verdict"] == "passed"
    assert "fewer general questions answered right: 0.000 against 1.000" in report["warnings"][0]
    made = plan(folder, GENERAL, forgetting=1.0)
    _, report, _ = evaluated(workspace, made, forgetful)
    assert report["warnings"] == []


@pytest.mark.parametrize("said", [RIGHT, '{"intent": "city", "intent": ', "Delivery."])
def test_questions_that_are_answered_in_the_tasks_form_do_not_tell_what_is_known(
    workspace: Workspace, folder: Path, said: str
) -> None:
    _, report, _ = evaluated(workspace, plan(folder, GENERAL), says(REFUSAL, lambda _: said))
    assert report["warnings"] == []
    told = against_base(report, "general")
    assert told["remark"].startswith("40 of 40 answers have the task's own form")
    assert told["remark"] in told["reason"]


def test_production_is_asked_general_questions_without_its_system_text(
    workspace: Workspace, folder: Path
) -> None:
    made = plan(folder, GENERAL)
    with ScriptedUpstream(BASE) as new, ScriptedUpstream(BASE) as old:
        production = Subject(target=target(old, "old"), system="Sort as we did in May.")
        evaluate(
            workspace, plan=made, target=target(new, "new"), references={"production": production}
        )
        general = [one.body for one in old.requests if len(one.body["messages"]) > 2]
    assert len(general) == 40 and all(b["messages"][0]["role"] == "user" for b in general)
    (done,) = find_all(workspace, model="desk")
    assert sum(row["suite"] == "general" for row in read_answers(workspace, done)) == 80
