"""Answers against the training answers: drift, similarity by topic, phrases that are new."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitoring_data import LetterEmbedder, interaction, measure
from tuneloop.errors import DataError
from tuneloop.monitoring.answers_by_topic import AnswersByTopic, OwnAnswers, answers_by_topic
from tuneloop.monitoring.drift.reference import OwnPrompts, drift_reference
from tuneloop.monitoring.monitors.drift import AnswerDrift
from tuneloop.monitoring.monitors.training_answers import AnswerSimilarity, NewPhrases
from tuneloop.monitoring.phrases import OwnPhrases, new_phrases, own_phrases
from tuneloop.sameness import forgiving

EMBEDDER = LetterEmbedder()
THINGS = ("kettle", "lamp", "radio", "sofa", "drill", "tent", "piano", "fridge", "oven", "desk")


def _pairs(*days: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Prompts and answers of two topics."""
    of = [(thing, day) for thing in THINGS for day in days]
    desk = [(f"invoice for the {t} of {day}", f"we paid {t} back on {day}") for t, day in of]
    shop = [(f"zzz why zzz buzz {t} {day}", f"our fitter fixes {t} by {day}") for t, day in of]
    return desk, shop


OWN = [pair for pairs in _pairs("monday", "friday", "sunday") for pair in pairs]
DESK, WORKSHOP = _pairs("tuesday", "saturday", "march")
"""What is asked later."""
UNLIKE = "qqq xxx jjj kkk"
NOTICE = "This answer was written by a machine and is no advice."


def _own(pairs: list[tuple[str, str]]) -> OwnAnswers:
    prompts = OwnPrompts(texts=[prompt for prompt, _ in pairs])
    return OwnAnswers(prompts=prompts, answers=[answer for _, answer in pairs])


def _watched(**more: Any) -> dict[str, Any]:
    train, held_out = _own(OWN), _own(OWN[::5])
    drift = drift_reference(train.prompts, held_out.prompts, embedder=EMBEDDER)
    return {
        "embedder": EMBEDDER,
        "drift": drift,
        "answer_drift": drift_reference(
            OwnPrompts(texts=train.answers), OwnPrompts(texts=held_out.answers), embedder=EMBEDDER
        ),
        "by_topic": answers_by_topic(train, held_out, drift, EMBEDDER),
        "phrases": own_phrases(train.answers),
        **more,
    }


def _rows(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [interaction(prompt, response=answer) for prompt, answer in pairs]


def test_answers_that_moved_while_the_prompts_did_not_are_the_models_doing() -> None:
    moved = [(prompt, UNLIKE) for prompt, _ in OWN]
    found = measure(AnswerDrift, _rows(moved), **_watched())
    assert found.verdict == "alert"
    assert "the prompts did not move: it is the model" in found.message
    assert found.detail["prompts"]["state"] == "no_drift"
    assert found.detail["examples"]
    json.dumps(found.detail)
    quiet = measure(AnswerDrift, _rows(OWN), **_watched())
    assert quiet.verdict == "ok"


def test_answers_that_moved_with_the_prompts_are_the_traffics_doing() -> None:
    found = measure(AnswerDrift, _rows([("xxx jjj qqq", UNLIKE)] * 60), **_watched())
    assert found.verdict == "alert"
    assert "the prompts moved too: the traffic changed" in found.message
    prompts_alone = [("xxx jjj qqq", answer) for _, answer in OWN]
    assert "the prompts moved, the answers did not" in (
        measure(AnswerDrift, _rows(prompts_alone), **_watched()).message
    )


def test_answers_as_unlike_the_training_answers_as_at_release_are_no_news() -> None:
    own_style = [(prompt, f"vvv {answer} vvv") for prompt, answer in OWN]
    assert measure(AnswerDrift, _rows(own_style), **_watched()).verdict == "alert"
    found = measure(AnswerDrift, _rows(own_style), **_watched(at_release=own_style[::2]))
    assert found.verdict == "ok"
    assert "when it was released" in found.message


def test_few_answers_alert_nobody() -> None:
    few = _rows([("xxx jjj qqq", UNLIKE)] * 9)
    for monitor in (AnswerDrift, AnswerSimilarity, NewPhrases):
        assert measure(monitor, few, **_watched()).verdict == "not_enough_data"


def test_similarity_names_the_topic_whose_answers_moved_and_shows_them() -> None:
    moved = DESK * 2 + [(prompt, UNLIKE) for prompt, _ in WORKSHOP]
    found = measure(AnswerSimilarity, _rows(moved), **_watched())
    assert found.verdict == "alert"
    assert found.value == pytest.approx(1 / 3, abs=0.15)
    assert "topics that moved: “" in found.message
    examples = [example["answer"] for example in found.detail["examples"]]
    assert examples[0] == UNLIKE
    json.dumps(found.detail)
    assert measure(AnswerSimilarity, _rows(DESK + WORKSHOP), **_watched()).verdict == "ok"


def test_the_answer_to_another_topic_is_unlike_those_of_its_own() -> None:
    swapped = [
        (prompt, answer) for (prompt, _), (_, answer) in zip(DESK, WORKSHOP, strict=True)
    ] * 2
    found = measure(AnswerSimilarity, _rows(swapped), **_watched())
    assert found.value is not None
    assert found.value > 0.9


def test_the_answers_of_a_small_topic_alert_though_the_whole_share_is_low() -> None:
    moved = DESK * 12 + [(prompt, UNLIKE) for prompt, _ in WORKSHOP * 2]
    found = measure(AnswerSimilarity, _rows(moved), **_watched())
    assert found.value is not None
    assert found.value < 0.15
    assert found.verdict == "alert"
    assert "the answers of whole topics changed" in found.message


def test_a_reference_is_as_it_was_when_it_was_saved(tmp_path) -> None:
    made = _watched()
    by_topic, phrases = made["by_topic"], made["phrases"]
    by_topic.save(tmp_path / "topics")
    phrases.save(tmp_path / "phrases")
    loaded = AnswersByTopic.load(tmp_path / "topics")
    assert loaded is not None
    assert loaded.topic_words == by_topic.topic_words
    assert (loaded.own == by_topic.own).all()
    again = OwnPhrases.load(tmp_path / "phrases")
    assert again is not None
    assert (again.rows, list(again.hashes)) == (phrases.rows, list(phrases.hashes))
    assert AnswersByTopic.load(tmp_path / "none") is None
    assert OwnPhrases.load(tmp_path / "none") is None


def test_without_training_answers_there_is_nothing_to_compare_with() -> None:
    drift, none = _watched()["drift"], _own([])
    with pytest.raises(DataError, match="at least 20 training answers"):
        answers_by_topic(none, none, drift, EMBEDDER)
    with pytest.raises(DataError, match="found none"):
        own_phrases([])


def test_a_line_that_suddenly_appears_is_named_in_full() -> None:
    rows = _rows([*OWN * 2, *[(prompt, f"{answer}. {NOTICE}") for prompt, answer in OWN]])
    found = measure(NewPhrases, rows, **_watched())
    assert (found.value, found.verdict) == (pytest.approx(1 / 3), "alert")
    assert "this answer was written by a machine and is no advice" in found.message.lower()
    assert found.detail["examples"][0]["interaction"]
    assert measure(NewPhrases, _rows(OWN * 3), **_watched()).verdict == "ok"
    at_release = [(prompt, f"{answer}. {NOTICE}") for prompt, answer in OWN[:5]]
    assert measure(NewPhrases, rows, **_watched(at_release=at_release)).verdict == "ok"


def test_a_phrase_of_few_answers_is_left_out() -> None:
    rows = _rows([*OWN * 3, *[(prompt, f"{answer}. {NOTICE}") for prompt, answer in OWN[:3]]])
    assert measure(NewPhrases, rows, **_watched()).value == 0.0


@pytest.mark.parametrize(
    ("usual", "line"),
    [
        ("返品は三日以内にお願いします", "これは機械による回答です"),
        ("เราจะส่งของให้คุณพรุ่งนี้", "คำตอบนี้เขียนโดยเครื่อง"),
        ("हम कल सामान भेज देंगे", "यह उत्तर मशीन ने लिखा है"),
    ],
)
def test_phrases_are_found_in_every_script(usual: str, line: str) -> None:
    own = own_phrases([f"{usual} {number}" for number in range(200)])
    said = [f"{usual} {number}" for number in range(80)] + [f"{usual} 7。{line}"] * 20
    found = new_phrases(said, own)
    assert found.having == 20
    assert found.named[0].words == forgiving(line)


def test_numbers_make_no_phrase_new() -> None:
    own = own_phrases([f"your order {number} comes on day {number} of may" for number in range(99)])
    said = [f"your order {number} comes on day 4 of may" for number in range(500, 600)]
    assert new_phrases(said, own).having == 0
