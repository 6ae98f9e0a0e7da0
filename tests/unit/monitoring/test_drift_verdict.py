"""The drift verdict: rare false alarms, real drift found, small effects never."""

from __future__ import annotations

import math

import numpy as np
import pytest

import drift_world as world
from tuneloop.monitoring.drift.reference import DriftReference
from tuneloop.monitoring.drift.verdict import (
    DriftVerdict,
    jensen_shannon,
    psi,
    psi_by_chance,
    verdict,
)


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    return world.reference()


def _verdicts(reference: DriftReference, n: int, new_share: float) -> list[DriftVerdict]:
    return [
        verdict(
            world.sketch(reference, world.usual(n, seed=seed, new_share=new_share), days=7),
            reference,
        )
        for seed in range(100, 200)
    ]


def test_usual_traffic_alarms_rarely_and_a_new_topic_is_found(reference: DriftReference) -> None:
    assert sum(one.state == "drift" for one in _verdicts(reference, 100, 0.0)) <= 5
    assert sum(one.state == "drift" for one in _verdicts(reference, 100, 0.4)) >= 95


def test_what_is_tolerated_does_not_alert_however_many_rows_there_are(
    reference: DriftReference,
) -> None:
    found = verdict(world.sketch(reference, world.usual(60_000, seed=9, new_share=0.05)), reference)
    assert found.state == "no_drift"
    assert found.unfamiliar is not None
    # It is there beyond doubt (the interval leaves 0 out), and yet too small to matter.
    assert 0 < found.unfamiliar.low < 0.05 < found.unfamiliar.high < found.unfamiliar.threshold
    more = verdict(world.sketch(reference, world.usual(60_000, seed=9, new_share=0.25)), reference)
    assert more.state == "drift"


def test_a_move_among_known_topics_is_drift_when_it_is_large(reference: DriftReference) -> None:
    rng = np.random.default_rng(3)
    of = rng.integers(0, world.TOPICS, 1_000)
    of[:400] = 2
    found = verdict(world.sketch(reference, world.prompts(of, seed=4)), reference)
    assert found.state == "drift"
    assert found.topics is not None
    assert found.unfamiliar is not None
    assert found.topics.passed
    assert not found.unfamiliar.passed
    # 400 of 1,000 chosen for it; a few of those would have been of that topic anyway.
    assert found.topics.low < 0.4 < found.topics.high + 0.1
    assert found.leading == found.topics


def test_days_that_differ_count_as_fewer_rows(reference: DriftReference) -> None:
    # Each day has two topics only: 700 rows, but hardly more than seven draws of a mix.
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        mixes = [rng.choice(world.TOPICS, 2, replace=False) for _ in range(7)]
        of = np.array([mixes[row % 7][rng.integers(2)] for row in range(700)])
        found = verdict(world.sketch(reference, world.prompts(of, seed=seed), days=7), reference)
        assert found.topics is not None
        assert found.topics.effective_rows < 100
        alarms += found.state == "drift"
    assert alarms <= 3


def test_a_small_sample_says_so(reference: DriftReference) -> None:
    found = verdict(world.sketch(reference, world.usual(29, seed=1, new_share=1.0)), reference)
    assert found.state == "not_enough_data"
    assert "29 of the 30" in found.message
    assert found.psi is not None


def test_the_definition_stands_beside_the_figures(reference: DriftReference) -> None:
    found = verdict(world.sketch(reference, world.usual(100, seed=2)), reference)
    assert found.state == "no_drift"
    assert "800 training prompts" in found.definition
    assert "0.5 added to each count" in found.definition
    # The textbook threshold takes the noise of 100 rows in that many bins for drift.
    assert found.psi_by_chance is not None
    assert found.psi_by_chance > 0.2
    assert found.psi is not None
    assert found.psi > 0.2


def test_psi_and_jensen_shannon_are_what_the_definition_says() -> None:
    window, reference = np.array([9, 1]), np.array([50, 50])
    p, q = np.array([9.5, 1.5]) / 11, np.array([50.5, 50.5]) / 101
    assert psi(window, reference) == pytest.approx(float(((p - q) * np.log(p / q)).sum()))
    middle = (p + q) / 2
    expected = sum(0.5 * float((s * np.log2(s / middle)).sum()) for s in (p, q))
    assert jensen_shannon(window, reference) == pytest.approx(expected)
    assert psi_by_chance(window, reference) == pytest.approx(1 / 10 + 1 / 100)


def test_two_prompts_are_measured_without_a_warning(reference: DriftReference) -> None:
    found = verdict(world.sketch(reference, world.usual(2, seed=3)), reference, minimum_rows=1)
    assert found.state == "not_enough_data"
    assert found.topics is not None
    assert math.isfinite(found.topics.high)
