"""TRL's DPOTrainer on pairs that are tokenised as they will be served.

The loss is the plain one of Rafailov et al. 2023 ("Direct Preference Optimization", equation 7):
minus the log-sigmoid of beta times how much more likely, against the model that it started from,
the better answer has become than the worse one. That product is the margin of the rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from tuneloop.training.rows import TokenRow
from tuneloop.training.trainer import says_last_losses


class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]  # TRL is untyped
    """Trains on pairs as they are given, and counts their tokens."""

    def __init__(self, **kwargs: Any) -> None:
        self.row_tokens = 0
        """Tokens of the answers trained in this process, each with its prompt."""
        self.completion_tokens = 0
        super().__init__(**kwargs)

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        """They are tokens already; TRL's own rendering is another one than the server's."""
        return dataset

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        """Count, then train."""
        self.row_tokens += int(inputs["attention_mask"].sum())
        self.completion_tokens += int(inputs["completion_mask"].sum())
        loss: torch.Tensor = super().training_step(model, inputs, *args)
        return loss

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Log what is the same whether the run was interrupted or not."""
        says_last_losses(logs, self.state)
        super().log(logs, *args)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None in checkpoints; the registry writes one for a published bundle."""


def pair_dataset(chosen: Sequence[TokenRow], rejected: Sequence[TokenRow]) -> Dataset | None:
    """The columns that TRL's collator reads; None for no pairs."""
    if not chosen:
        return None
    return Dataset.from_dict(
        {
            "prompt_ids": [list(row.prompt) for row in chosen],
            "chosen_ids": [list(row.completion) for row in chosen],
            "rejected_ids": [list(row.completion) for row in rejected],
        }
    )


def dpo_arguments(settings: dict[str, Any], *, beta: float, pairs_at_once: int) -> DPOConfig:
    """TRL's arguments; a batch is trained in equal parts of `pairs_at_once` that fit in memory."""
    batch = settings["per_device_train_batch_size"]
    return DPOConfig(
        **settings
        | {
            "per_device_train_batch_size": pairs_at_once,
            "per_device_eval_batch_size": pairs_at_once,
            "gradient_accumulation_steps": batch // pairs_at_once,
            "beta": beta,
        }
    )


def pairs_at_once(batch_size: int, *, tokens_per_pack: int, longest: int) -> int:
    """The largest divisor of the batch of which both answers, padded, fit into one pass."""
    most = max(1, tokens_per_pack // (2 * longest))
    return max(n for n in range(1, batch_size + 1) if batch_size % n == 0 and n <= most)
