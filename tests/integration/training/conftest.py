"""A tiny model and a spec to train it, for the tests of whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from training_rows import make_rows, write_rows
from tuneloop.testing.tiny_model import make_tiny_model
from tuneloop.training.config import TrainingConfig
from tuneloop.training.spec import TrainingSpec


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def spec(tiny_folder: Path, tmp_path: Path) -> TrainingSpec:
    """Three epochs of three steps."""
    return TrainingSpec(
        base_folder=tiny_folder,
        train_file=write_rows(tmp_path / "train.jsonl", make_rows(24)),
        eval_file=write_rows(tmp_path / "eval.jsonl", make_rows(6, seed=1)),
        run_folder=tmp_path / "run",
        config=TrainingConfig(batch_size=8, device="cpu", threads=1, learning_rate=2e-3),
        origins={"batch_size": "file"},
        dataset_digest="d" * 64,
        base={"spec": "tiny", "revision": "", "digest": "b" * 64},
    )
