import json
from pathlib import Path

import pytest

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.runner import ask, prompt_digest
from tuneloop.evaluation.suites import Suite
from tuneloop.evaluation.targets import Answer, Sampling


@pytest.fixture
def suite(parts) -> Suite:
    return parts.suite([parts.case(str(i), "x", question=f"q{i}") for i in range(40)])


def test_every_case_is_asked_once(suite: Suite, parts) -> None:
    target = parts.target(str.upper)
    found = ask(suite, target, concurrency=8)
    assert {case.id: f"Q{case.id}" for case in suite.cases} == {
        id: answer.text for id, answer in found.answers.items()
    }
    assert len(target.asked) == 40


def test_what_takes_longest_is_asked_first(parts) -> None:
    """Or a slot has a long answer to write when all others have nothing left to do."""
    cases = [
        parts.case("short", "x", question="q1"),
        parts.case("long question", "x", question="q2 " + "word " * 30),
        parts.case("long answer", "x" * 100, question="q3"),
    ]
    target = parts.target(lambda question: question)
    ask(parts.suite(cases), target, concurrency=1)
    assert [question[:2] for question in target.asked] == ["q3", "q2", "q1"]


def test_an_interrupted_run_continues_and_a_finished_one_asks_nothing(
    suite: Suite, parts, tmp_path: Path
) -> None:
    def dies(question: str) -> str:
        if question == "q35":
            raise KeyboardInterrupt
        return question

    with pytest.raises(KeyboardInterrupt):
        ask(suite, parts.target(dies), folder=tmp_path, concurrency=1)
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("a") as file:
        file.write('{"prompt": "39", "answer": {"te')  # a kill in mid-line
    target = parts.target(lambda q: q)
    found = ask(suite, target, folder=tmp_path, concurrency=1)
    assert found.reused == 40 - len(target.asked) > 20 and "q35" in target.asked
    again = parts.target(lambda q: q)
    assert ask(suite, again, folder=tmp_path).reused == 40 and not again.asked


def test_only_answers_of_the_same_target_sampling_and_prompt_are_reused(
    suite: Suite, parts, tmp_path: Path
) -> None:
    ask(suite, parts.target(lambda q: q, "one"), folder=tmp_path)
    other = parts.target(lambda q: q, "two")
    ask(suite, other, folder=tmp_path)
    assert len(other.asked) == 40
    hot = parts.target(lambda q: q, "one")
    hot.sampling = Sampling(temperature=1.0)
    ask(suite, hot, folder=tmp_path)
    assert len(hot.asked) == 40
    grown = parts.suite(
        [*suite.cases, parts.case("new", "x"), parts.case("again", "other", question="q1")],
        name="another",
    )
    same = parts.target(lambda q: "now " + q, "one")
    found = ask(grown, same, folder=tmp_path)
    assert same.asked == ["hello new"] and found.reused == 41
    assert (found.answers["0"].text, found.answers["again"].text) == ("q0", "q1")


def test_what_a_target_said_elsewhere_is_not_asked_again(
    suite: Suite, parts, tmp_path: Path
) -> None:
    known = {prompt_digest(case.messages): Answer(text="known") for case in suite.cases[:30]}
    target = parts.target(lambda q: q)
    found = ask(suite, target, known=known, folder=tmp_path)
    assert len(target.asked) == 10 and found.reused == 30
    assert found.answers["0"].text == "known" and found.answers["39"].text == "q39"


def test_failed_requests_are_kept_as_failures_and_asked_again_next_time(
    suite: Suite, parts, tmp_path: Path
) -> None:
    def sometimes(question: str) -> str | Answer:
        return Answer(error="http_500: x") if question == "q3" else question

    found = ask(suite, parts.target(sometimes), folder=tmp_path)
    assert found.answers["3"].error == "http_500: x"
    healed = parts.target(lambda q: q)
    assert ask(suite, healed, folder=tmp_path).answers["3"].text == "q3"
    assert healed.asked == ["q3"]


def test_a_dead_server_stops_the_run_instead_of_scoring_zero(suite: Suite, parts) -> None:
    target = parts.target(lambda q: Answer(error="connection: refused"))
    with pytest.raises(EvaluationError, match=r"first 20 requests .* all failed.*refused"):
        ask(suite, target, concurrency=1)
    assert len(target.asked) < 30


def test_prompts_that_are_too_long_are_failures_of_a_live_server(
    suite: Suite, parts, tmp_path: Path
) -> None:
    """Whoever asks again asks them alone: they would look like a server that is not there."""

    def short_only(question: str) -> str | Answer:
        too_long = Answer(error="context_length_exceeded: 3,009 tokens")
        return too_long if question == "q3" else question

    ask(suite, parts.target(short_only), folder=tmp_path)
    again = ask(suite, parts.target(short_only), folder=tmp_path)
    assert again.reused == 39 and again.answers["3"].error is not None


def test_any_text_survives_the_log(parts, tmp_path: Path) -> None:
    odd = "\ud800 \u2028 \x00 ä"
    suite = parts.suite([parts.case("1", None)])
    ask(suite, parts.target(lambda q: odd), folder=tmp_path)
    assert ask(suite, parts.target(lambda q: ""), folder=tmp_path).answers["1"].text == odd
    (path,) = tmp_path.glob("*.jsonl")
    assert all(json.loads(line) for line in path.read_text().splitlines())
