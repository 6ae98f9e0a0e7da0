"""How many answers come back: counted right, and asked in the two states that it is about."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.repeatability import repeat, repeats_in, sentence, spread
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import ask
from tuneloop.evaluation.suites import Case, Messages, make_suite
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import TaskSettings
from tuneloop.progress import Silent


class Noted(Silent):
    """Progress that is remembered."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


CASES = [
    Case(id=f"{n:02}", messages=({"role": "user", "content": f"question {n}"},), expected="a")
    for n in range(30)
]


def said(*texts: str) -> list[Answer]:
    return [Answer(text=text) for text in texts]


@dataclass
class Server:
    """Answers by a rule, and counts how many questions it works on at a time."""

    rule: Callable[[str, bool, bool], str]
    """The question, whether it has company, and whether it is remembered → the answer."""
    sampling: Sampling = field(default_factory=Sampling)
    identity: str = "file"
    remembers: bool = True
    asked: list[tuple[str, bool]] = field(default_factory=list)
    company: threading.Barrier | None = None

    def complete(self, messages: Messages) -> Answer:
        question = messages[-1]["content"]
        self.asked.append((question, self.remembers))
        if self.company is not None and self.remembers:
            self.company.wait(10)
        return Answer(text=self.rule(question, self.company is not None, self.remembers))

    def without_memory(self) -> Server:
        return replace(self, remembers=False, company=None)


def evaluated(server: Server) -> SuiteResult:
    suite = make_suite("held-out", "held-out", CASES)
    return measure(ask(suite, server, concurrency=1), metrics_for(TaskSettings()))


def test_an_answer_repeats_when_it_does_so_in_both_states() -> None:
    before = said("a", "b", "c", "d")
    found = repeats_in(
        before, said("a", "x", "c", "d"), [*said("a", "b", "y"), Answer(error="timeout")]
    )
    assert (found.n, found.alone, found.together, found.repeated) == (4, 3, 2, 1)
    figure = found.as_json()
    assert figure["value"] == 0.25 and figure["low"] < 0.25 < figure["high"]
    assert sentence(figure) == (
        "served as evaluated: 1 of 4 answers repeated (0.05–0.70; alone 3, at once 2)"
    )
    assert sentence(repeats_in(before, before, before).as_json()) == (
        "served as evaluated: 4 of 4 answers repeated (0.51–1.00)"
    )


def test_cases_are_asked_alone_unremembered_and_then_together() -> None:
    server = Server(rule=lambda question, company, remembered: f"to {question}")
    main = evaluated(server)
    server.asked.clear()
    server.company = threading.Barrier(4)  # a question waits until there are four of them
    found = repeat(main, server, concurrency=4, limit=12)
    assert found is not None and found.figure.repeated == 12
    spread_over_all = (0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27)
    again = [CASES[i].messages[-1]["content"] for i in spread_over_all]
    assert server.asked[:12] == [(question, False) for question in again]
    assert sorted(server.asked[12:]) == sorted((question, True) for question in again)


@pytest.mark.parametrize(
    ("rule", "alone", "together"),
    [
        (lambda q, company, remembered: "other" if company else "same", 6, 0),
        (lambda q, company, remembered: "same" if remembered else "other", 0, 6),
    ],
)
def test_each_state_is_told_apart(
    rule: Callable[[str, bool, bool], str], alone: int, together: int
) -> None:
    server = Server(rule=rule)
    main = evaluated(server)
    server.company = threading.Barrier(1)
    found = repeat(main, server, concurrency=1, limit=6)
    assert found is not None
    assert (found.figure.alone, found.figure.together, found.figure.repeated) == (
        alone,
        together,
        0,
    )
    assert set(next(iter(found.texts.values()))) == {"same", "other"}


def test_a_server_that_cannot_forget_is_asked_alone_with_what_it_remembers() -> None:
    class Remembering(Server):
        def without_memory(self) -> None:  # type: ignore[override]
            return None

    server = Remembering(rule=lambda *_: "a")
    main, progress = evaluated(server), Noted()
    server.asked.clear()
    found = repeat(main, server, concurrency=2, limit=3, progress=progress)
    assert found is not None and found.figure.repeated == 3
    assert all(remembered for _, remembered in server.asked)
    assert any("cannot be asked to forget" in note for note in progress.notes), "and that is said"


def test_answers_drawn_at_random_are_not_expected_to_repeat() -> None:
    server = Server(rule=lambda *_: "a", sampling=Sampling(temperature=0.7))
    main = evaluated(server)
    asked = len(server.asked)
    assert repeat(main, server, concurrency=2) is None and len(server.asked) == asked


def test_few_cases_are_all_asked_and_many_are_spread() -> None:
    assert spread(CASES[:3], 12) == CASES[:3]
    assert [case.id for case in spread(CASES, 3)] == ["00", "10", "20"]
    assert spread(CASES, 0) == [] and spread([], 12) == []
    some = [int(case.id) for case in spread(CASES[:23], 12)]
    assert some == [0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21], "not the first twelve"
