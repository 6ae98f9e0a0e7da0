"""TRL's SFTTrainer with packs instead of padding, and without logits that nobody needs.

The mathematics is the plain one: mean cross-entropy over the completion tokens of each
optimizer batch (`tests/unit/training/test_training_exactness.py` proves loss and gradients).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl
from trl import SFTConfig, SFTTrainer

from tuneloop.errors import TrainingError
from tuneloop.training import trackers
from tuneloop.training.config import TrainingConfig
from tuneloop.training.loss import packed_loss, padded_loss
from tuneloop.training.packing import pack_tensors, padded_tensors, plan_packs, plan_padded
from tuneloop.training.record import losses_of
from tuneloop.training.rows import TokenRow
from tuneloop.training.spec import CHECKPOINTS_NAME, TrainingSpec

_SECONDS_BETWEEN_CHECKPOINTS = {"lora": 60.0, "qlora": 60.0, "dpo": 60.0, "full": 600.0}


def says_last_losses(logs: dict[str, float], state: Any) -> None:
    """At the end of training, log the last loss where the trainer would log a mean.

    Its `train_loss` is the mean over the steps of this process: another figure after a kill than
    without one. Trackers get the figures of the run's record under the record's names; nothing of a
    run that was stopped in the middle of an epoch, for its last loss is not the run's.
    """
    if logs.pop("train_loss", None) is None or not _epoch_is_over(state):
        return
    losses = losses_of(state.log_history)
    logs |= {name: value for name, value in losses.items() if value is not None}


class BatchMaker:
    """Turns the rows of an optimizer batch into the tensors of its forward passes."""

    def __init__(self, rows: Sequence[TokenRow], *, max_tokens: int, packed: bool, pad_id: int):
        self._rows = rows
        self._max_tokens = max_tokens
        self._packed = packed
        self._pad_id = pad_id

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Called by the data loader with dataset items, which name rows by index."""
        return self.batch([self._rows[int(item["row"])] for item in items])

    def batch(self, rows: Sequence[TokenRow]) -> dict[str, Any]:
        """Forward passes of at most `max_tokens`, and the counts that the trainer needs."""
        if self._packed:
            packs = plan_packs(rows, max_tokens=self._max_tokens)
            passes = [pack_tensors(pack) for pack in packs]
        else:
            groups = plan_padded(rows, max_tokens=self._max_tokens)
            passes = [padded_tensors(group, pad_id=self._pad_id) for group in groups]
        return {
            "passes": passes,
            "row_tokens": sum(len(row) for row in rows),
            "completion_tokens": sum(row.trained_tokens for row in rows),
        }

    def batches(self, rows: Sequence[TokenRow], size: int) -> list[dict[str, Any]]:
        """All rows in batches of `size`, longest first, for measuring a loss."""
        ordered = sorted(rows, key=len, reverse=True)
        return [self.batch(ordered[i : i + size]) for i in range(0, len(ordered), size)]


class PackedTrainer(SFTTrainer):  # type: ignore[misc]  # TRL is untyped
    """Trains on the batches of a `BatchMaker` and measures the evaluation loss the same way."""

    def __init__(
        self,
        *,
        batch_maker: BatchMaker,
        packed: bool,
        eval_rows: Sequence[TokenRow],
        **kwargs: Any,
    ):
        super().__init__(data_collator=batch_maker, **kwargs)
        self.batch_maker = batch_maker
        self.eval_rows = eval_rows
        self.row_tokens = 0
        """Tokens of the rows trained in this process, counted as if each row stood alone."""
        self.completion_tokens = 0
        self._summed_loss = packed_loss if packed else padded_loss

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """One optimizer batch: a backward pass per pack, so memory is bounded by the pack."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        total = inputs["completion_tokens"]
        mean = torch.zeros((), device=self.args.device)
        for tensors in inputs["passes"]:
            with self.compute_loss_context_manager():
                loss = self._summed_loss(model, tensors) / total
            self.accelerator.backward(loss)
            mean += loss.detach()
        self.row_tokens += inputs["row_tokens"]
        self.completion_tokens += total
        return mean

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Mean cross-entropy over all completion tokens of the evaluation rows."""
        metrics = {f"{metric_key_prefix}_loss": self.mean_loss(self.eval_rows)}
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def mean_loss(self, rows: Sequence[TokenRow]) -> float:
        """Mean cross-entropy per completion token, without gradients."""
        model = self.model
        was_training = model.training
        model.eval()
        total = 0.0
        with torch.no_grad():
            for batch in self.batch_maker.batches(rows, self.args.train_batch_size):
                for tensors in self._prepare_inputs(batch)["passes"]:
                    with self.compute_loss_context_manager():
                        total += float(self._summed_loss(model, tensors))
        model.train(was_training)
        return total / sum(row.trained_tokens for row in rows)

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Log what is the same whether the run was interrupted or not."""
        says_last_losses(logs, self.state)
        super().log(logs, *args)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the inputs are packs."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None in checkpoints; the registry writes one for a published bundle."""


class Counting(Protocol):
    """A trainer that counts what it trains on."""

    row_tokens: int
    completion_tokens: int


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Adds up the time of training: batches, passes and updates, not evaluation and saving."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def _restart(self, *args: Any, **kwargs: Any) -> None:
        self._since = time.perf_counter()

    on_train_begin = on_evaluate = on_save = _restart

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count from the last step on, after the GPU has finished what this one queued."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now


class StepEvents(TrainerCallback):  # type: ignore[misc]
    """Tells each step and each evaluation to `emit`."""

    def __init__(self, emit: Callable[[dict[str, Any]], None], clock: StepClock) -> None:
        self.trainer: Counting | None = None
        self._emit = emit
        self._clock = clock
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember where this process starts, for the time left."""
        self._first_step = state.global_step

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """One event for each optimizer step and for each evaluation.

        Raises:
            TrainingError: the loss is not a number any more.
        """
        logs = logs or {}
        if not math.isfinite(logs.get("loss", 0.0)):
            raise TrainingError(
                f"The loss became {logs['loss']} at step {state.global_step}.",
                remedy="Lower training.learning_rate; with fp16, use bf16 or fp32 instead.",
            )
        where = {"step": state.global_step, "total": state.max_steps, "epoch": state.epoch}
        where["epochs"] = state.num_train_epochs
        if "eval_loss" in logs:
            self._emit({"event": "eval", **where, "eval_loss": logs["eval_loss"]})
        elif "loss" in logs and self.trainer is not None:
            seconds = max(self._clock.seconds, 1e-9)
            steps = max(1, state.global_step - self._first_step)
            speed = {
                "tokens_per_second": self.trainer.row_tokens / seconds,
                "completion_tokens_per_second": self.trainer.completion_tokens / seconds,
                "seconds_left": (state.max_steps - state.global_step) * seconds / steps,
            }
            rate = {"loss": logs["loss"], "learning_rate": logs["learning_rate"]}
            if "rewards/margins" in logs:
                rate["margin"] = logs["rewards/margins"]
            self._emit({"event": "step", **where, **rate, **speed})


class TimedCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint after so many seconds, and at once when training is to stop.

    A run that goes on from one must measure what it would have measured without the interruption.
    So none is saved between an epoch's last step and its evaluation, which the next process would
    not make up for; and a stop in the middle of an epoch evaluates nothing.
    """

    def __init__(self, *, every_seconds: float, stop_requested: Callable[[], bool]) -> None:
        self._every_seconds = every_seconds
        self._stop_requested = stop_requested
        self._last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the trainer to save or to stop."""
        stop = self._stop_requested()
        if stop:
            control.should_training_stop = True
        if not _epoch_is_over(state) and (
            stop or time.monotonic() - self._last > self._every_seconds
        ):
            control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The trainer also calls this when it was stopped in the middle of one."""
        if not _epoch_is_over(state):
            control.should_evaluate = False
            control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count from the last checkpoint, whoever asked for it."""
        self._last = time.monotonic()


def _epoch_is_over(state: Any) -> bool:
    """Whether the step was the last of an epoch; `epochs: 2.5` has its third end half-way."""
    return float(state.epoch).is_integer() or state.global_step >= state.max_steps


def callbacks(
    config: TrainingConfig,
    *,
    clock: StepClock,
    events: StepEvents,
    stop_requested: Callable[[], bool],
    measured: bool,
) -> list[TrainerCallback]:
    """What every run has; `measured`: there are evaluation rows to stop early by."""
    chosen = [
        *(tracker.callback() for tracker in trackers.chosen(config.trackers)),
        clock,
        events,
        TimedCheckpoints(
            every_seconds=_SECONDS_BETWEEN_CHECKPOINTS[config.method],
            stop_requested=stop_requested,
        ),
    ]
    if measured and config.early_stopping_patience:
        patience = config.early_stopping_patience
        chosen.append(EarlyStoppingCallback(early_stopping_patience=patience))
    return chosen


def arguments(
    spec: TrainingSpec,
    *,
    device: str,
    dtype: torch.dtype,
    learning_rate: float,
    gradient_checkpointing: bool,
    measured: bool,
) -> dict[str, Any]:
    """The trainer's arguments that every method has."""
    config = spec.config
    return {
        "output_dir": str(spec.run_folder / CHECKPOINTS_NAME),
        "num_train_epochs": config.passes,
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup_share,
        "weight_decay": config.weight_decay,
        "seed": config.seed,
        "data_seed": config.seed,
        "use_cpu": device == "cpu",
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "gradient_checkpointing": gradient_checkpointing,
        "report_to": "none",  # `callbacks` holds the trackers
        "eval_strategy": "epoch" if measured else "no",
        "save_strategy": "epoch",
        "save_total_limit": 2,
        # The evaluations without improvement that early stopping has counted.
        "restore_callback_states_from_checkpoint": True,
        "load_best_model_at_end": measured,
        "metric_for_best_model": "eval_loss" if measured else None,
        "greater_is_better": False if measured else None,
        "remove_unused_columns": False,
        "max_length": None,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "average_tokens_across_devices": False,
    }


def sft_arguments(**settings: Any) -> SFTConfig:
    """TRL's arguments for training on prepared batches without its own data handling."""
    return SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **settings)
