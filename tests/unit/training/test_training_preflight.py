"""Preflight shows what will be trained and refuses what would train nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training_rows import make_rows, make_token_rows, write_rows
from tuneloop.errors import BaseModelError, DataError, TrainingError
from tuneloop.training.config import TrainingConfig
from tuneloop.training.preflight import ShownToken, look_before, marked, refuse_untrained
from tuneloop.training.rows import rendered_mask
from tuneloop.training.spec import TrainingSpec


@pytest.fixture
def spec(tiny_folder: Path, tmp_path: Path) -> TrainingSpec:
    return TrainingSpec(
        base_folder=tiny_folder,
        train_file=write_rows(tmp_path / "train.jsonl", make_rows(40)),
        eval_file=write_rows(tmp_path / "eval.jsonl", make_rows(4, seed=1)),
        run_folder=tmp_path / "run",
        config=TrainingConfig(device="cpu"),
    )


def test_the_example_marks_exactly_the_answer(spec: TrainingSpec) -> None:
    before = look_before(spec)
    answer = make_rows(1)[0].completion
    assert marked(before.example).endswith(f"<|im_start|>assistant\n⟦{answer}<|im_end|>⟧")
    assert before.memory.fits
    assert before.memory.sentence() in before.notes[-1]


def test_both_marks_of_a_long_answer_are_seen() -> None:
    example = [
        ShownToken(text="ask " * 200, trained=False),
        ShownToken(text="a" * 999, trained=True),
    ]
    shown = marked(example)
    assert len(shown) < 280 and shown.count("…") == 2
    assert shown.startswith("ask ask") and "⟦aaa" in shown and shown.endswith("aaa⟧")


def test_rows_without_a_trained_token_are_refused_with_the_tokens(tiny_tokenizer: Any) -> None:
    row = replace(make_token_rows(1, tiny_tokenizer)[0], completion=())
    example = [ShownToken(text=t, trained=m) for t, m in rendered_mask(row, tiny_tokenizer)]
    with pytest.raises(TrainingError, match=r"no token to train on.*im_start") as caught:
        refuse_untrained([row], example)
    assert row.id in caught.value.message
    assert "(trained)" not in caught.value.message


def test_unusual_settings_and_missing_evaluation_are_told(spec: TrainingSpec) -> None:
    config = TrainingConfig(device="cpu", epochs=9)
    before = look_before(replace(spec, config=config, eval_file=None))
    assert any("9 epochs" in warning for warning in before.warnings)
    assert any("overfitting goes unnoticed" in note for note in before.notes)


def test_rows_are_set_aside_to_pick_the_checkpoint(spec: TrainingSpec, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "train.jsonl", make_rows(80))
    drawing = replace(spec, train_file=rows, eval_file=None, draws_validation=True)
    before, again = look_before(drawing), look_before(drawing)
    measured = {row.id for row in before.evaluation.rows}
    assert 5 <= before.evaluation.answers <= 8 and before.train.answers >= 72
    assert measured.isdisjoint(row.id for row in before.train.rows)
    assert {row.id for row in again.evaluation.rows} == measured
    assert any("set aside for validation" in note for note in before.notes)


def test_few_rows_are_all_trained_on_and_that_is_said(spec: TrainingSpec) -> None:
    before = look_before(replace(spec, eval_file=None, draws_validation=True))
    assert before.train.answers == 40 and not before.evaluation.rows
    assert any("the last checkpoint is taken" in note for note in before.notes)


def test_rows_that_are_all_too_long_are_refused(spec: TrainingSpec) -> None:
    config = TrainingConfig(device="cpu", max_length=16)
    with pytest.raises(TrainingError, match="40 rows, 40 longer than 16 tokens"):
        look_before(replace(spec, config=config))


def test_a_missing_file_or_base_is_named(spec: TrainingSpec, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        look_before(replace(spec, train_file=tmp_path / "nowhere.jsonl"))
    with pytest.raises(BaseModelError, match="nowhere"):
        look_before(replace(spec, base_folder=tmp_path / "nowhere"))


def test_a_spec_survives_its_file(spec: TrainingSpec) -> None:
    assert TrainingSpec.read(spec.write()) == spec
