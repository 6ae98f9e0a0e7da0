"""Who is asked at the same time: what is measured is not disturbed, and an error ends all."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tuneloop.errors import EvaluationError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation import stage
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.plan import EvaluationPlan, make_plan
from tuneloop.evaluation.repeatability import Repeats
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.scorers.base import Metric, Score
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.suites import Case, Messages, make_suite
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import TaskSettings
from tuneloop.workspace import Workspace


class Timed:
    """A target that remembers when it was asked, and who else was being asked then."""

    under_way: set[str] = set()  # noqa: RUF012  shared on purpose

    def __init__(self, name: str, seconds: float = 0.01) -> None:
        self.identity = name
        self.sampling = Sampling()
        self.seconds = seconds
        self.beside: set[str] = set()
        self.asked = 0

    def complete(self, messages: Messages) -> Answer:
        self.under_way.add(self.identity)
        self.asked += 1
        try:
            time.sleep(self.seconds)
            self.beside |= self.under_way - {self.identity}
        finally:
            self.under_way.discard(self.identity)
        return Answer(text="yes", finish_reason="stop")


def plan_of(
    cases: int, conditions: Mapping[str, str], metrics: Sequence[Metric] = ()
) -> EvaluationPlan:
    asked = [
        Case(id=str(i), messages=({"role": "user", "content": f"{i}?"},), expected="yes")
        for i in range(cases)
    ]
    return make_plan(
        model="m",
        suites=[make_suite("main", "golden", asked)],
        metrics=[*metrics_for(TaskSettings(system="Say yes.")), *metrics],
        conditions=conditions,
        sampling=Sampling(),
        concurrency=1,
    )


def run(
    workspace: Workspace,
    targets: Mapping[str, Timed],
    *,
    beside: bool,
    conditions: Mapping[str, str] | None = None,
    metrics: Sequence[Metric] = (),
    **more: Any,
) -> evaluations.Evaluation:
    candidate, *others = targets.values()
    return stage.evaluate(
        workspace,
        plan=plan_of(12, conditions or {}, metrics),
        target=candidate,
        references={
            name: Subject(target=target)
            for name, target in zip(list(targets)[1:], others, strict=True)
        },
        beside=beside,
        **more,
    )


@pytest.mark.parametrize(
    ("beside", "conditions", "meanwhile"),
    [
        (True, {}, True),
        (True, {"latency_p95_ms": "<= 9000"}, False),
        (False, {}, False),
    ],
)
def test_the_base_is_asked_meanwhile_where_two_fit_and_no_gate_judges_latency(
    workspace: Workspace, beside: bool, conditions: dict[str, str], meanwhile: bool
) -> None:
    slow = {"candidate": 0.01, "production": 0.01, "base": 0.02}
    targets = {name: Timed(name, seconds) for name, seconds in slow.items()}
    done = run(workspace, targets, beside=beside, conditions=conditions)
    assert [target.asked for target in targets.values()] == [12, 12, 12]
    others = {"candidate", "production"}
    assert targets["base"].beside == (others if meanwhile else set())
    assert others.isdisjoint(targets["candidate"].beside | targets["production"].beside)
    assert list(done.figures["comparisons"]) == ["production", "base"]
    notes = evaluations.read_report(workspace, done).as_json()["notes"]
    assert any("the base was asked while the others were" in note for note in notes) == meanwhile


def test_the_candidate_is_asked_again_while_the_base_is(workspace: Workspace) -> None:
    targets = {"candidate": Timed("candidate"), "base": Timed("base", seconds=0.02)}
    beside_again: set[str] = set()

    def again(main: SuiteResult) -> Repeats | None:
        targets["candidate"].beside = beside_again
        for case in main.suite.cases:
            targets["candidate"].complete(case.messages)
        return None

    run(workspace, targets, beside=True, ask_again=again)
    assert targets["candidate"].asked == 24
    assert beside_again == {"base"}


def test_who_has_answered_all_of_it_before_is_not_asked_meanwhile(workspace: Workspace) -> None:
    targets = {name: Timed(name) for name in ("candidate", "base")}
    first = run(workspace, targets, beside=True)
    again = run(workspace, targets, beside=True, conditions={"error_share": "<= 0.5"})
    assert targets["base"].asked == 12
    notes = evaluations.read_report(workspace, again).as_json()["notes"]
    assert not any("was asked while" in note for note in notes)
    assert [
        {answer.beside for answer in evaluations.answers_of_candidate(workspace, done).values()}
        for done in (first, again)
    ] == [{True}, {False}]


def test_a_gate_on_latency_takes_nothing_for_known_that_was_asked_beside_somebody(
    workspace: Workspace,
) -> None:
    targets = {name: Timed(name) for name in ("candidate", "base")}
    known = evaluations.answers_of_candidate(workspace, run(workspace, targets, beside=True))
    for gate, asked in (("error_share", 12), ("latency_p95_ms", 24)):
        run(workspace, targets, beside=True, conditions={gate: "<= 9000"}, known=known)
        assert targets["candidate"].asked == asked


def test_all_answers_are_scored_on_one_thread(workspace: Workspace) -> None:
    threads: set[str] = set()

    def score(case: Case, output: str) -> Score:
        threads.add(threading.current_thread().name)
        return Score(value=1.0)

    metric = Metric(name="thread", about="where it is scored", scorer=score)
    targets = {name: Timed(name) for name in ("candidate", "base")}
    run(workspace, targets, beside=True, metrics=(metric,))
    assert threads == {threading.current_thread().name}


def test_what_fails_meanwhile_stops_the_base_at_its_next_answer(workspace: Workspace) -> None:
    targets = {"candidate": Timed("candidate"), "base": Timed("base", seconds=0.1)}

    def fails(main: SuiteResult) -> Repeats | None:
        raise EvaluationError("the server is gone")

    with pytest.raises(EvaluationError, match="the server is gone"):
        run(workspace, targets, beside=True, ask_again=fails)
    assert targets["base"].asked <= 3
    assert not any(thread.name.startswith("alongside") for thread in threading.enumerate())
    # What was answered is kept, and the rest is asked.
    before = targets["base"].asked
    run(workspace, targets, beside=True)
    assert targets["base"].asked <= 12 + 1 and before >= 1
