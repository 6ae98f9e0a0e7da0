"""The drift sketch: the same whatever the order and the parts, and of fixed size."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

import drift_world as world
from tuneloop.errors import DataError
from tuneloop.monitoring.drift.reference import DriftReference
from tuneloop.monitoring.drift.sketch import SAMPLE_ROWS, DaySums, DriftSketch
from tuneloop.monitoring.drift.verdict import verdict


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    return world.reference(rows=300)


def _same(one: DaySums, other: DaySums) -> bool:
    return (
        (one.n, one.without_vector) == (other.n, other.without_vector)
        and np.allclose(one.total, other.total)
        and np.array_equal(one.topics, other.topics)
        and np.array_equal(one.bins, other.bins)
    )


def test_two_halves_merged_are_the_whole(reference: DriftReference) -> None:
    found = world.usual(900, seed=5)
    ids = [f"i-{row}" for row in range(900)]
    whole, first, second = (DriftSketch(reference) for _ in range(3))
    whole.add(ids, found.texts, found.vectors, day=world.FIRST)
    for part, rows in ((first, slice(600, None)), (second, slice(0, 600))):
        part.add(ids[rows], found.texts[rows], found.vectors[rows], day=world.FIRST)
    first.merge(second)
    assert _same(first.whole(), whole.whole())
    one, other = first.sample(), whole.sample()
    assert one is not None
    assert other is not None
    assert one.equals(other)
    # What was merged in stays what it was.
    assert second.whole().n == 600
    assert verdict(first, reference).message == verdict(whole, reference).message


def test_a_rolling_window_is_a_merge_of_its_days(reference: DriftReference) -> None:
    seen = world.sketch(reference, world.usual(1_000, seed=6), days=10)
    last = world.FIRST + timedelta(days=9)
    window = seen.window(last - timedelta(days=6), last)
    assert len(window.days) == 7
    assert window.whole().n == 700
    assert seen.whole().n == 1_000


def test_memory_does_not_grow_with_the_traffic(reference: DriftReference) -> None:
    seen = world.sketch(reference, world.usual(3 * SAMPLE_ROWS, seed=7))
    sample = seen.sample()
    assert sample is not None
    assert sample.height == SAMPLE_ROWS
    # Chosen by the id's hash, so neither the first nor the last.
    rows = sorted(int(identity.removeprefix("i-")) for identity in sample["id"])
    assert 0.4 < np.mean(rows) / (3 * SAMPLE_ROWS) < 0.6
    assert set(vars(seen)) == {"reference", "days", "samples"}


def test_prompts_without_a_vector_are_counted_apart(reference: DriftReference) -> None:
    found = world.usual(40, seed=8)
    found.vectors[:3] = 0
    seen = world.sketch(reference, found)
    assert (seen.whole().n, seen.whole().without_vector) == (37, 3)
    nothing = DriftSketch(reference)
    nothing.add(["i"], [""], np.zeros((1, world.DIMENSIONS), np.float32), day=world.FIRST)
    assert nothing.whole().without_vector == 1
    assert verdict(nothing, reference).state == "not_enough_data"
    assert verdict(DriftSketch(reference), reference).n == 0


def test_vectors_of_another_embedder_are_refused(reference: DriftReference) -> None:
    with pytest.raises(DataError, match=r"48 dimensions.*\(1, 3\)"):
        DriftSketch(reference).add(["i"], ["text"], np.ones((1, 3), np.float32), day=world.FIRST)
