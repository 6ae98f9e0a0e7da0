"""A model that always says the same is none, however often that is right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.baseline import baseline_of
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.plan import make_plan
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.scorers import classes
from tuneloop.evaluation.suites import Case
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import TaskSettings

LABELS = TaskSettings(kind="labels")


def measured(parts, expected: list[str], said: list[str | Answer], task=LABELS) -> SuiteResult:
    suite = parts.suite([parts.case(str(i), label) for i, label in enumerate(expected)])
    given = {str(i): text for i, text in enumerate(said)}
    return measure(parts.answers(suite, given), classes.metrics_of(task))


def test_a_constant_answer_has_no_balanced_accuracy_and_beats_nobody(parts) -> None:
    expected = ["refund"] * 92 + ["delivery"] * 8
    result = measured(parts, expected, ["Refund."] * 100)
    balanced, macro_f1 = (result.figures[name] for name in classes.NAMES)
    assert balanced.value == 0.5 and balanced.high < 0.75
    assert macro_f1.value == pytest.approx(0.92 / 1.92)
    found = baseline_of(result)
    assert found is not None and found.label == "refund" and found.constant.value == 0.92
    assert not found.beaten and "is not surely better" in found.sentence


def test_a_model_that_knows_the_rare_class_beats_it(parts) -> None:
    expected = ["refund"] * 92 + ["delivery"] * 8
    result = measured(parts, expected, list(expected))
    found = baseline_of(result)
    assert found is not None and found.beaten
    assert 0.75 < result.figures["balanced_accuracy"].low < 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1))
def test_they_are_the_means_over_the_classes(answers: list[tuple[str, str]]) -> None:
    metrics = classes.metrics_of(LABELS)
    cases = [
        Case(id=str(i), messages=({"role": "user", "content": "x"},), expected=expected)
        for i, (expected, _) in enumerate(answers)
    ]
    figures = {}
    for metric in metrics:
        scores = [metric.score(case, said) for case, (_, said) in zip(cases, answers, strict=True)]
        assert metric.figure is not None
        figures[metric.name] = metric.figure(scores)  # type: ignore[arg-type]
    recalls, f1s = [], []
    for label in {expected for expected, _ in answers}:
        right = sum(pair == (label, label) for pair in answers)
        expected = sum(pair[0] == label for pair in answers)
        given = sum(pair[1] == label for pair in answers)
        recalls.append(right / expected)
        f1s.append(2 * right / (expected + given))
    assert figures["balanced_accuracy"].value == pytest.approx(np.mean(recalls))
    assert figures["macro_f1"].value == pytest.approx(np.mean(f1s))
    for figure in figures.values():
        assert 0 <= figure.low <= figure.value <= figure.high <= 1 and figure.low < figure.high


def test_the_interval_of_many_small_classes_is_about_what_was_measured(parts) -> None:
    """Three right answers of three say little of one class, and much of thirty."""
    expected = [f"class {i % 30}" for i in range(90)]
    figure = measured(parts, expected, list(expected)).figures["balanced_accuracy"]
    assert figure.value == 1 and 0.75 < figure.low < 0.98


def test_the_label_of_json_is_its_field_and_no_answer_is_a_wrong_one(task, parts) -> None:
    expected = [parts.answer_text("refund"), parts.answer_text("human"), parts.answer_text("human")]
    said = [parts.answer_text("refund", urgent=True), "no JSON", Answer(error="timeout")]
    figures = measured(parts, expected, said, task).figures
    assert figures["balanced_accuracy"].value == 0.5 and figures["balanced_accuracy"].n == 3


def test_a_gate_brings_it_along_and_other_tasks_have_none() -> None:
    assert "balanced_accuracy" not in {metric.name for metric in metrics_for(LABELS)}
    brought = metrics_for(LABELS, extra=["macro_f1"])
    assert brought[-1].name == "macro_f1"
    with pytest.raises(EvaluationError, match="this task has none"):
        metrics_for(TaskSettings(), extra=["macro_f1"])


def test_it_cannot_be_compared_case_by_case(parts) -> None:
    with pytest.raises(EvaluationError, match="gives no case a score"):
        make_plan(
            model="desk",
            suites=[parts.suite([parts.case("1", "a")])],
            metrics=metrics_for(LABELS, extra=["macro_f1"]),
            conditions={"macro_f1": "better than base"},
            sampling=Sampling(),
        )


def test_what_is_only_told_stands_in_no_lock(parts) -> None:
    terms = {
        "model": "desk",
        "suites": [parts.suite([parts.case("1", "a")])],
        "metrics": metrics_for(LABELS),
        "conditions": {"accuracy": ">= 0.9"},
        "sampling": Sampling(),
    }
    told = make_plan(**terms, told=classes.metrics_of(LABELS))
    assert told.gate_lock == make_plan(**terms).gate_lock
    assert [metric.name for metric in told.measured][-2:] == list(classes.NAMES)
