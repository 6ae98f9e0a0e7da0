"""One training run, start to end, inside the process that trains.

Reads top to bottom: rows, preflight, model, trainer, training, output, record.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tuneloop.errors import TrainingError
from tuneloop.training import model as models
from tuneloop.training.loss import why_not_packed
from tuneloop.training.memory import MemoryPlan
from tuneloop.training.preflight import Preflight, look_before, marked
from tuneloop.training.record import (
    hardware,
    hyperparameters,
    identity,
    loss_curves,
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
    TimedCheckpoints,
    early_stopping,
    sft_arguments,
)

Emit = Callable[[dict[str, Any]], None]

_SECONDS_BETWEEN_CHECKPOINTS = {"lora": 60.0, "qlora": 60.0, "full": 600.0}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    finished: bool
    """False when it was asked to stop; the next start continues from its checkpoint."""
    step: int
    record: dict[str, Any]


def train(
    spec: TrainingSpec, *, emit: Emit, stop_requested: Callable[[], bool] = lambda: False
) -> Outcome:
    """Train as the spec says and leave the result in its output folder.

    Raises:
        TuneloopError: with what is wrong and what to do.
    """
    started = time.perf_counter()
    config = spec.config
    before = look_before(spec)
    for note in before.notes:
        emit({"event": "note", "text": note})
    torch.set_num_threads(before.threads)
    emit({"event": "note", "text": f"First row, trained part marked: {marked(before.example)}"})
    clock = StepClock()
    trainer, packed, in_force = _make_trainer(spec, before, emit, stop_requested, clock)
    checkpoint = last_checkpoint(spec.run_folder / CHECKPOINTS_NAME)
    if checkpoint is not None:
        emit({"event": "note", "text": f"Continuing from {checkpoint.name}."})
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    step = trainer.state.global_step
    if stop_requested():
        return Outcome(finished=False, step=step, record={})
    record = {
        **identity(spec),
        "hyperparameters": hyperparameters(config, spec.origins, in_force=in_force),
        "packages": package_versions(),
        "hardware": hardware(before.device, threads=before.threads),
        "packed": packed,
        **_figures(trainer, before, seconds=max(clock.seconds, 1e-9)),
        "resumed_from_step": 0 if checkpoint is None else int(checkpoint.name.split("-")[-1]),
    }
    output = _save(trainer, spec)
    record["peak_memory_mb"] = peak_memory_mb(before.device)
    record["wall_seconds"] = round(time.perf_counter() - started, 3)
    write_record(output, record)
    _publish(output, spec.output_folder)
    return Outcome(finished=True, step=step, record=record)


def _make_trainer(
    spec: TrainingSpec,
    before: Preflight,
    emit: Emit,
    stop_requested: Callable[[], bool],
    clock: StepClock,
) -> tuple[PackedTrainer, bool, dict[str, Any]]:
    """The trainer, whether it packs, and the values that the run itself chose."""
    from datasets import Dataset

    config, plan = spec.config, before.memory
    tokenizer = models.load_tokenizer(spec.base_folder)
    pad_id = _pad_id(tokenizer)
    base = models.load_base(spec.base_folder, config, device=before.device)
    reason = why_not_packed(base, before.train.rows, pad_id=pad_id)
    if reason is not None:
        emit({"event": "note", "text": f"Rows are padded instead of packed: {reason}."})
    rate = config.peak_learning_rate(base.config.get_text_config().hidden_size)
    events = StepEvents(emit, clock)
    trainer = PackedTrainer(
        model=base,
        peft_config=models.lora_config(config),
        args=_arguments(spec, before, learning_rate=rate, plan=plan),
        # The data sets only number the rows: the batch maker and the trainer hold them.
        train_dataset=Dataset.from_dict({"row": list(range(len(before.train.rows)))}),
        eval_dataset=Dataset.from_dict({"row": list(range(len(before.evaluation.rows)))})
        if before.evaluation.rows
        else None,
        eval_rows=before.evaluation.rows,
        packed=reason is None,
        batch_maker=BatchMaker(
            before.train.rows,
            max_tokens=plan.tokens_per_pack,
            packed=reason is None,
            pad_id=pad_id,
        ),
        processing_class=tokenizer,
        callbacks=[
            clock,
            events,
            TimedCheckpoints(
                every_seconds=_SECONDS_BETWEEN_CHECKPOINTS[config.method],
                stop_requested=stop_requested,
            ),
            *(early_stopping(config.early_stopping_patience) if before.evaluation.rows else []),
        ],
    )
    events.trainer = trainer
    in_force = {
        "alpha": config.lora_alpha,
        "learning_rate": rate,
        "max_length": before.train.max_length,
        "gradient_checkpointing": "on" if plan.gradient_checkpointing else "off",
        "precision": _precision_name(models.chosen_dtype(config, before.device)),
        "device": before.device,
        "threads": before.threads,
        "tokens_per_pack": plan.tokens_per_pack,
    }
    return trainer, reason is None, in_force


def _arguments(
    spec: TrainingSpec, before: Preflight, *, learning_rate: float, plan: MemoryPlan
) -> Any:
    config = spec.config
    dtype = models.chosen_dtype(config, before.device)
    measured = bool(before.evaluation.rows)
    return sft_arguments(
        output_dir=str(spec.run_folder / CHECKPOINTS_NAME),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        learning_rate=learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_share,
        weight_decay=config.weight_decay,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=before.device == "cpu",
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        gradient_checkpointing=plan.gradient_checkpointing,
        report_to=list(config.trackers) or "none",
        eval_strategy="epoch" if measured else "no",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=measured,
        metric_for_best_model="eval_loss" if measured else None,
        greater_is_better=False if measured else None,
    )


def _figures(trainer: PackedTrainer, before: Preflight, *, seconds: float) -> dict[str, Any]:
    """What was measured: losses, speed and counts."""
    curves = loss_curves(trainer.state.log_history)
    evaluation = [point["loss"] for point in curves["eval"]]
    return {
        "rows": {"train": len(before.train.rows), "eval": len(before.evaluation.rows)},
        "left_out_rows": {
            "train_too_long": list(before.train.too_long),
            "eval_too_long": list(before.evaluation.too_long),
        },
        "steps": trainer.state.global_step,
        "epochs_done": trainer.state.epoch,
        "final_loss": curves["train"][-1]["loss"] if curves["train"] else None,
        "final_eval_loss": evaluation[-1] if evaluation else None,
        "best_eval_loss": min(evaluation) if evaluation else None,
        "loss_curves": curves,
        "train_seconds": round(seconds, 3),
        "tokens_per_second": round(trainer.row_tokens / seconds, 2),
        "completion_tokens_per_second": round(trainer.completion_tokens / seconds, 2),
    }


def _save(trainer: PackedTrainer, spec: TrainingSpec) -> Path:
    """Write adapter or model beside the output folder; returns the unfinished folder."""
    folder = spec.output_folder.with_name(spec.output_folder.name + ".part")
    shutil.rmtree(folder, ignore_errors=True)
    if spec.config.method == "full":
        target = folder / "model"
        trainer.model.save_pretrained(target)
        trainer.processing_class.save_pretrained(target)
        return folder
    target = folder / "adapter"
    trainer.model.save_pretrained(target)
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
            step = int(json.loads((path / "trainer_state.json").read_text())["global_step"])
        except (OSError, ValueError, KeyError, TypeError):
            # A kill interrupted it; left lying it would be taken for the newest next time.
            shutil.rmtree(path, ignore_errors=True)
            continue
        complete.append((step, path))
    return max(complete)[1] if complete else None


def _pad_id(tokenizer: Any) -> int:
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    raise TrainingError("The base's tokenizer has neither a padding nor an end token.")


def _precision_name(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
