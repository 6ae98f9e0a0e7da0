"""Preference training: the better answer gains on the worse one, and the result is an adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training_rows import make_rows, write_rows
from tuneloop import modelfile
from tuneloop.deployment.export.merge import merge_adapter
from tuneloop.errors import TrainingError
from tuneloop.hashing import digest_text
from tuneloop.progress import Silent
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.base_model import BaseModel
from tuneloop.testing.manifest import manifest_of
from tuneloop.training import stage
from tuneloop.training.config import TrainingConfig
from tuneloop.training.preflight import look_before
from tuneloop.training.process import TrainedOutput
from tuneloop.training.record import write_record
from tuneloop.training.run import train as train_here
from tuneloop.training.spec import TrainingSpec
from tuneloop.workspace import Workspace

# TRL and transformers warn of their own settings; a run's process sends that to its log.
pytestmark = pytest.mark.filterwarnings("ignore")


def write_pairs(path: Path, count: int, *, seed: int = 0) -> Path:
    """The better answer always names one intent, the worse one another."""
    lines = [
        json.dumps(
            {
                "id": row.id,
                "messages": [message.as_row() for message in row.messages],
                "chosen": '{"intent": "refund"}',
                "rejected": '{"intent": "printer"}',
            }
        )
        for row in make_rows(count, seed=seed)
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def pairs(spec: TrainingSpec, tmp_path: Path) -> TrainingSpec:
    """Three epochs of two steps, from the base."""
    return replace(
        spec,
        train_file=write_pairs(tmp_path / "preferences.jsonl", 16),
        eval_file=write_pairs(tmp_path / "preferences_eval.jsonl", 6, seed=1),
        config=TrainingConfig(
            method="dpo",
            start_from="base",
            batch_size=8,
            device="cpu",
            threads=1,
            dpo_epochs=3,
            dpo_learning_rate=4e-3,
            minimum_pairs=16,
        ),
    )


def trained(spec: TrainingSpec) -> dict[str, Any]:
    """The record of a run in this process."""
    return train_here(spec, emit=lambda event: None).record


def losses(record: dict[str, Any]) -> list[float]:
    return [point["loss"] for point in record["loss_curves"]["train"]]


def test_the_better_answer_gains(pairs: TrainingSpec, tmp_path: Path) -> None:
    record = trained(pairs)
    train, held_out = record["loss_curves"]["train"], record["loss_curves"]["eval"]
    assert record["steps"] == len(train) == 6
    # Before the first update the model is its own reference: log 2, and no margin.
    assert train[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert train[0]["margin"] == pytest.approx(0, abs=1e-3)
    assert record["final_loss"] < 0.6
    assert train[-1]["margin"] > 0.2
    assert train[-1]["accuracy"] == 1.0
    measured = [point["loss"] for point in held_out]
    assert measured == sorted(measured, reverse=True)
    assert held_out[-1]["margin"] > held_out[0]["margin"] > 0
    assert record["best_eval_loss"] == measured[-1]
    assert record["rows"] == {"train": 16, "eval": 6}
    assert record["tokens_per_second"] > 0
    assert record["hyperparameters"]["beta"] == {"value": 0.1, "origin": "default"}
    assert sorted(path.name for path in (pairs.output_folder / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]

    # A step is the mean over its batch, however many pairs go through the model at once.
    few = pairs.config.but(tokens_per_pack=2 * 2 * 70)
    parts = trained(replace(pairs, run_folder=tmp_path / "few", config=few))
    assert losses(parts) == pytest.approx(losses(record), rel=1e-3)


def test_the_better_answer_gains_in_bf16_where_it_is_asked_for(pairs: TrainingSpec) -> None:
    record = trained(replace(pairs, config=pairs.config.but(precision="bf16")))
    assert record["precision"]["name"] == "bf16"
    assert record["loss_curves"]["train"][0]["loss"] == pytest.approx(0.6931, abs=1e-2)
    assert record["final_loss"] < 0.6


def test_a_stopped_run_continues(pairs: TrainingSpec, tmp_path: Path) -> None:
    whole = trained(replace(pairs, run_folder=tmp_path / "whole"))
    steps: list[int] = []

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            steps.append(event["step"])
            assert "margin" in event

    stopped = train_here(pairs, emit=emit, stop_requested=lambda: len(steps) >= 3)
    assert not stopped.finished
    record = trained(pairs)
    assert record["resumed_from_step"] >= 3
    assert losses(record) == pytest.approx(losses(whole), rel=1e-3)


def test_an_adapter_is_gone_on_with(pairs: TrainingSpec, tmp_path: Path) -> None:
    """Stopped in between, what it measures against is still what it started from."""
    trained(pairs)
    start = pairs.output_folder / "adapter"
    second = replace(pairs, run_folder=tmp_path / "second", start_folder=start, start_run="first")
    steps: list[int] = []

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            steps.append(event["step"])

    train_here(second, emit=emit, stop_requested=lambda: len(steps) >= 3)
    record = trained(second)
    assert losses(record)[0] == pytest.approx(0.6931, abs=1e-3)
    assert record["resumed_from_step"] >= 3
    assert losses(record)[-1] < losses(record)[2] < 0.6931
    assert record["start_run"] == "first"
    assert sorted(path.name for path in (second.output_folder / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_too_few_pairs_are_refused(pairs: TrainingSpec) -> None:
    many = replace(pairs, config=pairs.config.but(minimum_pairs=17))
    with pytest.raises(TrainingError, match="There are 16 preference pairs"):
        look_before(many)
    short = replace(pairs, config=pairs.config.but(max_length=16))
    with pytest.raises(TrainingError, match=r"0 preference pairs \(16 more are longer"):
        look_before(short)


Train = Callable[..., stage.TrainingRun]


@pytest.fixture
def train(workspace: Workspace, tiny_folder: Path, tmp_path: Path) -> Train:
    """Train the tiny model on a stored dataset with 16 pairs."""
    rows = tmp_path / "rows"
    rows.mkdir()
    write_rows(rows / "train.jsonl", make_rows(16))
    write_rows(rows / "eval.jsonl", make_rows(4, seed=1))
    write_pairs(rows / "preferences.jsonl", 16)
    write_pairs(rows / "preferences_eval.jsonl", 0)
    dataset = workspace.artifacts.put(rows, kind="dataset")
    file = tmp_path / "tuneloop.yaml"
    file.write_text(
        f"name: desk\nbase: {tiny_folder}\ntask:\n  system: Sort.\ndata:\n  sources: [rows.jsonl]\n"
        "training:\n  method: dpo\n  batch_size: 8\n  threads: 1\n  epochs: 1\n"
        "  minimum_pairs: 16\n  dpo_learning_rate: 0.001\n  dpo_epochs: 2\n"
    )
    base = BaseModel(
        spec=str(tiny_folder), revision=None, digest=digest_text("tiny"), folder=tiny_folder
    )

    def run(**settings: Any) -> stage.TrainingRun:
        overrides = [f"training.{key}={value}" for key, value in settings.items()]
        model = modelfile.load(file, overrides=overrides, environment={})
        return stage.train(workspace, model=model, dataset=dataset, base=base, progress=Silent())

    return run


def weights(workspace: Workspace, run: stage.TrainingRun) -> dict[str, Any]:
    from safetensors.torch import load_file

    folder = workspace.artifacts.get(str(run.artifact)) / "adapter"
    return dict(load_file(folder / "adapter_model.safetensors"))


@pytest.mark.timeout(300)  # two runs, each in a process of its own
def test_examples_first_then_preferences(
    workspace: Workspace, train: Train, tiny_folder: Path, tmp_path: Path
) -> None:
    run = train()
    earlier, made = sorted(stage.listing(workspace, "desk"), key=lambda one: one.id == run.id)
    assert (made.id, earlier.status) == (run.id, "finished")
    assert run.record["start_run"] == earlier.id
    assert earlier.record["hyperparameters"]["method"]["value"] == "lora"
    assert run.record["loss_curves"]["train"][0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert run.record["loss_curves"]["train"][-1]["margin"] > 0

    # One adapter on the base holds both; the export takes it as it is.
    before, after = weights(workspace, earlier), weights(workspace, run)
    assert before.keys() == after.keys()
    moved = max(float((after[name] - before[name]).abs().max()) for name in before)
    size = max(float(before[name].abs().max()) for name in before)
    assert 0 < moved < size
    adapter = workspace.artifacts.get(str(run.artifact)) / "adapter"
    merge_adapter(tiny_folder, adapter, tmp_path / "merged", progress=Silent())
    assert (tmp_path / "merged" / "model.safetensors").is_file()

    assert train().id == run.id, "the same again is recognised"
    assert train(method="lora").id == earlier.id
    assert len(stage.listing(workspace, "desk")) == 2


def test_production_is_gone_on_with(
    workspace: Workspace, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is an adapter on this base; nothing is trained on the examples then."""
    specs: list[TrainingSpec] = []

    def quick(spec: TrainingSpec, *, progress: Silent) -> TrainedOutput:
        specs.append(spec)
        kind = "model" if spec.config.method == "full" else "adapter"
        (spec.output_folder / kind).mkdir(parents=True)
        (spec.output_folder / kind / "weights").write_text(spec.config.method)
        figures = {"steps": 1, "train_seconds": 1, "tokens_per_second": 1, "final_loss": 1.0}
        write_record(spec.output_folder, figures)
        return TrainedOutput(folder=spec.output_folder, record=figures)

    monkeypatch.setattr(stage, "run_training", quick)
    live = train(method="lora")
    put_into_production(workspace, live)
    train(start_from="production")
    assert [spec.config.method for spec in specs] == ["lora", "dpo"]
    assert specs[1].start_run == live.id
    assert specs[1].start_folder == workspace.artifacts.get(str(live.artifact)) / "adapter"
    assert specs[1].train_file.name == "preferences.jsonl"

    put_into_production(workspace, train(method="full"))
    with pytest.raises(TrainingError, match="made a whole model"):
        train(start_from="production", beta=0.2)


def put_into_production(workspace: Workspace, run: stage.TrainingRun) -> None:
    content = manifest_of(
        model="desk",
        base={"digest": run.base},
        artifacts={"adapter": str(run.artifact)},
        dataset={},
        training={"run": run.id},
        task={},
        serving={},
        evaluation={},
        routing={},
    )
    bundle = bundles.register(workspace, content)
    with workspace.records.begin() as tx:
        aliases.move(
            tx,
            model="desk",
            name="production",
            bundle=bundle.id,
            expected=aliases.read(tx, "desk").get("production"),
            actor="ann",
            reason="better",
            now=workspace.now(),
        )


def test_nothing_is_trained_before_the_pairs_are_counted(
    workspace: Workspace, train: Train
) -> None:
    with pytest.raises(TrainingError, match="There are 16 preference pairs"):
        train(minimum_pairs=17)
    with pytest.raises(TrainingError, match="nothing is in production"):
        train(start_from="production")
    assert stage.listing(workspace, "desk") == []
