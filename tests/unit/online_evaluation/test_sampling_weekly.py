"""The weekly sample: the same whenever it is drawn, small slices seen, verdicts become labels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live_desk import SCHEMA, capture, feedback, make_loop, put_live
from tuneloop import review
from tuneloop.loop import Loop
from tuneloop.modelfile import AbstainSettings, TaskSettings
from tuneloop.online_evaluation import sampling
from tuneloop.online_evaluation.sampling import draw, queue_sample, slice_of
from tuneloop.review import ReviewItem
from tuneloop.task.answer_form import confirms
from tuneloop.workspace import Workspace

TASK = TaskSettings(output_schema=SCHEMA, abstain=AbstainSettings(field="intent", value="human"))


def answer(intent: str) -> str:
    return json.dumps({"intent": intent})


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path) -> Loop:
    return make_loop(
        workspace,
        tmp_path / "desk",
        task=TASK.model_dump(mode="json"),
        sample={"per_week": 6},
    )


def decide(
    loop: Loop, item: ReviewItem, decision: review.Decision, final: str | None = None
) -> None:
    review.decide(
        loop.workspace, model="desk", item=item.id, decision=decision, reviewer="ines", final=final
    )


def test_last_weeks_answers_are_queued_once(loop: Loop, clock) -> None:
    live = put_live(loop)
    clock.advance(days=2)  # Wednesday
    for intent, count in (("refund", 40), ("delivery", 20), ("human", 1)):
        capture(loop, count, bundle=live.id, at=clock(), response=answer(intent))
    capture(loop, 5, bundle=live.id, at=clock(), tags='{"probe": "golden"}')
    assert queue_sample(loop.project, clock()).answers == 0, "this week is not over"
    clock.advance(days=5)  # Monday
    found = queue_sample(loop.project, clock())
    assert (found.week, found.answers, found.new, found.labels) == ("2026-W10", 61, 6, 0)
    assert found.slices["human"] == 1, "the one answer of a small slice is seen"
    assert sum(found.slices.values()) == 6
    items = review.listing(loop.workspace, "desk", kind="sample")
    assert len(items) == 6
    assert all(item.proposal == item.answer for item in items)
    assert items[0].question.startswith("question")
    weights = Counter[str]()
    for item in items:
        weights[item.detail["slice"]] += item.detail["weight"]
    assert dict(weights) == {"refund": 40, "delivery": 20, "human": 1}

    clock.advance(days=3)
    again = queue_sample(loop.project, clock())
    assert (again.new, again.week) == (0, found.week)
    clock.advance(days=4)
    assert queue_sample(loop.project, clock()).answers == 0


def test_what_people_decide_becomes_a_label(loop: Loop, clock) -> None:
    live = put_live(loop)
    capture(loop, 6, bundle=live.id, at=clock(), response=answer("refund"))
    clock.advance(days=7)
    queue_sample(loop.project, clock())
    items = review.listing(loop.workspace, "desk", kind="sample")
    decide(loop, items[0], "approved")
    decide(loop, items[1], "approved", answer("delivery"))
    decide(loop, items[2], "rejected")
    decide(loop, items[3], "skipped")
    assert queue_sample(loop.project, clock()).labels == 3
    assert queue_sample(loop.project, clock()).labels == 0
    labels = {row["interaction"]: row for row in feedback(loop, "label")}
    assert labels[items[0].interaction]["value"] == answer("refund")
    assert labels[items[1].interaction]["value"] == answer("delivery")
    assert labels[items[2].interaction]["value"] == {"correct": False}
    assert {row["user"] for row in labels.values()} == {"ines"}
    right = [
        confirms(json.dumps(labels[item.interaction]["value"]), item.answer) for item in items[:3]
    ]
    assert right == [True, False, False]
    assert review.approved_rows(loop.workspace, "desk") == [], "nothing of it is learnt"
    cases = {row["tags"]["review"]: row for row in review.sampled_rows(loop.workspace, "desk")}
    assert cases.keys() == {items[0].id, items[1].id}, "right or wrong, where it is known"
    assert cases[items[0].id]["messages"][-1]["content"] == answer("refund")
    assert cases[items[1].id]["chosen"] == answer("delivery")
    weight = f"{items[0].detail['weight']:g}"
    assert cases[items[0].id]["tags"] == {
        "origin": "correction",
        "kind": "sample",
        "review": items[0].id,
        "reviewer": "ines",
        "weight": weight,
    }

    clock.advance(minutes=1)
    review.undo(loop.workspace, model="desk", item=items[2].id, reviewer="ines")
    decide(loop, items[2], "approved")
    assert queue_sample(loop.project, clock()).labels == 1
    assert queue_sample(loop.project, clock()).labels == 0
    last = {row["interaction"]: row["value"] for row in feedback(loop, "label")}
    assert last[items[2].interaction] == answer("refund"), "the last decision counts"
    figure = sampling.accuracy(loop.project)
    assert figure is not None
    assert (figure.value, figure.n) == (pytest.approx(2 / 3), 3)


def test_a_sample_of_prose_is_right_where_no_more_than_its_form_was_edited(
    workspace: Workspace, tmp_path: Path, clock
) -> None:
    loop = make_loop(workspace, tmp_path / "desk", task={"kind": "prose"})
    said = "She takes 5 mg daily and feels well."
    capture(loop, 4, bundle=put_live(loop).id, at=clock(), response=said)
    clock.advance(days=7)
    queue_sample(loop.project, clock())
    items = review.listing(loop.workspace, "desk", kind="sample")
    finals = (said, "she takes 5 mg daily,\nand feels well", said.replace("5", "6"), None)
    for item, final in zip(items, finals, strict=True):
        decide(loop, item, "approved" if final else "rejected", final)
    figure = sampling.accuracy(loop.project)
    assert figure is not None and (figure.value, figure.n) == (0.5, 4)
    queue_sample(loop.project, clock())
    labels = {row["interaction"]: json.dumps(row["value"]) for row in feedback(loop, "label")}
    right = [confirms(labels[str(item.interaction)], said) for item in items]
    assert right == [True, True, False, False], "monitors and the judge's calibration read it so"


def test_nothing_sampled_tells_nothing(loop: Loop) -> None:
    assert sampling.accuracy(loop.project) is None


@given(
    st.dictionaries(st.integers(0, 10**6).map(str), st.sampled_from("abcdefgh"), max_size=60),
    st.integers(0, 30),
)
def test_a_draw_is_whole_weighted_and_repeatable(slices: dict[str, str], size: int) -> None:
    drawn = draw(slices, size, week="2026-W10")
    assert len({one.id for one in drawn}) == len(drawn) == min(size, len(slices))
    assert draw(dict(reversed(slices.items())), size, week="2026-W10") == drawn
    seen, there = {one.slice for one in drawn}, set(slices.values())
    assert len(seen) == min(len(there), size)
    for name in seen:
        weight = sum(one.weight for one in drawn if one.slice == name)
        assert weight == pytest.approx(sum(of == name for of in slices.values()))


def test_weeks_draw_differently_and_each_answer_has_its_chance() -> None:
    slices = {str(number): "a" if number < 90 else "b" for number in range(100)}
    counts = Counter(one.id for week in range(400) for one in draw(slices, 10, week=f"w{week}"))
    assert set(counts) == set(slices)
    # One of ten b's at least, and about one in ten of the a's: 400 × 9 / 90 = 40 each.
    assert max(counts[str(number)] for number in range(90)) < 40 + 5 * 6
    assert min(counts[str(number)] for number in range(90)) > 40 - 5 * 6
    assert min(counts[str(number)] for number in range(90, 100)) > 15


def test_the_weights_undo_the_oversampling() -> None:
    """A slice that is 1 % of the traffic and always wrong, in every sample."""
    right = {str(number): number >= 10 for number in range(1_000)}
    slices = {one: "common" if ok else "rare" for one, ok in right.items()}
    weighted, plain = [], []
    for week in range(60):
        drawn = draw(slices, 10, week=f"w{week}")
        total = sum(one.weight for one in drawn)
        weighted.append(sum(one.weight for one in drawn if right[one.id]) / total)
        plain.append(sum(right[one.id] for one in drawn) / len(drawn))
    assert sum(weighted) / 60 == pytest.approx(0.99, abs=0.005)
    assert sum(plain) / 60 < 0.91


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (answer("refund"), "refund"),
        ('{"intent": 3}', "other"),
        ("{}", "other"),
        ("free text", "other"),
        ("[" * 5_000, "other"),
    ],
)
def test_a_slice_is_what_the_answer_took_the_request_for(text: str, name: str) -> None:
    assert slice_of(text, TASK) == name
    assert slice_of(text, TaskSettings()) == "other"
