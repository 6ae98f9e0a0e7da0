"""What `tuneloop.yaml` may say: one class a section, each key with its meaning and default."""

from __future__ import annotations

import json
import re
from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from tuneloop.modelfile.channel_url import ChannelUrl

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
MonitorName = Literal[
    "accuracy",
    "capture_drops",
    "confidence",
    "cost",
    "edit_rate",
    "embedding_drift",
    "errors",
    "escalations",
    "format_compliance",
    "golden_set",
    "judge_quality",
    "latency_p95",
    "novelty",
    "output_length",
    "refusals",
    "vocabulary_diversity",
]
"""What can alert: the monitors' own names, here so that a mistaken one is found in the file."""
Role = Literal["expert", "engineer", "curator", "admin"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
CADENCES = ("daily", "weekly", "monthly", "quarterly", "never")


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


def _is_cadence(text: str) -> str:
    if text not in CADENCES and not re.fullmatch(
        r"[0-9*/,LW#A-Za-z-]+( [0-9*/,LW#A-Za-z-]+){4}", text
    ):
        raise ValueError(
            f"expected one of {', '.join(CADENCES)}, or the five fields of a crontab line"
        )
    return text


def _clock_time(value: object) -> object:
    if isinstance(value, int) and 0 <= value < 24 * 60:
        # YAML 1.1 reads 22:00 without quotes as a number to the base of 60.
        return time(*divmod(value, 60))
    if isinstance(value, time) or (
        isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value)
    ):
        return value
    raise ValueError('expected a time of day such as "22:00"')


def _is_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise ValueError("expected a time zone that is known here, such as Europe/Berlin") from e
    return name


Regex = Annotated[str, AfterValidator(_is_regex)]
Cadence = Annotated[str, AfterValidator(_is_cadence)]
ClockTime = Annotated[time, BeforeValidator(_clock_time)]
TimeZone = Annotated[str, AfterValidator(_is_time_zone)]
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
    guards: tuple[Literal["errors", "format", "latency", "length", "edits", "judge"], ...] = Field(
        ("errors", "format", "latency", "length"),
        description="What may not get worse; add edits where people correct answers (feedback), "
        "judge where a judge scores them.",
    )
    edit_minutes: Annotated[float, Field(ge=0)] = Field(
        60.0, description="An answer that nobody corrected for so long was left as it was."
    )
    maximum_step_hours: Annotated[float, Field(gt=0)] = Field(
        48.0, description="After so long in one step a person is asked."
    )


class EmbeddingEndpoint(Section):
    """Stage 5: a server that turns prompts into vectors."""

    base_url: str = Field(description="OpenAI-compatible server, up to and with /v1.")
    model: str = Field(description="Its model; name a dated version where there is one.")
    api_key_env: str | None = Field(
        None, description="Environment variable with its API key; the key is stored nowhere."
    )

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("expected an address such as http://127.0.0.1:8400/v1")
        return url


class MonitorSettings(Section):
    """Stage 5: when live traffic is a reason to speak up."""

    window_days: Annotated[float, Field(gt=0)] = 7
    minimum_samples: Annotated[int, Field(ge=1)] = Field(
        30, description="Fewer interactions than this alert nobody."
    )
    accuracy_below: Share = Field(
        0.88, description="Mean score of the answers that people or a judge scored."
    )
    format_below: Share = Field(0.93, description="Share of answers in the declared form.")
    edit_rate_above: Share = Field(0.15, description="Share of answers that people changed.")
    novelty_above: Share = Field(0.20, description="Share of prompts unlike the training data.")
    latency_above_baseline: Annotated[float, Field(gt=1)] = Field(
        2.0, description="p95 latency over the baseline's."
    )
    confidence_drop: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.10, description="Relative fall of the answers' typical token probability."
    )
    judge_drop: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Fall of the judge's mean score (0 to 1) from its baseline."
    )
    share_shift: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="How far the share of refusals, escalations or errors may move from its "
        "baseline.",
    )
    relative_shift: Annotated[float, Field(gt=0)] = Field(
        0.25,
        description="How far output length, vocabulary and tokens may move from their baseline, "
        "as a share of it.",
    )
    drift_tolerated: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.10,
        description="Share of the traffic that may move to other topics, or be unlike the "
        "training data, without being drift.",
    )
    drift_false_alarms: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Share of the windows in which that much changed that may alert anyway."
    )
    embedder: str | EmbeddingEndpoint = Field(
        "static",
        description="What turns prompts into vectors: static, a folder with a Hugging Face or "
        "sentence-transformers model, or base_url and model of an embeddings endpoint.",
    )


class QuietHours(Section):
    """A part of every day in which nobody is told anything that can wait."""

    start: ClockTime = Field(alias="from", description='Time of day, e.g. "22:00".')
    end: ClockTime = Field(alias="to", description='Time of day; may be on the next, "07:00".')
    timezone: TimeZone = Field("UTC", description="Where it is that time, e.g. Europe/Berlin.")


class AlertSettings(Section):
    """Stage 5: who is told of alerts, and when."""

    notify: tuple[ChannelUrl, ...] = Field(
        (),
        description="Apprise URLs, or ${NAME} for one in the environment; tried with: "
        "tuneloop alert test.",
    )
    group_minutes: Annotated[float, Field(ge=0)] = Field(
        5.0, description="What changes within this time is told in one message."
    )
    repeat_hours: Annotated[float, Field(gt=0)] = Field(
        72.0, description="An alert that nobody acknowledged is told again after so long."
    )
    quiet_hours: QuietHours | None = Field(None, description="When messages wait; default: never.")
    urgent: tuple[MonitorName, ...] = Field(
        ("errors", "capture_drops"), description="Monitors whose messages do not wait for that."
    )
    give_up_hours: Annotated[float, Field(gt=0)] = Field(
        72.0, description="A message that no attempt has delivered for so long is given up."
    )


class ReviewSettings(Section):
    """Stage 6: how people judge what comes from production."""

    double_share: Share = Field(
        0.0,
        description="Share of the items that two people judge, neither seeing what the other "
        "decided; 0.1 is usual where there are two. It holds for items queued from then on.",
    )


class JudgeSettings(Section):
    """Stages 3 and 5: a language model that scores answers by a rubric."""

    base_url: str = Field(description="OpenAI-compatible server, up to and with /v1.")
    model: str = Field(description="Its model; name a dated version where there is one.")
    api_key_env: str | None = Field(
        None, description="Environment variable with its API key; the key is stored nowhere."
    )
    rubric: str = Field(
        "The answer does what was asked, is right as far as the conversation and the reference "
        "answer tell, adds nothing that is not asked for, and has the form that was asked for.",
        description="What a good answer is, in words.",
    )
    passes_from: Annotated[int, Field(ge=2, le=5)] = Field(
        4, description="Score of 1 to 5 from which on an answer counts as right."
    )
    share: Share = Field(0.02, description="Share of the captured answers that is judged.")
    daily_limit: Annotated[int, Field(ge=1)] = Field(
        500, description="At most so many captured answers are judged in a day (UTC)."
    )
    redact: bool = Field(
        True, description="Replace personal data by its kind before text goes to the judge."
    )
    timeout_seconds: Annotated[float, Field(gt=0)] = Field(60.0, description="For one answer.")
    retries: Annotated[int, Field(ge=0)] = Field(
        2, description="How often the judge is asked again after an answer that is no verdict."
    )
    max_tokens: Annotated[int, Field(ge=16)] = Field(400, description="Of one verdict.")
    concurrency: Annotated[int, Field(ge=1)] = Field(2, description="Requests at a time.")


class GoldenSettings(Section):
    """Stage 5: what the golden suites must show on the live endpoint."""

    pass_rate_below: Share = Field(0.90, description="A lower share of cases passed is an alert.")
    minimum_cases: Annotated[int, Field(ge=1)] = Field(
        10, description="Fewer golden cases than this alert nobody."
    )


class SampleSettings(Section):
    """Stage 5: captured answers that people look at, whatever the monitors say."""

    per_week: Annotated[int, Field(ge=0)] = Field(
        20, description="Answers drawn at random for the review queue every week."
    )


class TriggerSettings(Section):
    """Stage 6: what is a reason to retrain, and what is noise."""

    minimum_corrections: Annotated[int, Field(ge=1)] = Field(
        20, description="Approved corrections that make a new cycle worth its time."
    )
    consecutive_windows: Annotated[int, Field(ge=1)] = Field(
        2, description="Windows in a row whose whole interval must be beyond a monitor's limit."
    )
    maximum_overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.25, description="Share of its time that such a window may share with the next."
    )
    new_words_above: Share = Field(
        0.05, description="Share of the prompts with a lasting new word: a change of vocabulary."
    )
    cooldown_days: Annotated[float, Field(ge=0)] = Field(
        7.0, description="Days after a cycle in which no other one is begun."
    )
    cooldown_days_without_benchmark: Annotated[float, Field(ge=0)] = Field(
        30.0,
        description="The same while no golden suite of evaluation.minimum_cases cases tells a "
        "better bundle from luck.",
    )
    refresh_days: Annotated[float, Field(gt=0)] = Field(
        90.0, description="Days after the last cycle when new rows are worth a refresh."
    )


class ScheduleSettings(Section):
    """Stage 6: when the worker does what comes again and again.

    daily, weekly (Monday), monthly and quarterly mean 02:00 UTC; or a crontab line, in UTC; or
    never.
    """

    daily_monitors: Cadence = Field("daily", description="Monitors that look at every day.")
    weekly_monitors: Cadence = Field("weekly", description="Monitors that look at every week.")
    golden: Cadence = Field(
        "daily", description="Ask the golden suites; also after every deployment."
    )
    judge: Cadence = Field("daily", description="Let the judge score its share of the answers.")
    sample: Cadence = Field("weekly", description="Draw the week's sample for people.")
    triggers: Cadence = Field("daily", description="Decide whether to retrain.")


class AutomationSettings(Section):
    """Stage 6: what the worker may do on its own."""

    level: Literal[1, 2, 3, 4] = Field(
        1,
        description="1: nothing; 2: evaluate; 3: retrain when a trigger says so, and a person "
        "judges the evaluation; 4: all of it, and a person approves the deployment.",
    )


class ApprovalRule(Section):
    """Whose approval it takes, and of how many."""

    roles: tuple[Role, ...] = Field(
        ("expert",), min_length=1, description="One of these roles makes an approval count."
    )
    count: Annotated[int, Field(ge=1)] = Field(1, description="How many people must approve.")
    not_author: bool = Field(
        True, description="Whoever made the candidate cannot approve it themselves."
    )


class ApprovalSettings(Section):
    """Who must approve a bundle before it answers any client; by default nobody."""

    evaluation: ApprovalRule | None = Field(
        None, description="Sign-off of the evaluation: a person has read the report."
    )
    deploy: ApprovalRule | None = Field(
        None, description="Permission to deploy the bundle or to begin its rollout."
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
    judge: JudgeSettings | None = Field(None, description="None: no answer is judged.")
    golden: GoldenSettings = GoldenSettings()
    sample: SampleSettings = SampleSettings()
    alerts: AlertSettings = AlertSettings()
    review: ReviewSettings = ReviewSettings()
    triggers: TriggerSettings = TriggerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    automation: AutomationSettings = AutomationSettings()
    approvals: ApprovalSettings = ApprovalSettings()

    @model_validator(mode="after")
    def _constrained_to_something(self) -> ModelSettings:
        if self.endpoint.constrain_output and self.task.output_schema is None:
            raise ValueError("endpoint.constrain_output needs a task.output_schema to keep to")
        return self

    @model_validator(mode="after")
    def _guarded_by_a_judge(self) -> ModelSettings:
        if "judge" in self.rollout.guards and self.judge is None:
            raise ValueError("rollout.guards names judge: say which one, under judge")
        return self

    @property
    def endpoint_name(self) -> str:
        """What clients write in `model`."""
        return self.endpoint.name or self.name
