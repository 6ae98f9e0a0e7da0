"""A task of prose is measured by likeness and by what every good answer reaches, not by matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.planned_metrics import metrics_of
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.scorers.prose import similarity_by
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import EvaluationSettings, TaskSettings
from tuneloop.progress import Silent

NOTE = "The patient has had a dry cough for three weeks and takes no medicine."
ANSWERS = {
    "right": "For three weeks the patient has had a dry cough. He takes no medicine.",
    "other": "The woman broke her left arm while skiing in the mountains on Sunday.",
    "refuses": "I'm sorry, but I can't help with medical notes.",
    "loops": "The patient has a cough. " * 12,
    "german": "Der Patient hat seit drei Wochen Husten und nimmt keine Medikamente.",
    "empty": "",
}


def task(**fields: Any) -> TaskSettings:
    return TaskSettings.model_validate({"kind": "prose", **fields})


def case(name: str, expected: str | None = NOTE, question: str = "Doctor: What is it?") -> Case:
    return Case(id=name, messages=({"role": "user", "content": question},), expected=expected)


def measured(parts: Any, cases: Sequence[Case], answers: dict[str, str]) -> SuiteResult:
    return measure(parts.answers(parts.suite(list(cases)), answers), metrics_for(task()))


def test_no_string_match_is_called_accuracy_and_form_is_asked_where_it_is_declared() -> None:
    names = [metric.name for metric in metrics_for(task())]
    assert names == [
        *("chrf", "rouge_l", "bleu", "similarity"),
        *("answered", "no_loops", "in_language", "length_fit"),
        *("length_ratio", "distinct_2", "copied", "sentence_ratio", "same_register"),
        *("ungrounded", "outside_prompt"),
        "phrases",
    ]
    assert [m.name for m in metrics_for(task(output_pattern="Dear .*"))] == ["format", *names]


def test_every_task_may_ask_for_a_measure_of_prose() -> None:
    settings = EvaluationSettings.model_validate({"gates": {"chrf": ">= 0.5"}})
    names = [metric.name for metric in metrics_of(TaskSettings(), settings, ["held-out"])]
    assert names == ["accuracy", "format", "exact", "token_f1", "chrf"]


@pytest.mark.parametrize("metric", ["chrf", "rouge_l", "bleu", "similarity"])
def test_the_right_matter_is_more_alike_than_another(metric: str, parts: Any) -> None:
    scores = measured(parts, [case(name) for name in ANSWERS], ANSWERS).cases
    right, other = (scores[name].scores[metric].value for name in ("right", "other"))
    assert 1 > right > other >= 0
    assert scores["empty"].scores[metric].value == 0


def test_each_fault_is_seen_by_its_own_metric_alone(parts: Any) -> None:
    result = measured(parts, [case(name) for name in ANSWERS], ANSWERS)
    wrong = {
        name: [
            metric
            for metric in ("answered", "no_loops", "in_language", "length_fit")
            if of.scores[metric].value == 0
        ]
        for name, of in result.cases.items()
    }
    assert wrong == {
        "right": [],
        "other": [],
        "refuses": ["answered"],
        "loops": ["no_loops", "length_fit"],
        "german": ["in_language"],
        "empty": ["answered", "length_fit"],
    }
    assert result.cases["german"].scores["in_language"].detail == "is in de"


def test_where_the_reference_refuses_refusing_is_an_answer(parts: Any) -> None:
    refusal = "I'm sorry, but I cannot help with that."
    result = measured(parts, [case("1", refusal)], {"1": "I can't help you with this request."})
    assert result.figures["answered"].value == 1


def test_without_a_reference_the_question_says_the_language(parts: Any) -> None:
    asked = case("1", None, "Bitte schreiben Sie mir, wann das Paket kommt und was es kostet.")
    english = "The parcel will be with you on Monday and it is free of charge."
    result = measured(parts, [asked], {"1": english})
    assert result.figures["in_language"].value == 0
    assert "chrf" not in result.figures and "length_fit" not in result.figures


def test_a_ratio_is_told_by_its_median_and_may_be_above_one(parts: Any) -> None:
    cases = [case(str(i), "one two three four") for i in range(3)]
    answers = {"0": "one two", "1": "one two three four five six", "2": "word " * 400}
    figure = measured(parts, cases, answers).figures["length_ratio"]
    assert (figure.value, figure.low, figure.high, figure.n) == (1.5, 0.5, 100, 3)


class Lengths:
    """Texts of one length point in one direction."""

    name = "lengths-1"
    asked = 0

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked += 1
        return np.array([[1, 0] if len(text) % 2 else [0, 1] for text in texts], dtype=np.float32)


def test_another_embedder_is_asked_once_a_suite_and_is_part_of_the_lock(parts: Any) -> None:
    cases, embedder = [case("1", "odd"), case("2", "odd"), case("3", None)], Lengths()
    metric = similarity_by(embedder)
    answers = {"1": "abc", "2": "ab", "3": "abc"}
    assert metric.prepare is not None
    metric.prepare([(one, answers[one.id]) for one in cases], Silent())
    result = measure(parts.answers(parts.suite(cases), answers), [metric])
    assert [result.cases[name].scores["similarity"].value for name in ("1", "2")] == [1, 0]
    assert result.figures["similarity"].n == 2 and embedder.asked == 1
    assert metric.source_digest and "lengths-1" in metric.about
