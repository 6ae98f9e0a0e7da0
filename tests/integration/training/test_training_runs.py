"""Whole runs inside this process: what is written, repeated, continued and refused."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installed_package import install
from training_rows import make_rows, write_rows
from tuneloop.errors import TrainingError
from tuneloop.table import TRACKER_GROUP
from tuneloop.training.config import TrainingConfig
from tuneloop.training.precision import keep_began, of_cpu
from tuneloop.training.spec import TrainingSpec

# transformers, TRL and PEFT warn of each other's deprecations.
pytestmark = pytest.mark.filterwarnings("ignore")


def _train(
    spec: TrainingSpec, *, stop_requested: Callable[[], bool] = lambda: False
) -> tuple[Any, list[dict[str, Any]]]:
    from tuneloop.training.run import train

    spec.write()
    events: list[dict[str, Any]] = []
    return train(spec, emit=events.append, stop_requested=stop_requested), events


def _losses(record: dict[str, Any]) -> list[float]:
    return [point["loss"] for point in record["loss_curves"]["train"]]


def test_a_run_learns_and_leaves_an_adapter_and_its_record(spec: TrainingSpec) -> None:
    outcome, events = _train(spec)
    assert outcome.finished
    assert {path.relative_to(spec.output_folder).as_posix() for path in _files(spec)} == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "record.json",
    }
    record = json.loads((spec.output_folder / "record.json").read_text())
    assert record == outcome.record
    assert record["packed"] is True
    assert (record["dataset"], record["base"]["digest"]) == ("d" * 64, "b" * 64)
    assert record["hyperparameters"]["batch_size"] == {"value": 8, "origin": "file"}
    assert record["hyperparameters"]["alpha"]["in_force"] == 32
    assert record["packages"]["trl"]
    assert record["peak_memory_mb"]["process"] > 100
    assert len(_losses(record)) == record["steps"] == 9
    evaluation = [point["loss"] for point in record["loss_curves"]["eval"]]
    assert len(evaluation) == 3
    assert evaluation[-1] < evaluation[0] - 0.1
    assert record["final_loss"] == _losses(record)[-1]
    assert (record["best_eval_loss"], record["best_eval_step"]) == (min(evaluation), 9)
    assert record["best_eval_epoch"] == 3
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 10))
    assert all(event["tokens_per_second"] > 0 for event in steps)
    assert steps[-1]["seconds_left"] == 0


def test_no_path_of_this_machine_is_in_the_adapter(spec: TrainingSpec) -> None:
    _train(spec)
    described = (spec.output_folder / "adapter" / "adapter_config.json").read_text()
    assert str(spec.base_folder) not in described
    assert json.loads(described)["base_model_name_or_path"] == "tiny"


def test_the_same_run_twice_gives_the_same_adapter(spec: TrainingSpec) -> None:
    first, _ = _train(spec)
    before = (spec.output_folder / "adapter" / "adapter_model.safetensors").read_bytes()
    second, _ = _train(spec)
    after = (spec.output_folder / "adapter" / "adapter_model.safetensors").read_bytes()
    assert _losses(first.record) == _losses(second.record)
    assert before == after


def test_a_stopped_run_continues_in_the_middle_of_an_epoch_as_if_never_stopped(
    spec: TrainingSpec, tmp_path: Path
) -> None:
    whole, _ = _train(replace(spec, run_folder=tmp_path / "whole"))
    asked: list[int] = []

    def after_five_steps() -> bool:
        asked.append(1)
        return len(asked) >= 5

    stopped, _ = _train(spec, stop_requested=after_five_steps)
    assert not stopped.finished
    assert stopped.step == 5
    assert not spec.output_folder.exists()
    finished, events = _train(spec)
    assert {"event": "note", "text": "Continuing from checkpoint-5."} in events
    assert finished.record["resumed_from_step"] == 5
    _same_losses(finished.record, whole.record)


@pytest.mark.parametrize("step", [3, 6, 9])
def test_a_run_stopped_after_an_epochs_last_step_measures_that_epoch(
    spec: TrainingSpec, tmp_path: Path, step: int
) -> None:
    whole, _ = _train(replace(spec, run_folder=tmp_path / "whole"))
    asked: list[int] = []

    def after_the_epoch() -> bool:
        asked.append(1)
        return len(asked) >= step

    stopped, _ = _train(spec, stop_requested=after_the_epoch)
    assert not stopped.finished
    finished, _ = _train(spec)
    _same_losses(finished.record, whole.record)


@pytest.mark.parametrize("killed_at", ["before", "in"])
def test_a_run_killed_around_an_evaluation_still_has_it(
    spec: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    """However often checkpoints are saved: here after every step."""
    from tuneloop.training import trainer

    monkeypatch.setitem(trainer._SECONDS_BETWEEN_CHECKPOINTS, "lora", 0.0)
    whole, _ = _train(replace(spec, run_folder=tmp_path / "whole"))

    class KilledError(Exception):
        pass

    def kill(*args: Any, **kwargs: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        if killed_at == "in":
            patch.setattr(trainer.PackedTrainer, "mean_loss", kill)
        else:
            patch.setattr(trainer.PackedTrainer, "evaluate", kill)
        _train(spec)
    assert (spec.run_folder / "checkpoints" / "checkpoint-2").is_dir()
    finished, _ = _train(spec)
    assert finished.record["resumed_from_step"] == 2
    _same_losses(finished.record, whole.record)


@pytest.mark.parametrize("interrupted_at", [10, 12])
def test_early_stopping_counts_on_after_an_interruption(
    spec: TrainingSpec, monkeypatch: pytest.MonkeyPatch, interrupted_at: int
) -> None:
    """In the epoch that is the last, and after its last step."""
    from tuneloop.training.trainer import PackedTrainer

    def measured(self: Any, rows: Any) -> float:
        """The best after the second epoch, at step 6; worse and worse from then on."""
        return abs(float(self.state.global_step) - 6.0)

    monkeypatch.setattr(PackedTrainer, "mean_loss", measured)
    spec = replace(spec, config=spec.config.but(epochs=12, early_stopping_patience=2))
    asked: list[int] = []

    def in_the_fourth_epoch() -> bool:
        asked.append(1)
        return len(asked) >= interrupted_at

    stopped, _ = _train(spec, stop_requested=in_the_fourth_epoch)
    assert not stopped.finished and stopped.step == interrupted_at
    finished, _ = _train(spec)
    assert finished.record["steps"] == 12
    assert (finished.record["best_eval_step"], finished.record["best_eval_epoch"]) == (6, 2)


TRACKER = """
from transformers import TrainerCallback
from tuneloop.training.trackers import Tracker

TOLD = []

class Callback(TrainerCallback):
    def on_log(self, args, state, control, logs, **kwargs):
        TOLD.append(dict(logs))

TRACKER = Tracker(name="acme", about="a list in memory", callback=Callback)
"""


def test_a_packages_tracker_is_told_the_losses_of_the_record(
    spec: TrainingSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not the mean over the steps that this process made."""
    adds = {TRACKER_GROUP: {"acme": "acme:TRACKER"}}
    install(tmp_path, monkeypatch, module=TRACKER, adds=adds)
    told: list[dict[str, Any]] = importlib.import_module("acme").TOLD
    spec = replace(spec, config=spec.config.but(trackers=("acme",)))
    asked: list[int] = []

    def in_the_second_epoch() -> bool:
        asked.append(1)
        return len(asked) == 5

    _train(spec, stop_requested=in_the_second_epoch)
    assert not any("final_loss" in logs for logs in told)
    outcome, _ = _train(spec)
    names = ("final_loss", "final_eval_loss", "best_eval_loss", "best_eval_step")
    assert {name: told[-1][name] for name in names} == {
        name: outcome.record[name] for name in names
    }
    assert not any("train_loss" in logs for logs in told)


def _same_losses(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Curves and figures are those of a run that was never interrupted, each point once."""
    for curve in ("train", "eval"):
        mine, theirs = one["loss_curves"][curve], other["loss_curves"][curve]
        assert [point["step"] for point in mine] == [point["step"] for point in theirs]
        assert [p["loss"] for p in mine] == pytest.approx([p["loss"] for p in theirs], abs=1e-5)
    for name in ("final_loss", "final_eval_loss", "best_eval_loss"):
        assert one[name] == pytest.approx(other[name], abs=1e-5), name
    for name in ("best_eval_step", "best_eval_epoch", "steps"):
        assert one[name] == other[name], name


def test_a_half_written_checkpoint_is_passed_over(spec: TrainingSpec) -> None:
    from tuneloop.training.run import last_checkpoint

    folder = spec.run_folder / "checkpoints"
    for step, content in ((3, '{"global_step": 3}'), (6, '{"global_st'), (9, None)):
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        if content is not None:
            (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(content)
    assert last_checkpoint(folder) == folder / "checkpoint-3"
    assert [path.name for path in folder.iterdir()] == ["checkpoint-3"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_weights_can_be_trained(spec: TrainingSpec, precision: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = spec.config.but(method="full", learning_rate=1e-3, precision=precision)
    outcome, _ = _train(replace(spec, config=config))
    folder = spec.output_folder / "model"
    assert _losses(outcome.record)[-1] < _losses(outcome.record)[0]
    base = AutoModelForCausalLM.from_pretrained(spec.base_folder).state_dict()
    tuned = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert {str(weight.dtype) for weight in tuned.values()} == {"torch.float32"}
    assert any(not base[name].equal(tuned[name]) for name in base)
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert not list(folder.rglob("*.bin"))


def test_training_stops_early_and_keeps_the_best_adapter(spec: TrainingSpec) -> None:
    # A rate that makes the held-out loss rise after the first epoch.
    config = spec.config.but(epochs=12, learning_rate=0.1, schedule="constant")
    outcome, _ = _train(replace(spec, config=config.but(early_stopping_patience=1)))
    evaluation = [point["loss"] for point in outcome.record["loss_curves"]["eval"]]
    assert len(evaluation) < 12
    assert outcome.record["best_eval_loss"] == min(evaluation) < evaluation[-1]
    assert _held_out_loss(spec) == pytest.approx(min(evaluation), abs=1e-4)


def test_without_evaluation_rows_the_last_step_is_kept(spec: TrainingSpec) -> None:
    outcome, _ = _train(replace(spec, eval_file=None))
    assert outcome.finished
    assert outcome.record["final_eval_loss"] is None


def test_a_diverging_run_says_so(spec: TrainingSpec) -> None:
    config = spec.config.but(method="full", learning_rate=1e30, warmup_share=0.0)
    with pytest.raises(TrainingError, match="The loss became") as caught:
        _train(replace(spec, config=config))
    assert "learning_rate" in caught.value.remedy


def test_gradient_checkpointing_and_small_packs_change_nothing(spec: TrainingSpec) -> None:
    plain, _ = _train(spec)
    saving = spec.config.but(gradient_checkpointing="on", tokens_per_pack=100)
    saved, _ = _train(replace(spec, config=saving))
    assert _losses(saved.record) == pytest.approx(_losses(plain.record), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_bf16_ends_within_a_hundredth_of_the_loss_of_fp32(
    spec: TrainingSpec, tmp_path: Path, seed: int
) -> None:
    """By the plain definition in fp32, and as the run itself measures."""
    measured = {}
    for name in ("fp32", "bf16"):
        config = spec.config.but(precision=name, seed=seed)
        run = replace(spec, run_folder=tmp_path / name, config=config)
        outcome, events = _train(run)
        assert outcome.record["precision"] == {"name": name, "reason": "as set", "gflops": {}}
        assert outcome.record["packed"] is True
        assert any(event.get("text") == f"Computes in {name}: as set." for event in events)
        measured[name] = (_held_out_loss(run), outcome.record["best_eval_loss"])
    assert measured["bf16"] == pytest.approx(measured["fp32"], rel=0.01)
    assert measured["bf16"] != measured["fp32"]


def test_a_run_goes_on_in_the_precision_that_it_began_with(spec: TrainingSpec) -> None:
    """As on a machine whose CPU was measured to be faster in bf16."""
    asked: list[int] = []

    def after_five_steps() -> bool:
        asked.append(1)
        return len(asked) >= 5

    _train(spec, stop_requested=after_five_steps)
    began = of_cpu({"fp32": 212.0, "bf16": 961.0})
    keep_began(spec.run_folder / "checkpoints", began)
    finished, _ = _train(spec)
    assert finished.record["resumed_from_step"] == 5
    assert finished.record["precision"] == began.as_json()
    assert finished.record["hyperparameters"]["precision"] == {
        "value": "auto",
        "origin": "default",
        "in_force": "bf16",
    }


def test_rows_without_system_text_are_trained(spec: TrainingSpec, tmp_path: Path) -> None:
    rows = [*make_rows(6, system=None), *make_rows(6, system="Be brief.", seed=2)]
    path = write_rows(tmp_path / "mixed.jsonl", rows)
    outcome, _ = _train(replace(spec, train_file=path, config=spec.config.but(epochs=1)))
    assert outcome.record["rows"]["train"] == 12


def _files(spec: TrainingSpec) -> list[Path]:
    return [path for path in spec.output_folder.rglob("*") if path.is_file()]


def _held_out_loss(spec: TrainingSpec) -> float:
    """Measured by the plain definition on the saved adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from tuneloop.training.loss import padded_loss
    from tuneloop.training.packing import padded_tensors
    from tuneloop.training.preflight import look_before

    rows = look_before(replace(spec, config=TrainingConfig(device="cpu"))).evaluation.rows
    base = AutoModelForCausalLM.from_pretrained(spec.base_folder)
    model = PeftModel.from_pretrained(base, spec.output_folder / "adapter").eval()
    with torch.no_grad():
        total = padded_loss(model, padded_tensors(rows, pad_id=0))
    return float(total) / sum(len(row.completion) for row in rows)
