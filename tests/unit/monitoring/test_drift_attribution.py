"""What drift consists of: grown topics, new and retired words, new kinds of request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import drift_world as world
from tuneloop.monitoring.drift.attribution import attribute
from tuneloop.monitoring.drift.reference import DriftReference
from tuneloop.monitoring.drift.sketch import DriftSketch


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    return world.reference()


def test_a_new_kind_of_request_is_found_with_its_words(reference: DriftReference) -> None:
    found = attribute(world.sketch(reference, world.usual(600, seed=5, new_share=0.2)), reference)
    task = found.new_tasks[0]
    assert task.words[0] == "skerry"
    assert all("skerry" in example.prompt for example in task.examples)
    assert task.examples[0].interaction.startswith("i-")
    assert 0.1 < task.share.value < 0.25
    assert [new.word for new in found.new_words] == ["skerry"]
    assert found.sampled == 600


def test_what_is_far_more_common_than_in_training_is_new_even_if_nothing_is_far(
    reference: DriftReference,
) -> None:
    mixed = replace(reference, familiarity=replace(reference.familiarity, far_below=-1.0))
    found = attribute(world.sketch(mixed, world.usual(300, seed=5, new_share=0.1)), mixed)
    assert [task.words[0] for task in found.new_tasks] == ["skerry"]
    usual = attribute(world.sketch(mixed, world.usual(300, seed=5)), mixed)
    assert usual.new_tasks == ()


def test_a_grown_topic_and_a_retired_word(reference: DriftReference) -> None:
    of = np.random.default_rng(1).integers(0, world.TOPICS, 600)
    of[of == 0] = 1  # no refunds any more, parcels instead
    found = attribute(world.sketch(reference, world.prompts(of, seed=6)), reference)
    assert found.grown
    for topic in found.grown:
        assert topic.words[0] == "parcel"
        assert topic.growth.low > 0
        assert topic.share.value - topic.training_share == pytest.approx(topic.growth.value)
        assert all("parcel" in example.prompt for example in topic.examples)
    assert [retired.word for retired in found.retired_words] == ["refund"]
    assert found.new_words == ()


def test_usual_traffic_has_no_cause(reference: DriftReference) -> None:
    found = attribute(world.sketch(reference, world.usual(600, seed=8)), reference)
    assert (found.grown, found.new_words, found.retired_words, found.new_tasks) == ((), (), (), ())


def test_nothing_has_no_cause(reference: DriftReference) -> None:
    assert attribute(DriftSketch(reference), reference).sampled == 0
