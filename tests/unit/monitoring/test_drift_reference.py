"""The drift reference: topics, thresholds by resampling, storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import drift_world as world
from monitoring_data import LetterEmbedder
from tuneloop.errors import DataError
from tuneloop.monitoring.drift.calibration import SIZES, calibrate_topics
from tuneloop.monitoring.drift.familiarity import dominance
from tuneloop.monitoring.drift.reference import (
    DriftReference,
    OwnPrompts,
    drift_reference,
    topic_words,
)
from tuneloop.monitoring.drift.sketch import DriftSketch
from tuneloop.monitoring.drift.topics import find_topics
from tuneloop.monitoring.drift.verdict import verdict


def test_topics_are_those_of_the_prompts_with_their_words() -> None:
    reference = world.reference()
    assert reference.rows == int(reference.topics.counts.sum()) == 800
    leading = {words[0] for words in reference.topic_words if words}
    assert {"refund", "parcel", "heating", "invoice", "login", "battery"} <= leading
    assert reference.word_counts["please"] == 800


def test_a_word_of_a_single_text_names_no_topic() -> None:
    texts = ["refund for Ms Okonkwo", "refund please", "parcel for Mr Lindqvist"]
    assert topic_words(texts, [0, 0, 1], 2) == (("refund",), ())


def test_thresholds_come_down_with_the_rows_but_not_below_what_is_tolerated() -> None:
    thresholds = world.reference(tolerated_share=0.2).thresholds
    for values in (thresholds.topics, thresholds.unfamiliar):
        assert values[SIZES.index(30)] > values[SIZES.index(300)] > values[-1]
        assert 0.15 < values[-1] < 0.35
    halfway = thresholds.at(thresholds.topics, 54.8)  # sqrt(30 * 100)
    between = (thresholds.topics[SIZES.index(30)] + thresholds.topics[SIZES.index(100)]) / 2
    assert halfway == pytest.approx(between, abs=0.001)


def test_rows_that_come_in_groups_raise_the_threshold() -> None:
    found = world.usual(400, seed=3)
    vectors = np.repeat(found.vectors, 8, axis=0)
    topics = find_topics(vectors)
    rule = {"tolerated_share": 0.1, "false_alarm_rate": 0.05}
    alone = calibrate_topics(topics, vectors, np.arange(3_200), **rule)
    together = calibrate_topics(topics, vectors, np.repeat(np.arange(400), 8), **rule)
    at = SIZES.index(100)
    assert together[at] > 1.3 * alone[at]


def test_dominance_is_that_of_all_pairs() -> None:
    own = np.array([2, 0, 3, 1])
    cases = np.repeat(np.arange(4), own)
    expected = [np.mean(cases > b) - np.mean(cases < b) for b in range(4)]
    assert np.allclose(dominance(own), expected)


def test_a_stored_reference_comes_back_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    reference = world.reference(rows=200)
    folder = tmp_path / "reference"
    assert DriftReference.load(folder) is None
    reference.save(folder)
    reference.save(folder)
    loaded = DriftReference.load(folder)
    assert loaded is not None
    assert loaded.thresholds == reference.thresholds
    assert (loaded.embedder, loaded.topic_words) == ("made-up", reference.topic_words)
    assert loaded.word_counts == reference.word_counts
    for name in ("centres", "counts", "mean", "covariance", "typical_distance"):
        assert np.array_equal(getattr(loaded.topics, name), getattr(reference.topics, name))
    for name in ("edges", "own", "far_below", "median"):
        assert np.array_equal(
            getattr(loaded.familiarity, name), getattr(reference.familiarity, name)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]
    file = folder / "arrays.npz"
    file.write_bytes(file.read_bytes()[:-10])
    assert DriftReference.load(folder) is None


def test_few_prompts_are_not_a_reference() -> None:
    texts = ["hello there", "", *["some words"] * 18]
    with pytest.raises(DataError, match=r"at least 20 training prompts.*found 19"):
        drift_reference(
            OwnPrompts(texts=texts), OwnPrompts(texts=["held out"]), embedder=LetterEmbedder()
        )


def test_equal_prompts_and_no_held_out_ones_are_a_reference_too() -> None:
    embedder = LetterEmbedder()
    reference = drift_reference(
        OwnPrompts(texts=["the same words"] * 40), OwnPrompts(texts=[]), embedder=embedder
    )
    assert reference.rows == 40
    for text, state in (("the same words", "no_drift"), ("quite other", "drift")):
        seen = DriftSketch(reference)
        ids = [str(row) for row in range(50)]
        seen.add(ids, [text] * 50, embedder.embed([text] * 50), day=world.FIRST)
        found = verdict(seen, reference)
        assert (found.state, found.leading is not None) == (state, True)
