"""The stage: a run is stored, recorded, recognised and continued."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from training_rows import make_rows, write_rows
from tuneloop import modelfile
from tuneloop.errors import StoreError, TrainingError
from tuneloop.hashing import digest_text
from tuneloop.progress import Silent
from tuneloop.registry.base_model import BaseModel
from tuneloop.training import process, stage
from tuneloop.training.record import identity, write_record
from tuneloop.training.spec import TrainingSpec
from tuneloop.workspace import Workspace


class Listener(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


Train = Callable[..., stage.TrainingRun]


def version(
    workspace: Workspace, folder: Path, *, report: str = "", rows: int = 16, seed: int = 1
) -> str:
    """A stored dataset version; `report` changes its digest and no row of it."""
    folder.mkdir()
    write_rows(folder / "train.jsonl", make_rows(rows))
    write_rows(folder / "eval.jsonl", make_rows(4, seed=seed))
    (folder / "report.json").write_text(report)
    return workspace.artifacts.put(folder, kind="dataset")


@pytest.fixture
def train(workspace: Workspace, tiny_folder: Path, tmp_path: Path) -> Train:
    """Train the tiny model on a stored dataset; keywords are settings of `training`."""
    stored = version(workspace, tmp_path / "rows")
    file = tmp_path / "tuneloop.yaml"
    file.write_text(
        f"name: desk\nbase: {tiny_folder}\ntask:\n  system: Sort.\n"
        "data:\n  sources: [rows.jsonl]\ntraining:\n  batch_size: 8\n  threads: 1\n"
    )
    base = BaseModel(
        spec=str(tiny_folder), revision=None, digest=digest_text("tiny"), folder=tiny_folder
    )

    def run(
        *,
        dataset: str = stored,
        force: bool = False,
        progress: Silent | None = None,
        **settings: Any,
    ) -> stage.TrainingRun:
        overrides = [f"training.{key}={value}" for key, value in settings.items()]
        model = modelfile.load(file, overrides=overrides, environment={})
        return stage.train(
            workspace,
            model=model,
            dataset=dataset,
            base=base,
            progress=progress or Silent(),
            force=force,
        )

    return run


def test_a_run_is_stored_recorded_and_recognised(workspace: Workspace, train: Train) -> None:
    run = train(epochs=1)
    assert run.status == "finished"
    folder = workspace.artifacts.get(str(run.artifact))
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert json.loads((folder / "record.json").read_text()) == run.record
    origins = {name: value["origin"] for name, value in run.hyperparameters.items()}
    assert (origins["batch_size"], origins["epochs"], origins["rank"]) == (
        "file",
        "flag",
        "default",
    )
    # T8: settings that only change the speed do not make another run.
    assert train(epochs=1, threads=2).id == run.id
    assert len(stage.listing(workspace, "desk")) == 1
    again = train(epochs=1, force=True)
    assert again.id != run.id
    assert again.record["final_loss"] == run.record["final_loss"]
    assert list((workspace.root / "work" / "training").iterdir()) == []


@pytest.mark.timeout(300)
def test_the_checkpoint_is_picked_by_rows_that_are_set_aside(
    workspace: Workspace, train: Train, tmp_path: Path
) -> None:
    """And not by the held-out ones, of which this version has none."""
    folder = tmp_path / "more"
    folder.mkdir()
    write_rows(folder / "train.jsonl", make_rows(60))
    (folder / "eval.jsonl").write_text("")
    dataset = workspace.artifacts.put(folder, kind="dataset")
    listener = Listener()
    run = train(epochs=2, dataset=dataset, progress=listener)
    assert run.record["validation"] == "of the rows to train on"
    assert run.record["rows"]["eval"] >= 5
    assert run.record["rows"]["train"] + run.record["rows"]["eval"] == 60
    measured = [point["loss"] for point in run.record["loss_curves"]["eval"]]
    assert len(measured) == 2 and run.record["best_eval_loss"] == min(measured)
    assert any("set aside for validation" in note for note in listener.notes)
    assert train(epochs=2, dataset=dataset).id == run.id, "the same again is recognised"


def test_a_failed_run_says_why_and_the_next_one_is_new(workspace: Workspace, train: Train) -> None:
    with pytest.raises(TrainingError, match="No row is left"):
        train(max_length=20)
    (run,) = stage.listing(workspace, "desk")
    assert run.status == "failed"
    assert run.artifact is None
    assert "No row is left" in run.record["error"]


class FullOnce:
    """An artifact store that has no room the first time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
        self.folders: list[Path] = []
        self._put = workspace.artifacts.put
        monkeypatch.setattr(workspace.artifacts, "put", self)

    def __call__(self, folder: Path, *, kind: str) -> str:
        self.folders.append(folder)
        if len(self.folders) == 1:
            raise StoreError("No room left to store.", remedy="It continues.")
        return self._put(folder, kind=kind)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Training takes no time here; one entry for each process that trained."""
    seeds: list[int] = []

    class Quick:
        """Leaves in the run folder what the child process leaves."""

        def __init__(self, spec: TrainingSpec) -> None:
            process._make_ready(spec)
            spec.write()
            self._spec = spec

        def events(self, *, cancelled: Callable[[], bool]) -> Iterator[dict[str, Any]]:
            seeds.append(self._spec.config.seed)
            adapter = self._spec.output_folder / "adapter"
            adapter.mkdir(parents=True)
            (adapter / "adapter_model.safetensors").write_text(str(len(seeds)))
            figures = {"steps": 1, "train_seconds": 1, "tokens_per_second": 1, "final_loss": 1.0}
            write_record(self._spec.output_folder, figures | identity(self._spec))
            yield {"event": "done", "step": 1}

    monkeypatch.setattr(process, "TrainingProcess", Quick)
    return seeds


def test_equal_rows_under_another_recipe_are_the_same_training(
    workspace: Workspace, train: Train, trained: list[int], tmp_path: Path
) -> None:
    listener = Listener()
    first = train(epochs=3)
    other = version(workspace, tmp_path / "b", report="another recipe")
    assert other != first.dataset
    again = train(epochs=3, dataset=other, progress=listener)
    assert again.id == first.id and again.dataset == first.dataset and trained == [0]
    assert f"dataset {first.dataset[:12]}" in listener.notes[-1]
    assert train(epochs=3, dataset=other, force=True).dataset == other
    assert train(epochs=3, dataset=other, seed=1).id != first.id, "another config"
    more = version(workspace, tmp_path / "c", rows=17)
    assert train(epochs=3, dataset=more).id != first.id, "other rows"


def test_held_out_rows_choose_nothing(
    workspace: Workspace, train: Train, trained: list[int], tmp_path: Path
) -> None:
    other = version(workspace, tmp_path / "b", seed=2)
    first, single = train(epochs=3), train(epochs=1)
    assert train(epochs=3, dataset=other).id == first.id, "other rows pick its checkpoint"
    assert train(epochs=1, dataset=other).id == single.id, "one pass leaves no choice"


def test_a_finished_training_that_could_not_be_stored_is_not_repeated(
    workspace: Workspace, train: Train, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    FullOnce(monkeypatch, workspace)
    with pytest.raises(StoreError, match="No room left"):
        train(epochs=1)
    listener = Listener()
    run = train(epochs=1, progress=listener)
    assert run.status == "finished"
    assert trained == [0]
    assert any("had finished" in note for note in listener.notes)
    folder = workspace.artifacts.get(str(run.artifact))
    assert json.loads((folder / "record.json").read_text()) == run.record
    assert [one.status for one in stage.listing(workspace, "desk")].count("finished") == 1


def test_what_was_trained_with_other_settings_is_not_taken(
    workspace: Workspace, train: Train, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    FullOnce(monkeypatch, workspace)
    with pytest.raises(StoreError):
        train(epochs=1)
    assert train(epochs=1, seed=5).record["seed"] == 5
    assert trained == [0, 5]


def test_training_by_force_takes_no_leftover_of_a_finished_run(
    workspace: Workspace, train: Train, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the last line in the records and the clean-up."""
    with monkeypatch.context() as killed:
        killed.setattr(stage.shutil, "rmtree", lambda *_, **__: None)
        run = train(epochs=1)
    assert list((workspace.root / "work" / "training").glob("*/output/record.json"))
    assert train(epochs=1).id == run.id
    assert train(epochs=1, force=True).id != run.id
    assert trained == [0, 0]
