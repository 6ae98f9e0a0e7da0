"""Stage 2: how the base is tuned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop.modelfile.sections.base import NameIn, Section
from tuneloop.table import TRACKER_GROUP

TRACKER_NAMES = ("mlflow", "wandb", "tensorboard")
TrackerName = Annotated[str, NameIn(TRACKER_GROUP, TRACKER_NAMES)]


class TrainingSettings(Section):
    """Stage 2: how the base is tuned."""

    method: Literal["lora", "qlora", "full", "dpo"] = Field(
        "lora",
        description="qlora: on a base in NF4; full: all weights; dpo: a LoRA on preference pairs "
        "(edits), after one on the examples.",
    )
    rank: Annotated[int, Field(ge=1)] = Field(16, description="LoRA rank.")
    alpha: Annotated[int, Field(ge=1)] | None = Field(None, description="Default: 2 × rank.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of the LoRA's inputs that are dropped in training."
    )
    epochs: Annotated[float, Field(gt=0)] = Field(3, description="Passes over the training rows.")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="The highest; default by method and model size."
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(16, description="Rows per optimiser step.")
    max_length: Annotated[int, Field(ge=16)] = Field(
        2048,
        description="Tokens per row; a longer one is left out whole. Default: context_tokens, "
        "where that is said.",
    )
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's, decoupled.")
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field(
        "cosine", description="How the learning rate falls after the warm-up."
    )
    seed: int = Field(0, description="Of the LoRA's matrices and of the order of the rows.")
    early_stopping_patience: Annotated[int, Field(ge=0)] = Field(
        2, description="Epochs without a better evaluation loss before training stops; 0: never."
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: where activations would not fit in memory."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto: bf16 on a GPU that has it, and on a CPU that is measured to be clearly "
        "faster in it; else fp32. Trained weights, norms and the loss are fp32 in all of them.",
    )
    device: str = Field("auto", description="auto, cpu or cuda.")
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Of the CPU; default: one a core that may be used."
    )
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
