"""What can be set about a training run, its defaults, and which values are unusual (T2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tuneloop.errors import UsageError
from tuneloop.hashing import digest_json

METHODS = ("lora", "qlora", "full", "dpo")
STARTS = ("sft", "production", "base")
SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
CHECKPOINTING = ("auto", "on", "off")

# Settings of preference training; other methods do not look at them.
_DPO_ONLY = ("beta", "start_from", "dpo_epochs", "dpo_learning_rate", "minimum_pairs")

# Settings that change how fast a run goes, not what comes out of it (within rounding).
_SPEED_ONLY = ("threads", "device", "tokens_per_pack", "gradient_checkpointing", "trackers")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The settings of one training run. `None` stands for a value that depends on the rest."""

    method: str = "lora"
    """lora, qlora (NF4 base), full, or dpo: a LoRA on preference pairs."""
    rank: int = 16
    """Rank of the LoRA matrices."""
    alpha: float | None = None
    """LoRA scaling numerator; None is 2 x rank."""
    dropout: float = 0.0
    """Share of LoRA inputs that are dropped in training."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Which layers get a LoRA: all-linear, or module names."""
    epochs: float = 3.0
    """Passes over the training rows."""
    learning_rate: float | None = None
    """Peak learning rate; None is chosen from the method and the width of the base."""
    batch_size: int = 16
    """Rows in one optimizer step, whatever the memory."""
    max_length: int = 2048
    """Longest row, in tokens; a longer one is left out and reported."""
    warmup_share: float = 0.05
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    schedule: str = "cosine"
    """How the learning rate falls after the warm-up."""
    seed: int = 0
    """Seeds the LoRA matrices and the order of the rows."""
    early_stopping_patience: int = 2
    """Evaluations without improvement after which training stops; 0 never stops."""
    gradient_checkpointing: str = "auto"
    """on, off, or auto: only where activations would not fit in memory."""
    precision: str = "auto"
    """fp32, bf16, fp16, or auto: fp32 on a CPU, bf16 on a GPU that has it."""
    device: str = "auto"
    """auto, cpu or cuda."""
    threads: int | None = None
    """CPU threads; None is one per core that this process may use."""
    tokens_per_pack: int | None = None
    """Most tokens in one forward pass; None is chosen from the free memory."""
    beta: float = 0.1
    """DPO: how dear it is to move away from the model that it starts from."""
    start_from: str = "sft"
    """DPO: a LoRA trained on the examples of the same dataset version before, the one in
    production, or the untuned base."""
    dpo_epochs: float = 1.0
    """DPO: passes over the pairs; `epochs` are those over the examples before."""
    dpo_learning_rate: float | None = None
    """DPO: peak learning rate; None is a twentieth of what the examples are trained with."""
    minimum_pairs: int = 50
    """DPO: fewer pairs than this are refused."""
    trackers: tuple[str, ...] = ()
    """Experiment trackers of the trainer: mlflow, wandb, tensorboard."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        problems = _impossible(self)
        if problems:
            raise UsageError(
                "The training settings cannot be used: " + "; ".join(problems) + ".",
                remedy="Correct the `training` section of the model file.",
            )

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> TrainingConfig:
        """Build from plain values, as JSON or the model file hold them.

        Raises:
            UsageError: for an unknown name or an impossible value.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(settings.keys() - known)
        if unknown:
            raise UsageError(
                f"Unknown training settings: {', '.join(unknown)}.",
                remedy=f"Known are: {', '.join(sorted(known))}.",
            )
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
        }
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """Plain values, the inverse of `from_settings`."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def digest(self) -> str:
        """Identity of what this configuration trains, without settings that only cost time."""
        ignored = _SPEED_ONLY if self.method == "dpo" else (*_SPEED_ONLY, *_DPO_ONLY)
        return digest_json({k: v for k, v in self.settings().items() if k not in ignored})

    @property
    def passes(self) -> float:
        """Passes over what this run trains on."""
        return self.dpo_epochs if self.method == "dpo" else self.epochs

    def before_preferences(self) -> TrainingConfig:
        """The run on the examples that preference training starts from."""
        return replace(self, method="lora")

    @property
    def lora_alpha(self) -> float:
        """The LoRA scaling numerator in force."""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    def peak_learning_rate(self, hidden_size: int) -> float:
        """The learning rate in force for a base of this width.

        1e-3 at rank 16 was measured on a 135 M model (width 576); wider models want less, and
        training all weights about a tenth of what a LoRA takes. Preference training refines what
        was learned and takes a twentieth: 1e-5 on wide models, as is usual for DPO with a LoRA.
        """
        if self.method == "dpo":
            if self.dpo_learning_rate is not None:
                return self.dpo_learning_rate
            return self.before_preferences().peak_learning_rate(hidden_size) / 20
        if self.learning_rate is not None:
            return self.learning_rate
        lora = 1e-3 if hidden_size < 1024 else 5e-4 if hidden_size < 2560 else 2e-4
        return lora / 10 if self.method == "full" else lora


def _impossible(config: TrainingConfig) -> list[str]:
    checks = [
        (config.method in METHODS, f"method {config.method!r} is not one of {', '.join(METHODS)}"),
        (config.rank >= 1, f"rank {config.rank} is below 1"),
        (config.alpha is None or config.alpha > 0, f"alpha {config.alpha} is not above 0"),
        (0 <= config.dropout < 1, f"dropout {config.dropout} is not in 0..1"),
        (config.epochs > 0, f"epochs {config.epochs} is not above 0"),
        (
            config.learning_rate is None or config.learning_rate > 0,
            f"learning_rate {config.learning_rate} is not above 0",
        ),
        (config.batch_size >= 1, f"batch_size {config.batch_size} is below 1"),
        (config.max_length >= 2, f"max_length {config.max_length} is below 2 tokens"),
        (0 <= config.warmup_share < 1, f"warmup_share {config.warmup_share} is not in 0..1"),
        (config.weight_decay >= 0, f"weight_decay {config.weight_decay} is below 0"),
        (
            config.schedule in SCHEDULES,
            f"schedule {config.schedule!r} is not one of {', '.join(SCHEDULES)}",
        ),
        (
            config.precision in PRECISIONS,
            f"precision {config.precision!r} is not one of {', '.join(PRECISIONS)}",
        ),
        (
            config.early_stopping_patience >= 0,
            f"early_stopping_patience {config.early_stopping_patience} is below 0",
        ),
        (config.threads is None or config.threads >= 1, f"threads {config.threads} is below 1"),
        (config.beta > 0, f"beta {config.beta} is not above 0"),
        (
            config.start_from in STARTS,
            f"start_from {config.start_from!r} is not one of {', '.join(STARTS)}",
        ),
        (config.dpo_epochs > 0, f"dpo_epochs {config.dpo_epochs} is not above 0"),
        (
            config.dpo_learning_rate is None or config.dpo_learning_rate > 0,
            f"dpo_learning_rate {config.dpo_learning_rate} is not above 0",
        ),
        (config.minimum_pairs >= 1, f"minimum_pairs {config.minimum_pairs} is below 1"),
        (
            config.gradient_checkpointing in CHECKPOINTING,
            f"gradient_checkpointing {config.gradient_checkpointing!r} is not one of "
            f"{', '.join(CHECKPOINTING)}",
        ),
    ]
    return [problem for holds, problem in checks if not holds]


def unusual_values(config: TrainingConfig, *, rows: int) -> list[str]:
    """One warning with its reason for each value outside the usual range.

    `rows` is the number of training rows.
    """
    lora = config.method != "full"
    rate = config.learning_rate
    dpo, dpo_rate = config.method == "dpo", config.dpo_learning_rate
    ratio = config.lora_alpha / config.rank
    checks = [
        (lora and config.rank < 8, f"rank {config.rank} (usual: 16 to 64) may be too small to "
         "learn a task"),
        (lora and config.rank > 64, f"rank {config.rank} (usual: 16 to 64) costs memory and "
         "overfits small data sets"),
        (lora and not 1 <= ratio <= 4, f"alpha is {ratio:g} x rank (usual: 2 x rank): the adapter "
         "is scaled unusually, which acts like another learning rate"),
        (config.epochs > 5, f"{config.epochs:g} epochs (usual: 3 to 5) tend to learn the rows by "
         "heart"),
        (config.epochs < 2, f"{config.epochs:g} epochs (usual: 3 to 5) may leave the task half "
         "learnt"),
        (rate is not None and lora and not 5e-5 <= rate <= 2e-3, f"learning rate {rate} (usual "
         "for LoRA: 5e-5 to 2e-3) learns too slowly below and diverges above"),
        (rate is not None and not lora and not 1e-6 <= rate <= 2e-4, f"learning rate {rate} "
         "(usual for all weights: 1e-6 to 2e-4) learns too slowly below and forgets above"),
        (config.dropout > 0.2, f"dropout {config.dropout} (usual: 0 to 0.1) slows learning"),
        (config.warmup_share > 0.2, f"warmup_share {config.warmup_share} (usual: 0 to 0.1) wastes "
         "steps at a low learning rate"),
        (config.weight_decay > 0.1, f"weight_decay {config.weight_decay} (usual: 0 to 0.1) pulls "
         "weights to zero"),
        (rows < 2 * config.batch_size, f"batch_size {config.batch_size} with {rows} rows makes "
         "only a step or two an epoch"),
        (dpo and not 0.05 <= config.beta <= 0.5, f"beta {config.beta} (usual: 0.05 to 0.5) lets "
         "the model drift below and hardly learn above"),
        (dpo and config.dpo_epochs > 3, f"{config.dpo_epochs:g} dpo_epochs (usual: 1 to 3) make "
         "every answer less likely, the chosen ones too"),
        (dpo and dpo_rate is not None and not 1e-6 <= dpo_rate <= 2e-4, f"dpo_learning_rate "
         f"{dpo_rate} (usual: 1e-6 to 2e-4) learns too slowly below and forgets above"),
        (config.batch_size > 64, f"batch_size {config.batch_size} (usual: 8 to 64) makes few steps"
         " an epoch"),
    ]  # fmt: skip
    return [text for unusual, text in checks if unusual]
