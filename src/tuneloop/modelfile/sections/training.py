"""Stage 2: how the base is tuned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop.modelfile.sections.base import NameIn, Section, Share
from tuneloop.table import TRACKER_GROUP

TRACKER_NAMES = ("mlflow", "wandb", "tensorboard")
TrackerName = Annotated[str, NameIn(TRACKER_GROUP, TRACKER_NAMES)]


class TrainingSettings(Section):
    """Stage 2: how the base is tuned."""

    method: Literal["lora", "qlora", "full", "dpo"] = Field(
        "lora", description="dpo: a LoRA on preference pairs (edits), after one on the examples."
    )
    rank: Annotated[int, Field(ge=1)] = Field(16, description="LoRA rank.")
    alpha: Annotated[int, Field(ge=1)] | None = Field(None, description="Default: 2 × rank.")
    dropout: Share = 0.0
    epochs: Annotated[float, Field(gt=0)] = 3
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Default by method and model size."
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(16, description="Rows per optimiser step.")
    max_length: Annotated[int, Field(ge=16)] = Field(2048, description="Tokens per row.")
    warmup_share: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    seed: int = 0
    early_stopping_patience: Annotated[int, Field(ge=0)] = Field(
        2, description="Epochs without a better evaluation loss before training stops; 0: never."
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: str = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None
    beta: Annotated[float, Field(gt=0)] = Field(
        0.1, description="DPO: how dear it is to move away from the model that it starts from."
    )
    start_from: Literal["sft", "production", "base"] = Field(
        "sft",
        description="DPO: a LoRA trained on the version's examples before, the one in production, "
        "or the untuned base.",
    )
    dpo_epochs: Annotated[float, Field(gt=0)] = Field(
        1, description="DPO: passes over the pairs; epochs are those over the examples before."
    )
    dpo_learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="DPO: default: a twentieth of what the examples are trained with."
    )
    minimum_pairs: Annotated[int, Field(ge=1)] = Field(
        50, description="DPO: fewer pairs than this are refused."
    )
    trackers: tuple[TrackerName, ...] = Field(
        (), description="Where losses are also written: to experiment trackers."
    )
