"""A golden case of prose passes as long as it is answered as well as it was at release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from live_desk import make_loop, put_live
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.plan import plan_evaluation
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.loop import Loop
from tuneloop.monitoring.measurement import Measurement
from tuneloop.online_evaluation.golden import run_golden
from tuneloop.online_evaluation.golden_prose import MeasuredAnswer, faults
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

WELL = {"answered": 1.0, "no_loops": 1.0, "in_language": 1.0, "length_fit": 1.0}


def measured(cut_off: bool = False, **scores: float) -> MeasuredAnswer:
    return MeasuredAnswer(scores=WELL | scores, cut_off=cut_off)


RELEASED = measured(chrf=0.60, rouge_l=0.40, ungrounded=0.10)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (measured(chrf=0.60, ungrounded=0.10), ()),
        (measured(chrf=0.51), ()),
        (measured(chrf=0.49), ("chrf 0.49, 0.60 at release",)),
        (measured(chrf=0.60, rouge_l=0.0), ()),  # one measure decides
        (measured(rouge_l=0.10), ("rouge_l 0.10, 0.40 at release",)),  # that both have
        (measured(chrf=0.60, no_loops=0.0), ("no_loops",)),
        (measured(chrf=0.60, cut_off=True), ("cut off at the token limit",)),
        (measured(chrf=0.60, ungrounded=0.20), ("20% ungrounded, at most 10%",)),
        # What a person said of the case tells more than likeness does.
        (measured(chrf=0.10, phrases=1.0), ()),
        (measured(chrf=0.90, phrases=0.0), ("phrases",)),
    ],
)
def test_what_a_case_breaks(now: MeasuredAnswer, why: tuple[str, ...]) -> None:
    assert faults(now, RELEASED, drop=0.10) == why
    assert faults(RELEASED, RELEASED, drop=0.0) == (), "the same answer alerts nobody"


def test_a_case_that_the_release_did_not_know_is_held_to_the_rules_alone() -> None:
    assert faults(measured(chrf=0.05, ungrounded=0.05), None, drop=0.10) == ()
    assert faults(measured(ungrounded=0.5, length_fit=0.0), None, drop=0.10) == (
        "length_fit",
        "50% ungrounded, at most 5%",
    )


def test_why_is_said_as_the_measure_says_it() -> None:
    details: Any = {"no_loops": "says 9 times in a row: and so on", "chrf": "0.20 like"}
    now = MeasuredAnswer(scores={"no_loops": 0.0}, details=details)
    assert faults(now, None, drop=0.1) == ("no_loops: says 9 times in a row: and so on",)


DRUGS = ("aspirin", "ibuprofen", "lisinopril", "metformin")
NOTES = {
    drug: f"The patient takes {number + 2} mg of {drug} every day and feels well."
    for number, drug in enumerate(DRUGS)
}
REWORDED = {
    drug: f"Every day the patient takes {number + 2} mg of {drug}. She says she feels well."
    for number, drug in enumerate(DRUGS)
}


def says(answers: Mapping[str, str]) -> ScriptedUpstream:
    def reply(request: Received) -> Reply:
        return Reply(text=answers[request.body["messages"][-1]["content"].split()[-1]])

    return ScriptedUpstream(reply)


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path) -> Loop:
    """A bundle of prose is in production; in its evaluation it gave the references themselves."""
    rows = [
        {"prompt": f"Summarise {drug}", "completion": note, "must_contain": [f"mg of {drug}"]}
        for drug, note in NOTES.items()
    ]
    (tmp_path / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made = make_loop(
        workspace,
        tmp_path,
        task={"kind": "prose"},
        golden={"minimum_cases": 2},
        evaluation={
            "suites": [{"name": "golden", "kind": "golden", "file": "golden.jsonl"}],
            "gates": {"golden.phrases": ">= 0.5"},
        },
    )
    sampling = Sampling(max_tokens=64)
    plan = plan_evaluation(
        model="desk",
        task=made.model.task,
        settings=made.model.evaluation,
        sampling=sampling,
        dataset=None,
        folder=tmp_path,
    )
    with says(NOTES) as upstream:
        target = OpenAITarget(
            base_url=upstream.base_url, model="m", identity="new", sampling=sampling
        )
        done = evaluation.evaluate(made.workspace, plan=plan, target=target)
    put_live(made, evaluation=done.id)
    return made


def asked(loop: Loop, answers: Mapping[str, str]) -> Measurement:
    with says(answers) as upstream:
        found = run_golden(loop.project, loop.workspace.now(), url=upstream.base_url)
    assert found is not None
    return found


def test_a_reworded_answer_passes_and_a_fact_that_is_gone_does_not(loop: Loop) -> None:
    """A match with the reference would fail all of them."""
    same, reworded = asked(loop, NOTES), asked(loop, REWORDED)
    assert (same.value, reworded.value) == (1.0, 1.0)
    wrong = {drug: note.replace(f"mg of {drug}", "medicine") for drug, note in REWORDED.items()}
    found = asked(loop, wrong)
    assert (found.verdict, found.value) == ("alert", 0.0)
    assert "passed 100.0 %" in found.message or "passed 100 %" in found.message
    first = found.detail["failed"][0]
    assert first["why"] == ["phrases: does not say 'mg of aspirin'"]
    assert found.detail["at_release"]["then_only"] == 4


def test_phrases_that_were_declared_since_hold_of_the_old_answers_too(
    loop: Loop, tmp_path: Path
) -> None:
    """The release is not said to have passed what it would have failed."""
    file = tmp_path / "golden.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0] |= {"must_contain": [], "must_not_contain": ["every morning"]}
    rows[1] |= {"must_contain": ["every day and feels well"]}
    file.write_text("\n".join(map(json.dumps, rows)))
    found = asked(loop, REWORDED)
    assert found.value == 0.75
    assert found.detail["at_release"]["then_only"] == 1
