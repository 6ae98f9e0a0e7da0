"""What `tuneloop.yaml` may say: one class a section, each key with its meaning and default."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Quantisation = Literal["f16", "q8_0", "q5_k_m", "q4_k_m"]
Goal = Literal["style", "vocabulary", "task", "new_domain"]
FilterName = Literal[
    "too_short",
    "too_long",
    "leftover_template",
    "truncated",
    "refusal",
    "wrong_language",
    "schema",
    "pattern",
]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _is_regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as e:
        raise ValueError(f"is not a regular expression: {e}") from e
    return pattern


def _is_condition(text: str) -> str:
    if not re.fullmatch(r"\s*(>=|<=|>|<)\s*[0-9]+(\.[0-9]+)?\s*", text):
        raise ValueError('expected a condition such as ">= 0.90"')
    return text


def _is_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", text):
        raise ValueError("expected lower-case letters, digits, '-', '_' or '.', at most 64 of them")
    return text


Regex = Annotated[str, AfterValidator(_is_regex)]
Condition = Annotated[str, AfterValidator(_is_condition)]
Name = Annotated[str, AfterValidator(_is_name)]


class Section(BaseModel):
    """A part of the model file: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AbstainSettings(Section):
    """How the model says "not mine": its JSON answer has `value` in `field`."""

    field: str = Field(description="Key of the JSON answer that tells an abstention.")
    value: str = Field(description="Its value when the request is out of scope.")


class TaskSettings(Section):
    """What the model is for, as every request and every example sees it."""

    system: str = Field("", description="System text put before every conversation.")
    output_schema: dict[str, Any] | None = Field(
        None, description="JSON Schema that every answer must fit."
    )
    output_pattern: Regex | None = Field(
        None, description="Regular expression that every answer must match in full."
    )
    abstain: AbstainSettings | None = Field(
        None, description="The answer that hands a request to a person."
    )

    def is_abstention(self, answer: str) -> bool:
        """Whether an answer says that the request is out of scope."""
        if self.abstain is None:
            return False
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):  # A model may answer with brackets without end.
            return False
        return isinstance(value, dict) and value.get(self.abstain.field) == self.abstain.value


class DataSettings(Section):
    """Stage 1: which rows become a dataset version."""

    sources: tuple[str, ...] = Field(
        description="Files or patterns, relative to the model file: JSONL, CSV or Parquet."
    )
    holdout_share: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        0.1, description="Share of the groups that is held out for evaluation."
    )
    group_field: str | None = Field(
        None, description="Column whose equal values stay on one side of the split."
    )
    near_duplicate_similarity: Share = Field(
        0.9, description="Inputs at least this alike, with one answer, are duplicates."
    )
    min_characters: Annotated[int, Field(ge=0)] = Field(
        2, description="Shorter inputs are dropped."
    )
    max_characters: Annotated[int, Field(ge=1)] = Field(
        20_000, description="Longer rows are dropped."
    )
    max_row_bytes: Annotated[int, Field(ge=1)] = Field(
        4_000_000, description="Larger rows are quarantined unread."
    )
    language: str | None = Field(None, description="Drop rows in another script or language.")
    redact_personal_data: Literal["off", "report", "redact"] = Field(
        "report", description="What to do with e-mail addresses, phone numbers and the like."
    )
    disabled_filters: tuple[FilterName, ...] = Field(
        (), description="Quality filters that are switched off."
    )
    goal: Goal | None = Field(
        None,
        description="What the examples are to teach; sharpens the advice on how many it takes.",
    )
    retired_terms: dict[str, str] = Field(
        default_factory=dict, description="Old product name → new name, rewritten in every row."
    )
    allow_contradictions: bool = Field(
        False, description="Keep rows whose input has conflicting answers."
    )


class TrainingSettings(Section):
    """Stage 2: how the base is tuned."""

    method: Literal["lora", "qlora", "full"] = "lora"
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
    trackers: tuple[Literal["mlflow", "wandb", "tensorboard"], ...] = ()


class SuiteSettings(Section):
    """A file of test cases, in the form of the training rows."""

    name: Name
    kind: Literal["golden", "edge-case", "safety"] = "golden"
    file: str = Field(description="Path relative to the model file.")


class EvaluationSettings(Section):
    """Stage 3: what a candidate must show before it may serve."""

    suites: tuple[SuiteSettings, ...] = ()
    gates: dict[str, Condition] = Field(
        default_factory=lambda: {"accuracy": ">= 0.90", "format": ">= 0.95"},
        description='Metric → condition, e.g. accuracy: ">= 0.90".',
    )
    margin: Share = Field(
        0.02, description="How much worse than production still counts as not worse."
    )
    minimum_cases: Annotated[int, Field(ge=1)] = Field(
        50, description="Fewer held-out cases than this pass no gate."
    )
    allow_small_suite: bool = False
    concurrency: Annotated[int, Field(ge=1)] = 4


class BenchSettings(Section):
    """Stage 3: the load under which `tuneloop bench` measures latency, and what it must show."""

    rates_per_second: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0,), min_length=1, description="Requests a second, arriving at random; each a load."
    )
    seconds: Annotated[float, Field(gt=0)] = Field(
        60.0, description="How long requests are sent to each bundle at each rate."
    )
    gates: dict[str, Condition] = Field(
        default_factory=dict,
        description='Figure → condition at every rate, e.g. first_token_p95_ms: "<= 800".',
    )


class ExportSettings(Section):
    """Stage 4: the files that are made from a trained model."""

    quantisations: tuple[Quantisation, ...] = ("f16", "q8_0", "q5_k_m", "q4_k_m")
    serve: Quantisation = Field("q8_0", description="The one that production runs.")
    parity: dict[Quantisation, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Allowed log-probability difference to the step before, in nats: "
        "the largest one for f16, the mean for a quantisation.",
    )


class EndpointSettings(Section):
    """Where clients find the model, and how it is run."""

    name: Name | None = Field(None, description="`model` in a client's request; default: the name.")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8400
    processes: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Gateway processes that share the port."
    )
    capture: bool | Literal["required"] = Field(
        True, description="Keep requests and answers; required: serve nothing that is not kept."
    )
    capture_share: Share = Field(1.0, description="Share of the conversations that is kept.")
    redact: bool = Field(
        False, description="Replace personal data by its kind before anything is written."
    )
    retention_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        None, description="Older captured traffic is removed; default: kept until you prune it."
    )
    failover: bool = Field(
        True, description="Let the previous bundle answer when production's server cannot."
    )
    first_token_seconds: Annotated[float, Field(gt=0)] = Field(
        120.0, description="Longest wait for the first token of a stream."
    )
    total_seconds: Annotated[float, Field(gt=0)] = Field(
        600.0, description="Longest wait for a whole answer."
    )
    constrain_output: bool = Field(
        False, description="Let the server write nothing but what fits task.output_schema."
    )
    context_tokens: Annotated[int, Field(ge=128)] = Field(2048, description="Per request.")
    parallel_requests: Annotated[int, Field(ge=1)] = 4
    threads: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] = 256


class RolloutSettings(Section):
    """Stage 4: how a candidate takes over from production, step by step."""

    automatic: bool = Field(
        False,
        description="tuneloop run begins a rollout; otherwise it deploys all at once. The first "
        "bundle, which can be compared with nothing, is always deployed at once.",
    )
    shadow: bool = Field(
        True, description="Begin with copies of the traffic, whose answers nobody sees."
    )
    shadow_pairs: Annotated[int, Field(ge=1)] = Field(
        200, description="Conversations that both must have answered before the first canary."
    )
    steps: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.05, 0.25, 0.5), description="Shares of the conversations that the candidate answers."
    )
    minimum_samples: Annotated[int, Field(ge=1)] = Field(
        200, description="Conversations of each bundle in each canary step."
    )
    guards: tuple[Literal["errors", "format", "latency", "length", "edits"], ...] = Field(
        ("errors", "format", "latency", "length"),
        description="What may not get worse; add edits where people correct answers (feedback).",
    )
    edit_minutes: Annotated[float, Field(ge=0)] = Field(
        60.0, description="An answer that nobody corrected for so long was left as it was."
    )
    maximum_step_hours: Annotated[float, Field(gt=0)] = Field(
        48.0, description="After so long in one step a person is asked."
    )


class MonitorSettings(Section):
    """Stage 5: when live traffic is a reason to speak up."""

    window_days: Annotated[float, Field(gt=0)] = 7
    minimum_samples: Annotated[int, Field(ge=1)] = Field(
        30, description="Fewer interactions than this alert nobody."
    )
    format_below: Share = 0.93
    edit_rate_above: Share = 0.15
    novelty_above: Share = 0.20
    latency_above_baseline: Annotated[float, Field(gt=1)] = Field(
        2.0, description="p95 latency over the baseline's."
    )


class TriggerSettings(Section):
    """Stage 6: when `tuneloop run` makes a new candidate."""

    minimum_corrections: Annotated[int, Field(ge=1)] = Field(
        20, description="Approved corrections that make a new cycle worth its time."
    )


class ModelSettings(Section):
    """The whole model file."""

    name: Name = Field(description="The model's name.")
    base: str = Field(
        description="Hugging Face id, local folder, .gguf file, or package:MODULE holding one."
    )
    revision: str | None = Field(None, description="Revision of a Hugging Face base.")
    task: TaskSettings = TaskSettings()
    data: DataSettings
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    bench: BenchSettings = BenchSettings()
    export: ExportSettings = ExportSettings()
    endpoint: EndpointSettings = EndpointSettings()
    rollout: RolloutSettings = RolloutSettings()
    monitors: MonitorSettings = MonitorSettings()
    triggers: TriggerSettings = TriggerSettings()

    @model_validator(mode="after")
    def _constrained_to_something(self) -> ModelSettings:
        if self.endpoint.constrain_output and self.task.output_schema is None:
            raise ValueError("endpoint.constrain_output needs a task.output_schema to keep to")
        return self

    @property
    def endpoint_name(self) -> str:
        """What clients write in `model`."""
        return self.endpoint.name or self.name
