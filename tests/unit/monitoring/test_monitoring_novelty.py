"""The novelty reference: calibration, storage, new words, and the default embedder."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring_data import LetterEmbedder
from tuneloop.embedders import StaticEmbedder
from tuneloop.errors import DataError
from tuneloop.monitoring.novelty import (
    NoveltyReference,
    new_words,
    novelty_reference,
    words,
)


def _texts(count: int, *, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("etaoinshrdlu", k=14)) for _ in range(count)]


@pytest.mark.parametrize(("held_out", "calibrated_on"), [(20, 420), (250, 250)])
def test_about_5_per_cent_of_the_bundles_own_rows_are_far(
    held_out: int, calibrated_on: int
) -> None:
    embedder = LetterEmbedder()
    reference = novelty_reference(_texts(400, seed=1), _texts(held_out, seed=2), embedder)
    assert reference.calibration_rows == calibrated_on
    fresh = embedder.embed(_texts(2_000, seed=3))
    far = float((reference.similarities(fresh) < reference.threshold).mean())
    assert 0.025 < far < 0.085


def test_similarities_are_those_of_the_nearest_row_whatever_the_chunks() -> None:
    embedder = LetterEmbedder()
    train, queries = embedder.embed(_texts(30, seed=1)), embedder.embed(_texts(2_500, seed=2))
    reference = novelty_reference(_texts(30, seed=1), [], embedder)
    assert np.allclose(reference.similarities(queries), (queries @ train.T).max(axis=1))


def test_a_stored_reference_comes_back_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    reference = novelty_reference(_texts(30, seed=1), [], LetterEmbedder())
    folder = tmp_path / "reference"
    assert NoveltyReference.load(folder) is None
    reference.save(folder)
    reference.save(folder)
    loaded = NoveltyReference.load(folder)
    assert loaded is not None
    assert np.array_equal(loaded.vectors, reference.vectors)
    assert (loaded.threshold, loaded.words, loaded.embedder, loaded.calibration_rows) == (
        reference.threshold,
        reference.words,
        "letters",
        30,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]
    facts = folder / "reference.json"
    written = facts.read_text()
    facts.write_text(written.replace('"letters"', '"others"'))
    assert NoveltyReference.load(folder) is None
    facts.write_text(written)
    file = folder / "arrays.npz"
    file.write_bytes(file.read_bytes()[:-10])
    assert NoveltyReference.load(folder) is None


def test_one_training_prompt_is_not_a_reference() -> None:
    with pytest.raises(DataError, match="found 1"):
        novelty_reference(["hello"], [], LetterEmbedder())


@given(st.lists(st.sampled_from(["a Skerry", "heating it", "no Grid", "skerry grid", "1 2"])))
def test_new_words_are_never_in_training_and_come_by_count(prompts: list[str]) -> None:
    reference = novelty_reference(["the heating is broken"] * 5, [], LetterEmbedder())
    found = new_words(prompts, reference)
    counts = [new.prompts for new in found]
    assert counts == sorted(counts, reverse=True)
    for new in found:
        assert new.word not in reference.words
        assert new.prompts == sum(new.word in words(prompt) for prompt in prompts)


def test_a_rare_word_of_a_large_window_is_not_news() -> None:
    # 200 training prompts would miss a word of 10 in 5,000 prompts anyway.
    reference = novelty_reference(_texts(200, seed=1), [], LetterEmbedder())
    prompts = ["thermostat please"] * 10 + _texts(200, seed=1) * 25
    assert new_words(prompts, reference) == []
    assert [new.word for new in new_words(["thermostat"] * 20 + _texts(40, seed=1), reference)] == [
        "thermostat"
    ]


def test_words_are_folded_and_numbers_are_none() -> None:
    assert words("the Skerry’s and SKERRY's cable") == {"the", "skerry", "and", "cable"}
    assert words("Where is MY Café-order 4711? Don't know, straße 5b") == {
        "where",
        "is",
        "my",
        "café-order",
        "don't",
        "know",
        "strasse",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("मेरा पार्सल, ५ दिन", {"मेरा", "पार्सल", "दिन"}),
        ("எனது பொதி எங்கே?", {"எனது", "பொதி", "எங்கே"}),
        ("雪龙手机坏了", {"雪龙", "龙手", "手机", "机坏", "坏了"}),
        ("スノードラゴンが 来た", {"スノードラゴン", "が来", "来た"}),
        ("พัสดุ", {"พัส", "สดุ"}),
        ("ＡＢＣ ﬁne C++", {"abc", "fine", "c++"}),
    ],
)
def test_words_are_found_in_every_script(text: str, expected: set[str]) -> None:
    assert words(text) == expected


def test_the_default_embedder_works_without_network_and_on_odd_text() -> None:
    embedder = StaticEmbedder()
    texts = ["my battery is broken", "the battery no longer works", "sing me a song", "", "\ud800"]
    vectors = embedder.embed(texts)
    assert vectors.shape == (5, 256)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors[:3], axis=1), 1, atol=1e-5)
    assert not vectors[3].any()
    assert np.isfinite(vectors).all()
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert np.array_equal(embedder.embed(texts), vectors)
    assert embedder.embed([]).shape == (0, 256)
    assert "wordllama" in embedder.name
