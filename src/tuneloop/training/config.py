"""What can be set about a training run, its defaults, and which values are unusual (T2)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError

from tuneloop.errors import UsageError
from tuneloop.hashing import digest_json
from tuneloop.modelfile import TrainingSettings

# Settings of preference training; other methods do not look at them.
_DPO_ONLY = ("beta", "start_from", "dpo_epochs", "dpo_learning_rate", "minimum_pairs")

# Settings that change how fast a run goes, not what comes out of it (within rounding).
_SPEED_ONLY = ("threads", "device", "tokens_per_pack", "gradient_checkpointing", "trackers")


class TrainingConfig(TrainingSettings):
    """The settings of one training run: those of the model file, and two that it does not offer.

    `None` stands for a value that depends on the rest.
    """

    target_modules: str | tuple[str, ...] = "all-linear"
    """Which layers get a LoRA: all-linear, or module names."""
    tokens_per_pack: Annotated[int, Field(ge=1)] | None = None
    """Most tokens in one forward pass; None is chosen from the free memory."""

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> TrainingConfig:
        """Build from plain values, as JSON or the model file hold them.

        Raises:
            UsageError: for an unknown name or an impossible value.
        """
        if unknown := sorted(settings.keys() - cls.model_fields.keys()):
            raise UsageError(
                f"Unknown training settings: {', '.join(unknown)}.",
                remedy=f"Known are: {', '.join(sorted(cls.model_fields))}.",
            )
        try:
            return cls.model_validate(settings)
        except ValidationError as e:
            problems = (f"{problem['loc'][0]}: {problem['msg']}" for problem in e.errors())
            raise UsageError(
                "The training settings cannot be used: " + "; ".join(problems) + ".",
                remedy="Correct the `training` section of the model file.",
            ) from None

    def settings(self) -> dict[str, Any]:
        """Plain values, the inverse of `from_settings`."""
        return self.model_dump(mode="json")

    def but(self, **changes: Any) -> TrainingConfig:
        """The same with other values.

        Raises:
            UsageError: for an unknown name or an impossible value.
        """
        return self.from_settings({**self.settings(), **changes})

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
        return self.but(method="lora")

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
