"""What a cycle learns from: approved answers and nothing else, and they win over older ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneloop import review
from tuneloop.candidates import held_out, preparing, trained_on
from tuneloop.candidates.planning import plan_for
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.errors import ConflictError
from tuneloop.loop import Loop
from tuneloop.modelfile import DataSettings, EvaluationSettings, ModelFile, ModelSettings
from tuneloop.modelfile.sections.data import TaskSettings
from tuneloop.modelfile.sections.evaluation import SuiteSettings
from tuneloop.modelfile.sections.retraining import ReviewSettings
from tuneloop.progress import Silent
from tuneloop.project import Project
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

PLACES = ("garage", "cellar", "attic", "kitchen", "garden", "office", "tower", "bridge", "museum")
THINGS = ("parcel", "invoice", "battery", "refund", "radiator", "order", "ladder", "kettle", "lamp")
GOLDEN = (
    "how do I reset the blinking lamp of my Tarn?",
    "why does the heater in the hall whistle at night",
)


def question(n: int) -> str:
    """Messages that have little in common."""
    return f"{THINGS[n % 9]} {n * 7919} {chr(97 + n % 23) * 3} in the {PLACES[n // 9 % 9]}"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def desk(workspace: Workspace, tmp_path: Path) -> Callable[..., Loop]:
    """A model whose file holds 60 rows and `more`; a golden suite of two cases."""

    def make(
        more: list[dict[str, Any]] | None = None, *, double_share: float = 0.0, **data: Any
    ) -> Loop:
        rows = [{"prompt": question(n), "completion": f"answer {n}"} for n in range(60)]
        write(tmp_path / "rows.jsonl", [*rows, *(more or [])])
        write(tmp_path / "golden.jsonl", [{"prompt": asked, "completion": "y"} for asked in GOLDEN])
        suites = (SuiteSettings(name="golden", file="golden.jsonl"),)
        settings = ModelSettings(
            name="router",
            base="base",
            task=TaskSettings(system="Be brief."),
            data=DataSettings(sources=("rows.jsonl",), **data),
            evaluation=EvaluationSettings(suites=suites),
            review=ReviewSettings(double_share=double_share),
        )
        file = ModelFile(path=tmp_path / "tuneloop.yaml", settings=settings, origins={})
        return Loop(Project(workspace=workspace, model_file=file, actor="ann"))

    return make


def corrected(loop: Loop, **edits: tuple[str, str, str]) -> dict[str, str]:
    """Put interactions with an edit into the queue: name → (asked, answered, edited)."""
    for name, (asked, answered, edited) in edits.items():
        row = {
            "id": name,
            "time": loop.workspace.now(),
            "endpoint": "router",
            "bundle": "b" * 64,
            "status": 200,
            "messages": json.dumps([{"role": "user", "content": asked}]),
            "response": answered,
        }
        loop.workspace.traffic.append("interactions", [row])
        feedback = {
            "id": f"f-{name}",
            "time": loop.workspace.now(),
            "interaction": name,
            "endpoint": "router",
            "kind": "edit",
            "value": json.dumps(edited),
        }
        loop.workspace.traffic.append("feedback", [feedback])
    loop.collect_corrections()
    return {str(item.interaction): item.id for item in items(loop) if item.interaction}


def items(loop: Loop, **wanted: Any) -> list[review.ReviewItem]:
    return review.listing(loop.workspace, "router", **{"status": None} | wanted)


def decide(loop: Loop, item: str, decision: Any, by: str = "ann", **more: Any) -> str:
    return review.decide(
        loop.workspace, model="router", item=item, decision=decision, reviewer=by, **more
    )


def texts(loop: Loop, version: DatasetVersion) -> dict[str, str]:
    """Everything that is stored of a version, file by file."""
    folder = loop.workspace.artifacts.get(version.digest)
    return {path.name: path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def left_out(loop: Loop, version: DatasetVersion) -> dict[str, str]:
    """Question → reason."""
    rows = versions.read_left_out(loop.workspace, version)
    return {row["excerpt"]: row["reason"] for row in rows}


def trained(loop: Loop, version: DatasetVersion) -> dict[str, str]:
    return {
        example.question: example.completion
        for side in ("train", "eval")
        for example in versions.read_examples(loop.workspace, version, side)  # type: ignore[arg-type]
    }


STATES: dict[str, list[tuple[str, str]]] = {
    "open": [],
    "skipped": [("ann", "skipped")],
    "rejected": [("ann", "rejected"), ("bob", "rejected")],
    "second": [("ann", "approved")],
    "disputed": [("ann", "approved"), ("bob", "rejected")],
    "settled_against": [("ann", "approved"), ("bob", "rejected"), ("eve", "rejected")],
    "undone": [("ann", "approved"), ("bob", "approved"), ("ann", "undo")],
    "approved": [("ann", "approved"), ("bob", "approved")],
    "settled_for": [("ann", "rejected"), ("bob", "approved"), ("eve", "approved")],
}


def test_nothing_but_what_was_approved_is_anywhere_in_a_version(desk: Callable[..., Loop]) -> None:
    loop = desk(double_share=1.0)
    ids = corrected(
        loop,
        **{
            name: (f"{question(n)} ask-{name}", f"raw-{name}", f"fix-{name}")
            for n, name in enumerate(STATES, start=100)
        },
        never_edited=(question(200) + " ask-never_edited", "raw-never_edited", "raw-never_edited"),
    )
    for name, steps in STATES.items():
        for by, step in steps:
            if step == "undo":
                review.undo(loop.workspace, model="router", item=ids[name], reviewer=by)
            else:
                decide(loop, ids[name], step, by)
    version = preparing.prepare(loop.project)
    stored = texts(loop, version)
    everything = "".join(stored.values())
    good = {"approved", "settled_for"}
    for name in [*STATES, "never_edited"]:
        for word in ("ask", "raw", "fix"):
            assert (f"{word}-{name}" in everything) == (name in good), f"{word}-{name}"
    for name in good:
        assert f"fix-{name}" in stored["train.jsonl"] + stored["eval.jsonl"]
        assert f"raw-{name}" not in stored["train.jsonl"] + stored["eval.jsonl"]
        assert f"raw-{name}" in stored["preferences.jsonl"] + stored["preferences_eval.jsonl"]
    assert version.report["reviewers"] == ["ann", "bob", "eve"]
    assert set(version.report["review_items"]) == {ids[name] for name in good}


@pytest.mark.parametrize("answers", [("hours", "opening"), (f"See {'x' * 60}", f"Try {'y' * 60}")])
def test_an_approved_answer_replaces_the_old_one(
    desk: Callable[..., Loop], answers: tuple[str, str]
) -> None:
    """Labels as well as free text, which may otherwise be right in several wordings."""
    old, new = answers
    asked = "is the shop open on Sunday afternoons"
    loop = desk([{"prompt": f"{asked}?", "completion": old}])
    assert trained(loop, preparing.prepare(loop.project))[f"{asked}?"] == old
    ids = corrected(loop, one=(asked, old, new))
    decide(loop, ids["one"], "approved")
    version = preparing.prepare(loop.project)
    assert [a for q, a in trained(loop, version).items() if q.startswith(asked)] == [new]
    assert left_out(loop, version)[f"{asked}?"] == "outdated"
    (shown,) = version.report["outdated"]["shown"]
    assert shown["row"] == "rows.jsonl, line 61"
    assert ids["one"] in shown["detail"]


def test_contradictions_go_to_a_person_and_the_choice_holds(desk: Callable[..., Loop]) -> None:
    asked = "is the shop open on Sunday afternoons"
    more = [
        {"prompt": f"{asked}?", "completion": "hours"},
        {"prompt": asked, "completion": "place"},
        {"prompt": f"please, {asked}", "completion": "place"},
    ]
    loop = desk(more)
    first = preparing.prepare(loop.project)
    assert sorted(left_out(loop, first).values()) == ["contradiction"] * 3
    preparing.prepare(loop.project)
    (item,) = items(loop, kind="contradiction")
    assert [(one["answer"], len(one["rows"])) for one in item.detail["answers"]] == [
        ("place", 2),
        ("hours", 1),
    ]
    assert item.proposal == "place"
    assert [message["role"] for message in item.messages] == ["user"], "the system text is ours"
    decide(loop, item.id, "approved", final="hours")
    version = preparing.prepare(loop.project)
    assert {a for q, a in trained(loop, version).items() if asked in q} == {"hours"}
    assert version.report["preferences"]["train"] == 0, "no model said the other answer"
    # Two corrections that contradict each other must be chosen between again.
    ids = corrected(loop, one=(asked, "x", "place"), two=(asked, "x", "phone"))
    for name in ("one", "two"):
        decide(loop, ids[name], "approved")
    version = preparing.prepare(loop.project)
    assert {a for q, a in trained(loop, version).items() if asked in q} == {"hours"}


def test_contradictory_corrections_are_chosen_between(
    desk: Callable[..., Loop], clock: Any
) -> None:
    loop = desk()
    asked = "is the shop open on Sunday afternoons"
    ids = corrected(loop, one=(asked, "x", "place"), two=(f"{asked}?", "x", "phone"))
    for name in ids:
        decide(loop, ids[name], "approved")
    assert asked not in trained(loop, preparing.prepare(loop.project))
    (item,) = items(loop, kind="contradiction")
    clock.advance(minutes=1)
    decide(loop, item.id, "approved", final="phone")
    version = preparing.prepare(loop.project)
    assert {a for q, a in trained(loop, version).items() if asked in q} == {"phone"}
    pairs = [json.loads(line) for line in pair_lines(loop, version)]
    assert {pair["chosen"] for pair in pairs} == {"phone"}


def pair_lines(loop: Loop, version: DatasetVersion) -> list[str]:
    stored = texts(loop, version)
    return (stored["preferences.jsonl"] + stored["preferences_eval.jsonl"]).splitlines()


def test_edits_make_preference_pairs(desk: Callable[..., Loop]) -> None:
    """Old names and addresses included; a sample's is on the held-out side, as the sample is."""
    loop = desk(retired_terms={"Tarn": "Skerry"}, redact_personal_data="redact")
    ids = corrected(
        loop,
        edited=("my Tarn hums, ann@example.com", "Restart the Tarn, bob@example.com", "Oil it"),
        renamed=("what is the small lamp called", "It is the Tarn", "It is the Tarn lamp"),
        private=("whom do I ask about my lease", "ask ann@example.com", "ask bob@example.com"),
    )
    for name in ids:
        decide(loop, ids[name], "approved")
    samples = [
        review.Proposal(
            kind="sample",
            key=name,
            messages=[{"role": "user", "content": asked}],
            answer="as it was",
            proposal="as it was",
        )
        for name, asked in (("right", "where does the ferry start"), ("wrong", "who paints doors"))
    ]
    assert review.enqueue(loop.workspace, samples, model="router", double_share=0.0) == 2
    assert review.enqueue(loop.workspace, samples, model="router", double_share=0.0) == 0
    right, wrong = items(loop, kind="sample")
    decide(loop, right.id, "approved")
    decide(loop, wrong.id, "approved", final="the painter")
    assert [one.edited for one in review.decided(loop.workspace, "router", kind="sample")] == [
        False,
        True,
    ]

    version = preparing.prepare(loop.project)
    pairs = {
        pair["messages"][-1]["content"]: (pair["chosen"], pair["rejected"])
        for pair in map(json.loads, pair_lines(loop, version))
    }
    assert pairs == {
        "my Skerry hums, [EMAIL]": ("Oil it", "Restart the Tarn, [EMAIL]"),
        "what is the small lamp called": ("It is the Skerry lamp", "It is the Tarn"),
        "who paints doors": ("the painter", "as it was"),
    }
    counts = version.report["preferences"]
    assert counts["train"] + counts["eval"] == 3
    assert counts["left_out"] == {"equal_answers": 1}, "two addresses look the same when redacted"
    pair_of_sample = json.loads(texts(loop, version)["preferences_eval.jsonl"].splitlines()[-1])
    held_out = {one.question for one in versions.read_examples(loop.workspace, version, "eval")}
    assert {"where does the ferry start", "who paints doors"} <= held_out
    assert "who paints doors" not in texts(loop, version)["preferences.jsonl"]
    assert pair_of_sample["tags"]["kind"] in ("sample", "correction")


class Heard(Silent):
    """Keeps what is worth reading."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def sampled(loop: Loop, **answers: tuple[str, str, str, float]) -> None:
    """Decide samples: name → (asked, answered, right, weight)."""
    proposals = [
        review.Proposal(
            kind="sample",
            key=name,
            messages=[{"role": "user", "content": asked}],
            answer=answered,
            proposal=answered,
            detail={"weight": weight},
        )
        for name, (asked, answered, _, weight) in answers.items()
    ]
    review.enqueue(loop.workspace, proposals, model="router", double_share=0.0)
    right = {asked: right for asked, _, right, _ in answers.values()}
    for item in items(loop, kind="sample", status="open"):
        decide(loop, item.id, "approved", final=right[item.question])


def sides(loop: Loop, version: DatasetVersion) -> dict[str, str]:
    """Question → the side that it is on."""
    return {
        example.question: side
        for side in ("train", "eval")
        for example in versions.read_examples(loop.workspace, version, side)  # type: ignore[arg-type]
    }


def test_samples_of_live_traffic_are_cases_whether_right_or_wrong(
    desk: Callable[..., Loop], clock: Any
) -> None:
    loop = desk()
    first = preparing.prepare(loop.project)
    clock.advance(minutes=1)
    answers = {
        f"s{n}": (question(100 + n), "as it was", ("as it was", "better")[n % 2], 1.0 + n)
        for n in range(20)
    }
    sampled(loop, **answers)
    version = preparing.prepare(loop.project)
    placed, before = sides(loop, version), sides(loop, first)
    assert {placed[asked] for asked, *_ in answers.values()} == {"eval"}
    assert {q: placed[q] for q in before} == before, "no other row makes room for them"
    suite, *others = plan_for(loop.project, version).suites
    assert [one.name for one in others] == ["golden"]
    drawn = {case.question: case for case in suite.cases if case.is_live_sample}
    assert {asked: case.weight for asked, case in drawn.items()} == {
        asked: weight for asked, _, _, weight in answers.values()
    }
    assert {case.expected for case in drawn.values()} == {"as it was", "better"}
    found = held_out.held_out(loop.project, version)
    assert (found.live_samples, found.regressions) == (20, 0)
    assert "20 of them samples of live traffic" in found.cases


def test_whether_a_sample_is_a_case_depends_on_its_question_alone(
    desk: Callable[..., Loop], clock: Any
) -> None:
    """What asks what is trained on is none, right or wrong; what asks what is new is one."""
    loop = desk()
    first = preparing.prepare(loop.project)
    clock.advance(minutes=1)
    learnt = [q for q, side in sides(loop, first).items() if side == "train"][:2]
    answer_of = trained(loop, first)
    new = [question(200), question(201)]
    loop = desk([{"prompt": asked, "completion": "as it was"} for asked in new])
    sampled(
        loop,
        right=(learnt[0], answer_of[learnt[0]], answer_of[learnt[0]], 1.0),
        wrong=(learnt[1], answer_of[learnt[1]], "another", 1.0),
        new_right=(new[0], "as it was", "as it was", 1.0),
        new_wrong=(new[1], "as it was", "another", 1.0),
    )
    version = preparing.prepare(loop.project)
    placed = sides(loop, version)
    assert [placed[asked] for asked in learnt] == ["train", "train"]
    assert trained(loop, version)[learnt[1]] == "another", "it is put right where it is learnt"
    assert [placed[asked] for asked in new] == ["eval", "eval"]
    suite = plan_for(loop.project, version).main_suite
    assert {case.question for case in suite.cases if case.is_live_sample} == set(new)


def test_a_sample_that_an_earlier_release_trained_on_is_held_out_and_known(
    desk: Callable[..., Loop], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = desk()
    answers = {f"s{n}": (question(100 + n), "raw", "better", 2.0) for n in range(12)}
    sampled(loop, **answers)
    rows = [
        {**row, "tags": {key: tag for key, tag in row["tags"].items() if key != "weight"}}
        for row in review.sampled_rows(loop.workspace, "router")
    ]
    with monkeypatch.context() as earlier:
        earlier.setattr(review, "approved_rows", lambda *_, **__: rows)
        earlier.setattr(review, "sampled_rows", lambda *_, **__: [])
        first = preparing.prepare(loop.project)
    learnt = {q for q, side in sides(loop, first).items() if side == "train"}
    moved = learnt & {asked for asked, *_ in answers.values()}
    assert moved
    clock.advance(minutes=1)
    version = preparing.prepare(loop.project)
    assert {sides(loop, version)[asked] for asked, *_ in answers.values()} == {"eval"}
    assert version.validation is not None
    split = next(check for check in version.validation["checks"] if check["name"] == "split")
    assert f"{len(moved)} samples of live traffic moved" in split["detail"]
    suites = plan_for(loop.project, version).suites
    bundle = SimpleNamespace(
        short="b1",
        manifest=manifest_of(
            model="router", dataset={"digest": first.digest}, training={"run": ""}
        ),
    )
    known = trained_on.known_to_bundle(loop.project, bundle, suites)["held-out"]  # type: ignore[arg-type]
    assert {case.question for case in suites[0].cases if case.id in known} == moved


def test_a_sample_that_was_rejected_is_named(desk: Callable[..., Loop]) -> None:
    """It has no right answer, so it is missing among the cases, and that leans to the easy ones."""
    loop = desk()
    sampled(loop, one=(question(100), "raw", "raw", 1.0))
    review.enqueue(
        loop.workspace,
        [
            review.Proposal(
                kind="sample",
                key="bad",
                messages=[{"role": "user", "content": question(101)}],
                answer="raw",
                proposal="raw",
            )
        ],
        model="router",
        double_share=0.0,
    )
    (item,) = items(loop, kind="sample", status="open")
    decide(loop, item.id, "rejected")
    heard = Heard()
    version = preparing.prepare(replace(loop.project, progress=heard))
    assert question(101) not in trained(loop, version)
    assert any("1 more was rejected without a right answer" in note for note in heard.notes)


def test_no_test_case_is_learned_by_way_of_production(desk: Callable[..., Loop]) -> None:
    loop = desk()
    golden, other = GOLDEN
    held_out = versions.read_examples(loop.workspace, preparing.prepare(loop.project), "eval")[
        0
    ].question
    ids = corrected(
        loop,
        same=(golden, "x", "press it"),
        slip=(other.replace("whistle", "wistle"), "x", "press it twice"),
        wrapped=(f"Dear team, I hope you are all well! {golden} Yours, Ann", "x", "press it soon"),
        held=(held_out, "x", "another answer"),
    )
    for name in ids:
        decide(loop, ids[name], "approved")
    version = preparing.prepare(loop.project)
    stored = texts(loop, version)
    for file in ("train.jsonl", "preferences.jsonl"):
        assert "blinking" not in stored[file]
        assert "wistle" not in stored[file]
        assert held_out not in stored[file]
    reasons = left_out(loop, version)
    assert reasons[golden] == "suite_case"
    assert reasons[other.replace("whistle", "wistle")] == "suite_case"
    assert sorted(reasons.values()).count("leak") == 1
    assert version.report["leak_check"]["leaks"] == 1
    (pair,) = map(json.loads, stored["preferences_eval.jsonl"].splitlines())
    assert pair["messages"][-1]["content"] == held_out


def test_a_decision_that_a_version_used_is_not_undone(desk: Callable[..., Loop]) -> None:
    loop = desk()
    ids = corrected(
        loop, one=(question(100), "x", "right one"), two=(question(101), "x", "right two")
    )
    for name in ids:
        decide(loop, ids[name], "approved")
    review.undo(loop.workspace, model="router", item=ids["two"], reviewer="ann")
    version = preparing.prepare(loop.project)
    assert question(101) not in trained(loop, version)
    with pytest.raises(ConflictError, match=version.label):
        review.undo(loop.workspace, model="router", item=ids["one"], reviewer="ann")


def test_a_version_is_validated_against_the_last(desk: Callable[..., Loop], clock: Any) -> None:
    labels = [
        {"prompt": question(n), "completion": json.dumps({"intent": ("a", "b")[n % 2], "ok": 1})}
        for n in range(100, 400)
    ]
    loop = desk(labels)
    first = preparing.prepare(loop.project)
    assert first.validation is None
    assert preparing.prepare(loop.project).validation is None, "it is the same version"
    shifted = [
        {"prompt": question(n) + " and so on" * 9, "completion": '{"intent": "a"}'}
        for n in range(400, 700)
    ]
    clock.advance(days=1)
    second = preparing.prepare(desk([*labels, *shifted]).project)
    assert second.validation is not None
    assert second.validation["against"] == first.label
    changed = {c["name"] for c in second.validation["checks"] if c["verdict"] == "changed"}
    assert changed == {"answer key: ok", "length of the prompts", "length of the answers",
                       "answers: intent"}  # fmt: skip
    clock.advance(days=1)
    third = preparing.prepare(
        desk([*labels, *shifted, {"prompt": "one more", "completion": "x"}]).project
    )
    assert third.validation is not None
    assert third.validation["changed"] == 0
    clock.advance(days=1)
    fewer = preparing.prepare(desk(labels[:20]).project).validation
    assert fewer is not None
    assert "rows" in {c["name"] for c in fewer["checks"] if c["verdict"] == "changed"}
