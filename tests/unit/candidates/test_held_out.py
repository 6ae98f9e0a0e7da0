"""The file that init writes can pass, and what cannot pass is said before anything is trained.

A case that a bundle was trained on does not count for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tiny_desk import write
from tuneloop import modelfile, review
from tuneloop.candidates import held_out, preparing, trained_on
from tuneloop.candidates.planning import plan_for
from tuneloop.datasets import versions
from tuneloop.errors import GateError, UsageError
from tuneloop.loop import Loop
from tuneloop.project import Project
from tuneloop.setup import starting
from tuneloop.setup.checks.calibration import calibration
from tuneloop.setup.look import Look
from tuneloop.testing.judge import judge_script, verdict
from tuneloop.testing.manifest import manifest_of
from tuneloop.testing.upstream import ScriptedUpstream
from tuneloop.workspace import Workspace

DROPPED = {key: {"condition": None, "reason": "another test"} for key in ("accuracy", "format")}
REGRESSION_GATES = {
    "accuracy": ">= 0.9",
    "format": DROPPED["format"],
    "regressions.accuracy": ">= 0.5",
}
WORDS = ("lamp", "kettle", "ladder", "invoice", "parcel", "museum", "garden", "office", "bridge")


def row(n: int) -> dict[str, str]:
    """Every twelfth is out of scope."""
    text = f"{WORDS[n % 9]} {n * 7919} {WORDS[n // 9 % 9]} {chr(97 + n % 23) * 4}"
    intent = "other" if n % 12 == 0 else ("billing", "delivery", "setup")[n % 3]
    return {"prompt": text, "completion": json.dumps({"intent": intent})}


@pytest.fixture
def start(workspace: Workspace, tmp_path: Path) -> Callable[..., Loop]:
    """A model as `init` leaves it, with so many rows; keywords stand in the file's `evaluation`."""

    def make(rows: int, *overrides: str, **evaluation: Any) -> Loop:
        data = tmp_path / "rows.jsonl"
        data.write_text("".join(json.dumps(row(n)) + "\n" for n in range(rows)))
        file = tmp_path / "tuneloop.yaml"
        starting.write_model_file(data, base="b", name=None, path=file, force=True)
        if evaluation:
            write(file, "evaluation", **evaluation)
        model_file = modelfile.load(file, overrides=overrides, environment={})
        return Loop(Project(workspace=workspace, model_file=model_file, actor="ann"))

    return make


@pytest.mark.parametrize("rows", [400, 420])
def test_what_init_writes_can_pass(start: Callable[..., Loop], rows: int) -> None:
    loop = start(rows)
    version = preparing.prepare(loop.project)
    held_out.check(loop.project, version)
    found = held_out.held_out(loop.project, version)
    assert found.declared is None and found.share is not None and 0.1 <= found.share <= 0.25
    sizes = {size.gate.metric: size for size in found.gates}
    assert sizes["accuracy"].counted >= 50 and sizes["accuracy"].minimum == 50
    assert 3 <= sizes["abstention_recall"].minimum <= sizes["abstention_recall"].counted < 50
    assert "holdout_share 0.25, the largest of 0.1 to 0.25, for the decision (" in found.why
    assert f"({found.deciding} cases, wants 200). It serves accuracy" in found.why


def test_the_decision_has_its_cases_where_there_are_rows(start: Callable[..., Loop]) -> None:
    """As many as it takes that an equal candidate is let through in four of five, and no more."""
    loop = start(1_200)
    found = held_out.held_out(loop.project, preparing.prepare(loop.project))
    assert found.share is not None and 0.1 < found.share < 0.25
    assert found.deciding >= found.wanted == 200
    assert f"and the decision ({found.deciding} cases, wants 200)" in found.why
    assert found.as_row()["cases_wanted_by_the_decision"] == 200


@pytest.mark.parametrize(
    "evaluation", [{"decision": "strict"}, {"allow_small_suite": True}], ids=str
)
def test_no_row_is_held_out_for_a_decision_that_it_does_not_help(
    start: Callable[..., Loop], evaluation: dict[str, Any]
) -> None:
    """On 100 cases `strict` refuses 96 % of equal candidates, on 50 it is 98 %."""
    loop = start(600, gates={"accuracy": ">= 0.5"}, **evaluation)
    found = held_out.held_out(loop.project, preparing.prepare(loop.project))
    assert found.share == 0.1 and "the smallest of 0.1 to 0.25" in found.why


def test_too_few_rows_are_refused_before_training_with_numbers(start: Callable[..., Loop]) -> None:
    loop = start(144)
    version = preparing.prepare(loop.project)
    with pytest.raises(GateError) as refused:
        held_out.check(loop.project, version)
    assert "held-out.accuracy counts" in refused.value.message
    assert "and needs 50" in refused.value.message
    assert "add about 78 rows that it counts" in refused.value.remedy, "of 132 in scope"
    assert "allow_small_suite: true" in refused.value.remedy
    small = start(144, allow_small_suite=True, gates={"accuracy": ">= 0.9"})
    held_out.check(small.project, version)


def test_gates_that_lack_the_same_are_refused_in_one_breath(start: Callable[..., Loop]) -> None:
    gates = {"accuracy": DROPPED["accuracy"], "format": ">= 0.9", "error_share": "<= 0.1"}
    loop = start(144, gates=gates)
    held = held_out.held_out(loop.project, preparing.prepare(loop.project))
    (warning,) = held.warnings()
    assert "held-out.format and error_share count " in warning
    assert warning.count("add about") == held.remedy().count("add about") == 1
    loop = start(420, gates=gates)
    served = held_out.held_out(loop.project, preparing.prepare(loop.project))
    assert "serves format, error_share (" in served.why and " cases each, need 50)" in served.why


def test_what_a_model_could_still_give_is_warned_of_and_not_refused(
    start: Callable[..., Loop],
) -> None:
    """A field that few references have: an answer that invents it counts as well."""
    share = "data.holdout_share=0.2"
    schema = "task.output_schema={type: object, properties: {intent: {}, place: {}}}"
    loop = start(420, schema, share, gates={**DROPPED, "json_field.place": ">= 0.9"})
    version = preparing.prepare(loop.project)
    (warning,) = held_out.held_out(loop.project, version).warnings()
    assert "json_field.place counts none of the held-out cases, at most" in warning
    held_out.check(loop.project, version)
    loop = start(420, schema, share, gates={**DROPPED, "json_field.place.recall": ">= 0.9"})
    with pytest.raises(GateError, match=r"no candidate could pass: held-out\.json_field\.place\.r"):
        held_out.check(loop.project, version)


def test_a_fixed_share_that_is_too_small_names_the_one_that_chooses(
    start: Callable[..., Loop],
) -> None:
    loop = start(420, "data.holdout_share=0.05")
    version = preparing.prepare(loop.project)
    with pytest.raises(GateError, match="counts") as refused:
        held_out.check(loop.project, version)
    assert "set data.holdout_share: auto" in refused.value.remedy
    assert (
        held_out.held_out(start(420).project, version).why
        == "holdout_share 0.05, as the model file said"
    )
    held_out.check(start(420).project, preparing.prepare(start(420).project))


def test_the_judge_is_not_called_to_count_cases(
    start: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its API key need not be where the rows are prepared, but where they are evaluated."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    loop = start(
        420,
        "judge={base_url: 'http://127.0.0.1:9/v1', model: m, api_key_env: NO_SUCH_KEY}",
        gates={**DROPPED, "judge": ">= 0.9"},
    )
    version = preparing.prepare(loop.project)
    (size,) = held_out.held_out(loop.project, version).gates
    assert size.counted == version.rows_eval >= 50
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        held_out.check(loop.project, version)


def test_a_gate_on_a_judge_takes_people_s_labels_before_anything_is_trained(
    start: Callable[..., Loop], clock: Any, tmp_path: Path
) -> None:
    """On any task, and as many labels as tell how often the judge errs."""
    labelled = tmp_path / "labelled.jsonl"

    def people_said(right: int, wrong: int) -> None:
        clock.advance(minutes=1)  # the newest counts
        said = [(n, "good") for n in range(right)] + [(n, "bad") for n in range(wrong)]
        rows = ({"prompt": f"{n}?", "answer": a, "correct": a == "good"} for n, a in said)
        labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
        loop.judge.calibrate(labelled)

    def judge(quoted: str) -> str:
        return verdict(5 if "good" in quoted.split("<answer to judge")[1] else 1)

    with ScriptedUpstream(judge_script(judge)) as server:
        declared = f"judge={{base_url: '{server.base_url}', model: m}}"
        loop = start(420, declared, gates={**DROPPED, "judge": ">= 0.9"})
        version = preparing.prepare(loop.project)
        with pytest.raises(GateError, match=r"held-out\.judge \(the judge is not calibrated"):
            held_out.check(loop.project, version)
        people_said(20, 19)
        with pytest.raises(GateError, match="on 20 right and 19 wrong answers"):
            held_out.check(loop.project, version)
        people_said(20, 20)
        held_out.check(loop.project, version)
        loop.close()
        loop = start(
            420, declared.replace("}", ", rubric: Other.}"), gates={**DROPPED, "judge": ">= 0.9"}
        )
        with pytest.raises(GateError, match="is not calibrated"):
            held_out.check(loop.project, version)


@pytest.mark.parametrize("metric", ["judge.tone", "unsupported_claims"])
def test_a_gate_on_tone_or_claims_takes_labels_of_its_own(
    start: Callable[..., Loop], tmp_path: Path, metric: str
) -> None:
    """That people agree with the judge on what is right says nothing of either."""
    (tmp_path / "tone.md").write_text("Kind, and never in a hurry.\n")
    rows = [
        {"prompt": f"{n}?", "answer": "good" if n % 2 else "bad", "correct": bool(n % 2)}
        for n in range(40)
    ]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def judge(quoted: str) -> str:
        good = "good" in quoted.split("<answer to ")[1]
        if "<answer to check" in quoted:
            return json.dumps({"claims": [{"claim": "so", "supported": good}]})
        return verdict(5 if good else 1)

    with ScriptedUpstream(judge_script(judge)) as server:
        bar = "<= 0.1" if metric == "unsupported_claims" else ">= 0.9"
        rubrics = "rubrics: {tone: tone.md}"
        loop = start(
            420,
            f"judge={{base_url: '{server.base_url}', model: m, {rubrics}}}",
            gates={**DROPPED, metric: bar},
        )
        version = preparing.prepare(loop.project)
        loop.judge.calibrate(tmp_path / "labelled.jsonl")
        with pytest.raises(GateError, match=f"calibrate --metric {metric}"):
            held_out.check(loop.project, version)
        (told,) = calibration(Look(loop.project))
        assert told.verdict == "error" and f"The gate {metric} is refused" in told.found
        found = loop.judge.calibrate(tmp_path / "labelled.jsonl", metric=metric)
        assert (found.of, found.n, found.corrects) == (metric, 40, True)
        held_out.check(loop.project, version)
        (told,) = calibration(Look(loop.project))
        assert told.verdict == "ok" and "agrees with people on 100 %" in told.found
        with pytest.raises(UsageError, match="say whether an answer is right"):
            loop.judge.calibrate(metric=metric)


def approve(loop: Loop, kind: review.Kind, count: int, **detail: Any) -> None:
    """So many answers that a person put right."""
    model = loop.project.model.name
    wrong, right = (json.dumps({"intent": intent}) for intent in ("setup", "billing"))
    proposals = [
        review.Proposal(
            kind=kind,
            key=str(n),
            messages=[{"role": "user", "content": f"{kind} {n * 104729} {chr(97 + n % 23) * 5}"}],
            answer=wrong,
            proposal=right,
            detail=detail,
        )
        for n in range(count)
    ]
    review.enqueue(loop.workspace, proposals, model=model, double_share=0)
    for item in review.listing(loop.workspace, model, kind=kind):
        review.decide(
            loop.workspace,
            model=model,
            item=item.id,
            decision="approved",
            reviewer="ines",
            final=right,
        )


def test_what_was_put_right_counts_for_no_gate_but_its_own(start: Callable[..., Loop]) -> None:
    loop = start(420, gates=REGRESSION_GATES)
    before = preparing.prepare(loop.project)
    plan = plan_for(loop.project, before)
    assert [gate.name for gate in plan.gate_lock.gates] == ["held-out.accuracy"]
    assert any("regressions.accuracy does not apply yet" in note for note in plan.notes)
    found = held_out.held_out(loop.project, before)
    assert found.regressions == 0 and "regressions" not in found.cases

    approve(loop, "correction", 150)
    after = preparing.prepare(start(420, gates=REGRESSION_GATES).project)
    found, plan = held_out.held_out(loop.project, after), plan_for(loop.project, after)
    deciding, regressions = plan.suites
    assert (deciding.kind, regressions.kind) == ("held-out", "regressions")
    assert len(deciding.cases) + len(regressions.cases) == after.rows_eval
    assert found.deciding == len(deciding.cases) and found.regressions == len(regressions.cases)
    assert regressions.cases and all(not case.decides for case in regressions.cases)
    sizes = {size.gate.name: size for size in found.gates}
    assert 50 <= sizes["held-out.accuracy"].counted <= len(deciding.cases)
    assert sizes["regressions.accuracy"].counted == len(regressions.cases)
    assert f"{len(regressions.cases)} were found because something failed" in found.cases
    held_out.check(loop.project, after)


def test_corrections_do_not_make_up_for_cases_that_decide(start: Callable[..., Loop]) -> None:
    """144 rows are too few; 400 corrections held out beside them change nothing."""
    loop = start(144)
    approve(loop, "correction", 400)
    version = preparing.prepare(loop.project)
    assert version.rows_eval >= 50
    with pytest.raises(GateError, match=r"held-out\.accuracy counts \d+ held-out cases") as refused:
        held_out.check(loop.project, version)
    assert "add about 78 rows that it counts" in refused.value.remedy, "of 132 in scope"


def test_a_bundle_that_was_trained_on_every_regression_is_judged_without_them(
    start: Callable[..., Loop],
) -> None:
    loop = start(420, gates=REGRESSION_GATES)
    approve(loop, "correction", 150)
    plan = plan_for(loop.project, preparing.prepare(loop.project))
    known = {"regressions": [case.id for case in plan.suites[1].cases]}
    asked = plan.without(known)
    assert [suite.name for suite in asked.suites] == ["held-out"]
    assert [gate.name for gate in asked.gate_lock.gates] == ["held-out.accuracy"]


def bundle(dataset: str, run: str = "made elsewhere") -> Any:
    manifest = manifest_of(model="router", dataset={"digest": dataset}, training={"run": run})
    return SimpleNamespace(short="b1", manifest=manifest)


def test_a_case_that_a_bundle_was_trained_on_is_known(
    start: Callable[..., Loop], clock: Any, tmp_path: Path
) -> None:
    loop = start(420, "data.holdout_share=0.1")
    first = preparing.prepare(loop.project)
    clock.advance(minutes=1)
    loop = start(420, "data.holdout_share=0.2")
    second = preparing.prepare(loop.project)
    golden = tmp_path / "golden.jsonl"
    trained = versions.read_examples(loop.workspace, first, "train")
    seen = {"prompt": trained[-1].question.upper(), "completion": trained[-1].completion}
    fresh = {"prompt": "where is the nearest shop", "completion": '{"intent": "setup"}'}
    golden.write_text("".join(json.dumps(one) + "\n" for one in (seen, fresh)))
    suites = [{"name": "golden", "file": "golden.jsonl"}]
    loop = start(420, "data.holdout_share=0.2", suites=suites)
    plan = plan_for(loop.project, second)

    known = trained_on.known_to_bundle(loop.project, bundle(first.digest), plan.suites)
    held = {one.id: one.input_key for one in versions.read_examples(loop.workspace, second, "eval")}
    was_trained = {one.input_key for one in trained}
    moved = {case for case, key in held.items() if key in was_trained}
    assert moved and known["held-out"] == moved
    assert [case.question for case in plan.suites[1].cases if case.id in known["golden"]] == [
        seen["prompt"]
    ]
    newer = trained_on.known_to_bundle(loop.project, bundle(second.digest), plan.suites)
    assert newer["held-out"] == frozenset(), "the candidate was not trained on them"

    asked = plan.without(known)
    assert len(asked.main_suite.cases) == len(held) - len(moved)
    assert any(f"{len(moved)} cases of suite 'held-out' are left out" in n for n in asked.notes)
    assert asked.gate_lock.digest != plan.gate_lock.digest, "it is another evaluation"
