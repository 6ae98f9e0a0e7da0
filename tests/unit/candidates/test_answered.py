"""What a file answered before counts only where it would answer as fast now."""

from __future__ import annotations

from pathlib import Path

from live_desk import make_loop
from tuneloop.candidates import answered, contents
from tuneloop.evaluation.runner import ask
from tuneloop.evaluation.suites import Case, Messages, make_suite
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.workspace import Workspace


class Slow:
    """A file that is served."""

    identity = "d" * 64
    sampling = Sampling()

    def complete(self, messages: Messages) -> Answer:
        """Answer."""
        return Answer(text="yes", latency_ms=900.0)


def test_answers_of_another_concurrency_are_asked_again(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Their latencies are of another load, and a gate may be on those."""
    four, again, eight = (
        make_loop(workspace, tmp_path / name, evaluation={"concurrency": at_once})
        for name, at_once in (("four", 4), ("again", 4), ("eight", 8))
    )
    case = Case(id="1", messages=({"role": "user", "content": "Is it late?"},))
    suite = make_suite("main", "golden", (case,))
    ask(suite, Slow(), folder=answered.tables_folder(four.project))
    known = answered.before(again.project, Slow(), "")
    assert [answer.latency_ms for answer in known.values()] == [900.0]
    assert answered.before(eight.project, Slow(), "") == {}


def test_as_many_cases_are_asked_at_a_time_as_the_server_has_slots(
    workspace: Workspace, tmp_path: Path
) -> None:
    """What a bundle says of its evaluation is the number itself, as in earlier releases."""

    def settings(name: str, **sections: object) -> dict[str, object]:
        return contents.evaluation_settings(
            make_loop(workspace, tmp_path / name, **sections).project
        )

    assert settings("default")["concurrency"] == 4 and "base_cases" not in settings("default")
    assert settings("slots", endpoint={"parallel_requests": 8})["concurrency"] == 8
    declared = {"endpoint": {"parallel_requests": 8}, "evaluation": {"concurrency": 2}}
    assert settings("declared", **declared)["concurrency"] == 2


def test_the_base_is_asked_fewer_cases_of_prose_alone(workspace: Workspace, tmp_path: Path) -> None:
    def base_cases(name: str, **sections: object) -> object:
        made = make_loop(workspace, tmp_path / name, **sections).project
        return contents.evaluation_settings(made).get("base_cases")

    prose = {"task": {"kind": "prose"}}
    assert base_cases("short", task={"kind": "short"}) is None
    assert base_cases("prose", **prose) == 50
    assert base_cases("declared", **prose, evaluation={"base_cases": 80}) == 80
