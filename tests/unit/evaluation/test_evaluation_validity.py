"""A measure that cannot tell the right reference from another case's decides nothing."""

from __future__ import annotations

import pytest

from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.suites import Case
from tuneloop.evaluation.validity import (
    VALID_FROM,
    agreement,
    auc,
    auc_of_measure,
    doubts,
    of_answers,
    of_rows,
)
from tuneloop.modelfile import TaskSettings
from tuneloop.prose.likeness import chrf

PLACES = ("ankle", "shoulder", "stomach", "throat", "elbow", "forehead", "kidney", "finger")
SINCE = ("Monday", "Christmas", "breakfast", "her holidays", "the accident", "last summer")
ROWS = [
    (
        f"Doctor: What is it? Patient: It is my {place}, it has hurt since {since}.",
        f"She complains of pain in the {place} that began with {since}.",
    )
    for place in PLACES
    for since in SINCE
]


def test_references_that_follow_from_their_questions_are_told_apart() -> None:
    found = of_rows(ROWS)
    assert list(found) == ["chrf", "rouge_l", "bleu", "similarity"]
    for name, of in found.items():
        assert of.valid and of.auc is not None and of.auc.low >= VALID_FROM, (name, of)


def test_one_reply_to_everything_is_told_from_none() -> None:
    reply = "Thank you for writing to us. We will answer within two working days."
    for of in of_rows([(question, reply) for question, _ in ROWS]).values():
        assert not of.valid and of.auc is not None and of.auc.value == 0.5
        assert "AUC 0.50" in of.reason


def test_replies_that_have_nothing_to_do_with_the_question_are_told_by_chance() -> None:
    answers = [reference for _, reference in ROWS]
    found = of_rows([(question, answers[at - 7]) for at, (question, _) in enumerate(ROWS)])
    assert not any(of.valid for of in found.values()), found


def test_a_translation_is_told_by_the_halves_of_its_references() -> None:
    german = {
        "ankle": "Der Knöchel ist geschwollen und blau, sie kann mit dem Knöchel nicht auftreten",
        "throat": "Der Hals ist rot und trocken, das Schlucken tut ihr im Hals sehr weh",
        "stomach": "Der Magen ist nicht in Ordnung und sie hat nach dem Essen im Magen Krämpfe",
    }
    rows = [
        (f"It is my {place} and it has hurt since {since}.", f"{text}, seit {since}.")
        for place, text in german.items()
        for since in SINCE
    ]
    found = of_rows(rows)["chrf"]
    assert found.auc is not None and found.auc.value > 0.6


def test_the_same_rows_give_the_same_figure_however_many_there_are() -> None:
    many = ROWS * 200
    assert of_rows(many, {"chrf": chrf}) == of_rows(many, {"chrf": chrf})
    (found,) = of_rows(many, {"chrf": chrf}).values()
    assert found.auc is not None and found.auc.n == 100


def test_a_models_own_answers_are_asked_after_the_evaluation() -> None:
    right = [(reference.replace("She complains of", "She has"), reference) for _, reference in ROWS]
    assert of_answers(right)["chrf"].valid
    shuffled = [(said, ROWS[at - 7][1]) for at, (said, _) in enumerate(right)]
    assert not of_answers(shuffled)["chrf"].valid
    assert doubts(right, {"chrf": chrf}) == []
    alike = [("We are sorry to hear that.", reference) for _, reference in ROWS]
    (told,) = doubts(alike, {"chrf": chrf})
    assert "says much the same to everybody" in told and "AUC 0.5" in told


def test_of_one_row_nothing_can_be_told() -> None:
    assert auc_of_measure(chrf, ROWS[:1]) is None
    assert of_rows(ROWS[:1])["chrf"].reason == "there are too few references to tell"
    assert not of_rows([])["chrf"].valid


def test_the_auc_is_the_share_of_pairs_that_are_put_right() -> None:
    figure = auc([0.9, 0.8, 0.4], [0.8, 0.1])
    assert figure.value == pytest.approx(4.5 / 6)
    assert 0 <= figure.low < figure.value < figure.high <= 1
    apart = auc([1.0] * 10, [0.0] * 4)
    assert (apart.value, apart.high, apart.n) == (1, 1, 14)
    assert apart.low == pytest.approx(0.51, abs=0.01)  # Wilson's of 4 of 4


def test_people_agree_with_a_measure_where_it_favours_what_they_approve() -> None:
    asked = Case(
        id="1", messages=({"role": "user", "content": "Where is my parcel? It is too late now."},)
    )
    good = "It will be with you on Monday morning, and we are sorry that it took so long."
    loop = "We are sorry for the delay. " * 8
    judged = [(asked, good, True), (asked, good, True), (asked, loop, False), (asked, "", False)]
    found = agreement(metrics_for(TaskSettings(kind="prose")), judged)
    assert found["no_loops"].value == 0.75
    assert found["answered"].value == 0.75
    assert found["distinct_2"].value == 1
    assert "chrf" not in found  # there is no reference but the answer itself
