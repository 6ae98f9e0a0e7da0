"""One training run, start to end, inside the process that trains.

Reads top to bottom: rows, preflight, model, trainer, training, output, record.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tuneloop.errors import TrainingError
from tuneloop.training import model as models
from tuneloop.training.loss import made_to_pack
from tuneloop.training.precision import keep_began
from tuneloop.training.preference_trainer import (
    PreferenceTrainer,
    dpo_arguments,
    pair_dataset,
    pairs_at_once,
)
from tuneloop.training.preflight import Preflight, look_before, marked
from tuneloop.training.record import (
    hardware,
    hyperparameters,
    identity,
    loss_curves,
    losses_of,
    package_versions,
    peak_memory_mb,
    write_record,
)
from tuneloop.training.spec import CHECKPOINTS_NAME, TrainingSpec
from tuneloop.training.trainer import (
    BatchMaker,
    PackedTrainer,
    StepClock,
    StepEvents,
    arguments,
    callbacks,
    sft_arguments,
)

Emit = Callable[[dict[str, Any]], None]

Made = tuple[PackedTrainer | PreferenceTrainer, bool, dict[str, Any]]
"""The trainer, whether it packs, and the values that the run itself chose."""


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """How a run ended."""

    finished: bool
    """False when it was asked to stop; the next start continues from its checkpoint."""
    step: int
    record: dict[str, Any]


def train(
    spec: TrainingSpec, *, emit: Emit, stop_requested: Callable[[], bool] = lambda: False
) -> TrainingOutcome:
    """Train as the spec says and leave the result in its output folder.

    Raises:
        TuneloopError: with what is wrong and what to do.
    """
    started = time.perf_counter()
    config = spec.config
    checkpoints = spec.run_folder / CHECKPOINTS_NAME
    checkpoint = last_checkpoint(checkpoints)
    before = look_before(spec, checkpoints=None if checkpoint is None else checkpoints)
    keep_began(checkpoints, before.precision)
    for note in before.notes:
        emit({"event": "note", "text": note})
    torch.set_num_threads(before.threads)
    emit({"event": "note", "text": f"First row, trained part marked: {marked(before.example)}"})
    clock = StepClock()
    trainer, packed, in_force = _make_trainer(spec, before, emit, stop_requested, clock)
    if checkpoint is not None:
        emit({"event": "note", "text": f"Continuing from {checkpoint.name}."})
        if stopped_early(_state_of(checkpoint), config.early_stopping_patience):
            # Interrupted after that was found: no step is left.
            trainer.args.max_steps = _state_of(checkpoint)["global_step"]
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    step = trainer.state.global_step
    if stop_requested():
        return TrainingOutcome(finished=False, step=step, record={})
    record = {
        **identity(spec),
        "hyperparameters": hyperparameters(config, spec.origins, in_force=in_force),
        "packages": package_versions(),
        "hardware": hardware(before.device, threads=before.threads),
        "precision": before.precision.as_json(),
        "packed": packed,
        **_figures(trainer, before, seconds=max(clock.seconds, 1e-9)),
        "resumed_from_step": 0 if checkpoint is None else int(checkpoint.name.split("-")[-1]),
    }
    output = _save(trainer, spec)
    record["peak_memory_mb"] = peak_memory_mb(before.device)
    record["wall_seconds"] = round(time.perf_counter() - started, 3)
    write_record(output, record)
    _publish(output, spec.output_folder)
    return TrainingOutcome(finished=True, step=step, record=record)


def _make_trainer(
    spec: TrainingSpec,
    before: Preflight,
    emit: Emit,
    stop_requested: Callable[[], bool],
    clock: StepClock,
) -> Made:
    config, plan = spec.config, before.memory
    tokenizer = models.load_tokenizer(spec.base_folder)
    base = models.load_base(
        spec.base_folder, config, device=before.device, compute_dtype=before.precision.dtype
    )
    rate = config.peak_learning_rate(base.config.get_text_config().hidden_size)
    events = StepEvents(emit, clock)
    measured = bool(before.evaluation.rows)
    parts = {
        "processing_class": tokenizer,
        "callbacks": callbacks(
            config, clock=clock, events=events, stop_requested=stop_requested, measured=measured
        ),
    }
    settings = arguments(
        spec,
        device=before.device,
        dtype=before.precision.dtype,
        learning_rate=rate,
        gradient_checkpointing=plan.gradient_checkpointing,
        measured=measured,
    )
    make = _preference_trainer if config.method == "dpo" else _packed_trainer
    trainer, packed = make(spec, before, base, emit, settings, parts)
    events.trainer = trainer
    in_force = {
        "alpha": config.lora_alpha,
        "dpo_learning_rate" if config.method == "dpo" else "learning_rate": rate,
        "max_length": before.train.max_length,
        "gradient_checkpointing": "on" if plan.gradient_checkpointing else "off",
        "precision": before.precision.name,
        "device": before.device,
        "threads": before.threads,
        "tokens_per_pack": plan.tokens_per_pack,
    }
    if spec.start_folder is not None:
        # The adapter's own shape, which it has from the run that made it.
        adapter = trainer.model.peft_config["default"]
        in_force |= {"rank": adapter.r, "alpha": float(adapter.lora_alpha)}
    return trainer, packed, in_force


def _packed_trainer(
    spec: TrainingSpec,
    before: Preflight,
    base: Any,
    emit: Emit,
    settings: dict[str, Any],
    parts: dict[str, Any],
) -> tuple[PackedTrainer, bool]:
    """The trainer on examples, and whether it packs."""
    from datasets import Dataset

    pad_id = _pad_id(parts["processing_class"])
    reason = made_to_pack(
        base, before.train.rows, pad_id=pad_id, compute_dtype=before.precision.dtype
    )
    if reason is not None:
        emit({"event": "note", "text": f"Rows are padded instead of packed: {reason}."})
    trainer = PackedTrainer(
        model=base,
        peft_config=models.lora_config(spec.config),
        args=sft_arguments(**settings),
        # The data sets only number the rows: the batch maker and the trainer hold them.
        train_dataset=Dataset.from_dict({"row": list(range(len(before.train.rows)))}),
        eval_dataset=Dataset.from_dict({"row": list(range(len(before.evaluation.rows)))})
        if before.evaluation.rows
        else None,
        eval_rows=before.evaluation.rows,
        packed=reason is None,
        batch_maker=BatchMaker(
            before.train.rows,
            max_tokens=before.memory.tokens_per_pack,
            packed=reason is None,
            pad_id=pad_id,
        ),
        **parts,
    )
    return trainer, reason is None


def _preference_trainer(
    spec: TrainingSpec,
    before: Preflight,
    base: Any,
    emit: Emit,
    settings: dict[str, Any],
    parts: dict[str, Any],
) -> tuple[PreferenceTrainer, bool]:
    """The trainer on pairs, which are padded.

    It goes on with the adapter that it starts from, so that one adapter on the base holds all that
    was learned; TRL keeps a frozen copy of it as the reference. Without one the reference is the
    base.
    """
    config = spec.config
    trained = (*before.train.rows, *before.train_rejected)
    at_once = pairs_at_once(
        config.batch_size,
        tokens_per_pack=before.memory.tokens_per_pack,
        longest=max(map(len, trained)),
    )
    started = spec.start_folder is not None
    trainer = PreferenceTrainer(
        model=models.with_adapter(base, spec.start_folder) if spec.start_folder else base,
        peft_config=None if started else models.lora_config(config),
        args=dpo_arguments(settings, beta=config.beta, pairs_at_once=at_once),
        train_dataset=pair_dataset(before.train.rows, before.train_rejected),
        eval_dataset=pair_dataset(before.evaluation.rows, before.evaluation_rejected),
        **parts,
    )
    return trainer, False


def _figures(
    trainer: PackedTrainer | PreferenceTrainer, before: Preflight, *, seconds: float
) -> dict[str, Any]:
    """What was measured: losses, speed and counts."""
    log = trainer.state.log_history
    return {
        "rows": {"train": before.train.answers, "eval": before.evaluation.answers},
        "left_out_rows": {
            "train_too_long": list(before.train.too_long),
            "eval_too_long": list(before.evaluation.too_long),
        },
        "steps": trainer.state.global_step,
        "epochs_done": trainer.state.epoch,
        **losses_of(log),
        "loss_curves": loss_curves(log),
        "train_seconds": round(seconds, 3),
        "tokens_per_second": round(trainer.row_tokens / seconds, 2),
        "completion_tokens_per_second": round(trainer.completion_tokens / seconds, 2),
    }


def _save(trainer: PackedTrainer | PreferenceTrainer, spec: TrainingSpec) -> Path:
    """Write adapter or model beside the output folder; returns the unfinished folder."""
    folder = spec.output_folder.with_name(spec.output_folder.name + ".part")
    shutil.rmtree(folder, ignore_errors=True)
    if spec.config.method == "full":
        target = folder / "model"
        trainer.model.save_pretrained(target)
        trainer.processing_class.save_pretrained(target)
        return folder
    target = folder / "adapter"
    # Not the frozen copy that DPO measures against.
    trainer.model.save_pretrained(target, selected_adapters=["default"])
    (target / "README.md").unlink(missing_ok=True)
    # PEFT writes the local path of the base here; a bundle must not depend on a machine's paths.
    described = target / "adapter_config.json"
    value = json.loads(described.read_text(encoding="utf-8"))
    value["base_model_name_or_path"] = spec.base.get("spec", "")
    described.write_text(json.dumps(value, indent=2, sort_keys=True), encoding="utf-8")
    return folder


def _publish(finished: Path, output: Path) -> None:
    """Give the finished folder its name; the checkpoints are not needed any more."""
    shutil.rmtree(output, ignore_errors=True)
    finished.rename(output)
    shutil.rmtree(output.parent / CHECKPOINTS_NAME, ignore_errors=True)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; the trainer writes its state last."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            step = int(_state_of(path)["global_step"])
        except (OSError, ValueError, KeyError, TypeError):
            # A kill interrupted it; left lying it would be taken for the newest next time.
            shutil.rmtree(path, ignore_errors=True)
            continue
        complete.append((step, path))
    return max(complete)[1] if complete else None


def _state_of(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_text())
    return state


def stopped_early(state: Mapping[str, Any], patience: int) -> bool:
    """Whether that many measured losses in a row were no better than the best before them."""
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    return bool(patience and losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


def _pad_id(tokenizer: Any) -> int:
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    raise TrainingError("The base's tokenizer has neither a padding nor an end token.")
