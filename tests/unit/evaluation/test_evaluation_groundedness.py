from dataclasses import replace

import pytest

from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.scorers.base import Metric
from tuneloop.evaluation.scorers.groundedness import pooled
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings

SYSTEM = {"role": "system", "content": "Plans end after 30 days."}


def metric(task: TaskSettings) -> Metric | None:
    return next((m for m in metrics_for(task) if m.name == "ungrounded"), None)


def case(*contents: str) -> Case:
    roles = ("user", "assistant")
    turns = ({"role": roles[i % 2], "content": text} for i, text in enumerate(contents))
    return Case(id="a", messages=(SYSTEM, *turns))


def test_only_prose_is_measured_by_it() -> None:
    found = metric(TaskSettings(kind="prose"))
    assert found is not None
    assert not found.higher_is_better
    assert metric(TaskSettings()) is None
    assert metric(TaskSettings(kind="labels")) is None


def test_every_turn_and_the_system_text_are_the_source() -> None:
    ungrounded = metric(TaskSettings(kind="prose"))
    assert ungrounded is not None
    asked = case("I have 17 seats.", "For how long?", "Since 2019.")
    score = ungrounded.score(asked, "17 seats since 2019 end in 30 days; 45 is the most.")
    assert score is not None
    assert (score.value, score.weight) == (1 / 4, 4)
    assert "'45'" in score.detail


def test_an_answer_without_facts_is_a_case_that_adds_nothing_to_the_share() -> None:
    ungrounded = metric(TaskSettings(kind="prose"))
    assert ungrounded is not None
    silent = ungrounded.score(case("Hello?"), "Good day, how can we help?")
    wrong = ungrounded.score(case("Hello?"), "It costs 47 a month.")
    assert silent is not None and wrong is not None
    assert (pooled([silent, wrong]).value, pooled([silent, wrong]).n) == (1.0, 2)
    assert (pooled([silent, silent]).value, pooled([silent, silent]).n) == (0.0, 2)
    assert ungrounded.score(case("Hello?"), None) is None


def test_the_figure_pools_all_facts_and_not_the_cases() -> None:
    ungrounded = metric(TaskSettings(kind="prose"))
    assert ungrounded is not None
    asked = case("2 3 4 5 6 7 8 9 10")
    scores = [ungrounded.score(asked, text) for text in ("2 3 4 5 6 7 8 9 10", "99")]
    figure = pooled([score for score in scores if score is not None])
    assert figure.value == pytest.approx(0.1)
    assert figure.n == 2
    assert figure.low <= figure.value <= figure.high


def test_the_reference_vouches_for_a_fact_that_no_prompt_has() -> None:
    """A price that people know is no invention, and another price in its place is one."""
    ungrounded = metric(TaskSettings(kind="prose"))
    assert ungrounded is not None
    asked = replace(case("What is the price?"), expected="It costs 47 euros.")
    right = ungrounded.score(asked, "That would be 47 euros.")
    wrong = ungrounded.score(asked, "That would be 52 euros.")
    assert right is not None and right.value == 0
    assert wrong is not None and (wrong.value, "52 euros" in wrong.detail) == (1.0, True)
    outside = next(m for m in metrics_for(TaskSettings(kind="prose")) if m.name == "outside_prompt")
    said = outside.score(asked, "That would be 47 euros.")
    assert said is not None and said.value == 1.0
