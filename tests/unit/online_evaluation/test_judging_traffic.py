"""A declared share of production's answers is judged, each once, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live_desk import capture, feedback, make_loop, put_live
from tuneloop.errors import BusyError, DataError, EvaluationError, UsageError
from tuneloop.evaluation.judging.judge import rubric_digest
from tuneloop.loop import Loop
from tuneloop.online_evaluation import calibrating, judged, judging
from tuneloop.online_evaluation.declared_judge import declared_judge
from tuneloop.online_evaluation.judging import JudgingRun
from tuneloop.setup.judged import calibrations
from tuneloop.testing.judge import judge_script, verdict
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace


class Server:
    """A judge whose version and opinion a test may change."""

    def __init__(self) -> None:
        self.model = "judge-1"
        self.say: Callable[[str], str] = lambda quoted: verdict(5 if "fine" in quoted else 1)

    def __call__(self, request: Received) -> Reply:
        return judge_script(lambda quoted: self.say(quoted), model=self.model)(request)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def upstream(server: Server) -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(server) as running:
        yield running


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path, upstream: ScriptedUpstream) -> Loop:
    judge = {"base_url": upstream.base_url, "model": "judge", "share": 1.0, "concurrency": 1}
    return make_loop(workspace, tmp_path / "desk", judge=judge)


def with_judge(loop: Loop, **changes: object) -> Loop:
    """The same workspace with another `judge` section."""
    declared = loop.model.judge
    assert declared is not None
    section = declared.model_dump(mode="json") | changes
    return make_loop(loop.workspace, loop.model_file.folder, judge=section)


def run(loop: Loop) -> JudgingRun:
    found = judging.judge_traffic(loop.project, loop.workspace.now())
    assert found is not None
    return found


def test_each_whole_answer_is_judged_once(loop: Loop, upstream: ScriptedUpstream, clock) -> None:
    live = put_live(loop, system="Answer in one word.")
    good = capture(loop, 3, bundle=live.id, at=clock())
    bad = capture(loop, 2, bundle=live.id, at=clock(), response="nonsense")
    for other in (
        {"tags": '{"probe": "golden"}'},
        {"status": 500, "error": "upstream_failed"},
        {"error": "broken_off"},
        {"tool_calls": "[]", "response": ""},
        {"operation": "embedding"},
        {"endpoint": "another"},
    ):
        capture(loop, 1, **{"bundle": live.id, "at": clock(), **other})
    clock.advance(hours=1)
    found = run(loop)
    assert (found.judged, found.unjudged, found.over_limit) == ({live.id: 5}, {}, 0)
    assert found.prompt_tokens + found.completion_tokens == 500
    assert found.judge == f"judge-1@{rubric_digest(loop.model.judge)[:12]}"  # type: ignore[arg-type]
    assert "not calibrated" in found.standing
    said = {row["interaction"]: row for row in feedback(loop, "judgement")}
    assert {one: row["value"]["score"] for one, row in said.items()} == (
        dict.fromkeys(good, 1.0) | dict.fromkeys(bad, 0.0)
    )
    one = said[good[0]]
    assert (one["user"], one["endpoint"], one["value"]["judge"]) == ("judge", "desk", found.judge)
    assert one["value"]["passed"] is True
    assert len(one["value"]["rubric"]) == 64
    assert "Answer in one word." in upstream.requests[0].body["messages"][1]["content"]

    again = run(loop)
    assert (again.judged, len(upstream.requests), len(feedback(loop, "judgement"))) == ({}, 5, 5)
    clock.advance(days=3)
    capture(loop, 1, bundle=live.id, at=clock())
    clock.advance(minutes=1)
    assert run(loop).judged == {live.id: 1}, "and the old ones stay judged"


def test_a_share_is_the_same_share_whenever_it_is_drawn(loop: Loop, clock) -> None:
    live = put_live(loop)
    capture(loop, 400, bundle=live.id, at=clock())
    clock.advance(hours=1)
    part = with_judge(loop, share=0.05)
    found = run(part).judged[live.id]
    assert 5 <= found <= 40, "400 × 0.05 = 20, give or take 4.5 standard deviations"
    judged_ones = {row["interaction"] for row in feedback(loop, "judgement")}
    assert run(part).judged == {}
    more = with_judge(loop, share=0.10)
    run(more)
    assert judged_ones < {row["interaction"] for row in feedback(loop, "judgement")}


def test_the_daily_limit_holds_over_runs_and_rubrics(loop: Loop, clock) -> None:
    live = put_live(loop)
    capture(loop, 10, bundle=live.id, at=clock())
    clock.advance(hours=1)
    small = with_judge(loop, daily_limit=4)
    first = run(small)
    assert (first.judged, first.over_limit) == ({live.id: 4}, 6)
    assert run(small).judged == {}
    assert run(with_judge(loop, daily_limit=4, rubric="Be brief.")).judged == {}
    clock.advance(days=1)
    assert run(small).judged == {live.id: 4}


def test_another_version_is_said_and_begins_a_new_baseline(
    loop: Loop, server: Server, clock
) -> None:
    live = put_live(loop)
    capture(loop, 2, bundle=live.id, at=clock())
    clock.advance(hours=1)
    before = run(loop)
    server.model = "judge-2"
    assert run(loop).changed_from is None, "nothing new was judged: nobody knows yet"
    capture(loop, 2, bundle=live.id, at=clock())
    clock.advance(minutes=1)
    after = run(loop)
    assert after.changed_from == before.judge
    assert str(after.judge).startswith("judge-2@")
    # The first two are judged by the new version too, and once.
    assert run(loop).judged == {live.id: 2}
    assert run(loop).judged == {}
    server.model = "judge-1"
    assert run(loop).judged == {}
    assert len(feedback(loop, "judgement")) == 6
    found = judged.summaries(loop.project, clock())
    assert {one.judge[:7]: one.score.n for one in found} == {"judge-1": 2, "judge-2": 4}


def test_no_verdict_is_counted_and_tried_again(loop: Loop, server: Server, clock) -> None:
    live = put_live(loop)
    capture(loop, 2, bundle=live.id, at=clock())
    capture(loop, 1, bundle=live.id, at=clock(), messages="[1]")
    clock.advance(hours=1)
    server.say = lambda quoted: "Lovely."
    found = run(loop)
    assert (found.judged, found.unjudged) == ({}, {"no_object": 2, "no_text": 1})
    assert found.bad_answers == {"no_object": 6}
    assert feedback(loop, "judgement") == []
    server.say = lambda quoted: verdict(3)
    assert run(loop).judged == {live.id: 2}


def test_a_judge_that_is_not_there_is_an_error_and_loses_nothing(
    workspace: Workspace, tmp_path: Path, clock
) -> None:
    judge = {"base_url": "http://127.0.0.1:9/v1", "model": "judge", "share": 1.0, "concurrency": 9}
    loop = make_loop(workspace, tmp_path / "desk", judge=judge)
    live = put_live(loop)
    capture(loop, 9, bundle=live.id, at=clock())
    clock.advance(hours=1)
    with pytest.raises(EvaluationError, match="does not answer"):
        run(loop)
    assert feedback(loop, "judgement") == []
    with (
        workspace.exclusive("judge-desk", doing="judge answers"),
        pytest.raises(BusyError),
    ):
        run(loop)


def test_without_a_judge_nothing_happens(workspace: Workspace, tmp_path: Path, clock) -> None:
    loop = make_loop(workspace, tmp_path / "desk")
    assert judging.judge_traffic(loop.project, clock()) is None
    with pytest.raises(UsageError, match="declares no judge"):
        declared_judge(loop.project)


def test_the_key_comes_from_the_environment_and_is_stored_nowhere(
    loop: Loop, upstream: ScriptedUpstream, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = put_live(loop)
    capture(loop, 1, bundle=live.id, at=clock())
    clock.advance(hours=1)
    keyed = with_judge(loop, api_key_env="DESK_JUDGE_KEY")
    with pytest.raises(UsageError, match="DESK_JUDGE_KEY"):
        run(keyed)
    monkeypatch.setenv("DESK_JUDGE_KEY", "sk-not-to-be-kept")
    assert run(keyed).judged == {live.id: 1}
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-not-to-be-kept"
    files = [path for path in loop.workspace.root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"sk-not-to-be-kept" in path.read_bytes()]


def test_calibration_on_a_file_stands_beside_what_the_judge_says(
    loop: Loop, server: Server, clock, tmp_path: Path
) -> None:
    live = put_live(loop)
    capture(loop, 8, bundle=live.id, at=clock())
    capture(loop, 2, bundle=live.id, at=clock(), response="nonsense")
    clock.advance(hours=1)
    run(loop)
    rows = [
        {"prompt": f"q {number}", "answer": answer, "correct": right}
        for number in range(25)
        for answer, right in (("fine", True), ("nonsense", False))
    ]
    # People find one answer right that the judge fails, and two wrong ones that it passes.
    rows += [{"prompt": "odd", "answer": "nonsense", "correct": True}]
    rows += [{"prompt": f"odd {n}", "answer": "fine", "correct": False} for n in range(2)]
    path = tmp_path / "labelled.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = calibrating.run(loop.project, calibrating.labelled_in(path), clock())
    assert (found.n, found.unjudged, found.corrects) == (53, 0, True)
    assert found.sensitivity is not None
    assert found.specificity is not None
    assert (found.sensitivity.value, found.specificity.value) == (25 / 26, 25 / 27)
    assert calibrations(loop.workspace, "desk") == [found]
    (week,) = judged.summaries(loop.project, clock())
    assert (week.passed.value, week.passed.n, week.tokens) == (0.8, 10, 1_000)
    assert week.corrected is not None
    se, sp = 25 / 26, 25 / 27
    assert week.corrected.value == pytest.approx((0.8 + sp - 1) / (se + sp - 1))
    assert found.summary in week.standing
    assert "not calibrated" not in run(loop).standing
    server.model = "judge-2"
    clock.advance(minutes=1)
    capture(loop, 1, bundle=live.id, at=clock())
    clock.advance(minutes=1)
    assert "not calibrated" in run(loop).standing, "another version is another judge"


def test_calibration_on_the_labels_of_captured_answers(loop: Loop, clock) -> None:
    live = put_live(loop)
    ids = capture(loop, 4, bundle=live.id, at=clock())
    values = ['"fine"', '"something else"', '{"correct":false}', '"something else"']
    rows = [
        {
            "id": f"label-{number}",
            "time": clock(),
            "interaction": interaction,
            "endpoint": "desk",
            "kind": "label",
            "value": value,
        }
        for number, (interaction, value) in enumerate(zip([*ids[:3], ids[0]], values, strict=True))
    ]
    loop.workspace.traffic.append("feedback", rows[:3])
    clock.advance(hours=1)
    labelled = calibrating.labelled_in_traffic(loop.project, clock())
    assert sorted(one.right for one in labelled) == [False, False, True]
    loop.workspace.traffic.append("feedback", [rows[3] | {"time": clock()}])
    clock.advance(hours=1)
    labelled = calibrating.labelled_in_traffic(loop.project, clock())
    assert sum(one.right for one in labelled) == 0, "the last label counts"
    with pytest.raises(UsageError, match="no labelled answer"):
        calibrating.run(loop.project, [], clock())


@pytest.mark.parametrize(
    "prompt",
    [
        {"question": "q", "label": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]},
        {"conversations": [{"from": "human", "value": "q"}]},
    ],
)
def test_a_labelled_answer_has_its_prompt_in_any_form(
    tmp_path: Path, prompt: dict[str, object]
) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(json.dumps({**prompt, "answer": "a", "correct": True, "expected": "b"}))
    (found,) = calibrating.labelled_in(path)
    assert found.exchange.messages == ({"role": "user", "content": "q"},)
    assert (found.exchange.answer, found.exchange.reference, found.right) == ("a", "b", True)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"prompt": "q", "answer": "a"}',
        '{"answer": "a", "correct": true}',
        '{"prompt": "q", "answer": "a", "correct": "yes"}',
        '{"prompt": "q", "answer": 3, "correct": true}',
        '{"messages": ["q"], "answer": "a", "correct": true}',
        '{"prompt": "q", "answer": "a", "correct": true, "expected": 3}',
    ],
)
def test_a_label_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text('{"prompt": "q", "answer": "a", "correct": true}\n\n' + line)
    with pytest.raises(DataError, match=r"labelled\.jsonl, line 3"):
        calibrating.labelled_in(path)
