"""Stage 5: what is measured, and who is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tuneloop import metric_names
from tuneloop.modelfile.channel_url import ChannelUrl
from tuneloop.modelfile.sections.base import (
    ClockTime,
    ModelServer,
    NameIn,
    Section,
    Share,
    TimeZone,
)
from tuneloop.table import MONITOR_GROUP

MONITOR_NAMES = (
    "accuracy",
    "answer_drift",
    "answer_similarity",
    "capture_drops",
    "confidence",
    "cost",
    "edit_rate",
    "embedding_drift",
    "errors",
    "escalations",
    "format_compliance",
    "golden_set",
    "groundedness",
    "judge_quality",
    "latency_p95",
    "new_data",
    "new_phrases",
    "novelty",
    "output_length",
    "refusals",
    "refused",
    "repetition",
    "silence",
    "truncation",
    "vocabulary_diversity",
)
"""What can alert: the monitors' own names, here so that a mistaken one is found in the file."""
MonitorName = Annotated[str, NameIn(MONITOR_GROUP, MONITOR_NAMES, also=metric_names.is_monitor)]
"""Or a team's own figure, `metric:NAME`."""

EventKind = Literal[
    "alerts", "approvals", "refusals", "deployments", "rollbacks", "failures", "reviews"
]
"""What people can be told of; see `AlertSettings.events`."""
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)


class EmbeddingEndpoint(ModelServer):
    """Stage 5: a server that turns prompts into vectors."""


def _is_metric_name(name: str) -> str:
    if not metric_names.is_name(name):
        raise ValueError(f"expected {metric_names.EXPECTED}")
    return name


_BETTER = {"lower is better": "lower", "higher is better": "higher"}


class MetricSettings(Section):
    """Stage 5: what is known of a team's own figure; which way is good may be written alone."""

    better: Literal["lower", "higher"] | None = Field(
        None, description="Which way is good; None: a move either way is told."
    )
    after_days: Annotated[float, Field(ge=0, le=366)] | None = Field(
        None, description="As monitors.feedback_days, for this figure."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_a_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in _BETTER:
            raise ValueError(
                f"expected {' or '.join(map(repr, _BETTER))}, or better and after_days"
            )
        return {"better": _BETTER[value]}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Editors know both forms."""
        short = {"enum": list(_BETTER), "type": "string"}
        return {"anyOf": [short, handler.resolve_ref_schema(handler(core_schema))]}


class MonitorSettings(Section):
    """Stage 5: when live traffic is a reason to speak up."""

    window_days: Annotated[float, Field(gt=0)] = 7
    minimum_samples: Annotated[int, Field(ge=1)] = Field(
        30, description="Fewer interactions than this alert nobody."
    )
    false_alarms_per_month: Annotated[float, Field(gt=0, le=30)] = Field(
        0.1,
        description="Alerts a month for nothing, over all monitors together: how sure each look "
        "must be follows from it.",
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
    truncated_above: Share = Field(
        0.05, description="Prose: share of answers cut off at max_tokens."
    )
    loops_above: Share = Field(
        0.02, description="Prose: share of answers that say the same words over and over."
    )
    ungrounded_above: Share = Field(
        0.05,
        description="Prose: share of numbers, dates, names and the like in answers that stand in "
        "no message of the request.",
    )
    unlike_answers_above: Share = Field(
        0.15,
        description="Prose: how much less like the training answers of their topic answers may "
        "be than its own are, as a share of the answers.",
    )
    new_phrases_above: Share = Field(
        0.10,
        description="Prose: share of answers with a phrase that many share and that no training "
        "answer has.",
    )
    share_shift: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="How far the share of refusals, escalations, errors or requests that the "
        "gateway refused may move from its baseline; and what is limited in prose, where the "
        "release evaluation was above its limit.",
    )
    relative_shift: Annotated[float, Field(gt=0)] = Field(
        0.25,
        description="How far output length, vocabulary and tokens may move from their baseline, "
        "as a share of it.",
    )
    silent_below: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.20,
        description="Share of the requests that are usual at a time of the week: with fewer, and "
        "not by chance, the endpoint has fallen silent.",
    )
    drift_tolerated: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.10,
        description="Share of the traffic that may move to other topics, or be unlike the "
        "training data, without being drift.",
    )
    drift_false_alarms: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Share of the windows in which that much changed that may alert anyway."
    )
    metrics: dict[Annotated[str, AfterValidator(_is_metric_name)], MetricSettings] = Field(
        {},
        description="A team's own figures, sent as feedback of the kind metric: name → lower is "
        "better, or higher is better. Others are watched too, for moves either way.",
    )
    feedback_days: Annotated[float, Field(ge=0, le=366)] | None = Field(
        None,
        description="How long people take to say something of an answer: younger answers wait for "
        "a later window of edit_rate, escalations, accuracy and metrics. None: the time within "
        "which nine of ten said it, in whole hours, at most window_days.",
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


class ChannelGroup(Section):
    """Channels that are told of other things than those of `alerts.notify`."""

    notify: tuple[ChannelUrl, ...] = Field(description="As in alerts.notify.")
    events: tuple[EventKind, ...] = Field(description="As in alerts.events.")


class AlertSettings(Section):
    """Stage 5: who is told of alerts and of what else happens, and when."""

    notify: tuple[ChannelUrl, ...] = Field(
        (),
        description="Apprise URLs, or ${NAME} for one in the environment; tried with: "
        "tuneloop alert test.",
    )
    events: tuple[EventKind, ...] = Field(
        EVENT_KINDS,
        description="What they are told of: alerts; approvals that are waited for, given or "
        "withdrawn; refusals of a candidate by its gates or a person; deployments; rollbacks; "
        "failures of cycles; reviews that wait, at most once a day.",
    )
    also: tuple[ChannelGroup, ...] = Field(
        (), description="Other channels, each with its own notify and events."
    )
    group_minutes: Annotated[float, Field(ge=0)] = Field(
        5.0, description="What changes within this time is told in one message."
    )
    repeat_hours: Annotated[float, Field(gt=0)] = Field(
        72.0, description="An alert that nobody acknowledged is told again after so long."
    )
    quiet_hours: QuietHours | None = Field(None, description="When messages wait; default: never.")
    urgent: tuple[MonitorName, ...] = Field(
        ("errors", "capture_drops", "silence"),
        description="Monitors whose messages do not wait for that.",
    )
    give_up_hours: Annotated[float, Field(gt=0)] = Field(
        72.0, description="A message that no attempt has delivered for so long is given up."
    )


class GoldenSettings(Section):
    """Stage 5: what the golden suites must show on the live endpoint."""

    pass_rate_below: Share | None = Field(
        None,
        description="A lower share of cases passed is an alert. None: below the gate on the suite "
        "(SUITE.accuracy); without one below the interval of what the bundle passed in its "
        "evaluation.",
    )
    minimum_cases: Annotated[int, Field(ge=1)] = Field(
        10, description="Fewer golden cases than this alert nobody."
    )
    likeness_drop: Share = Field(
        0.10,
        description="Of prose: an answer that is less like its reference than at release by more "
        "than this fails its case. 1: likeness says nothing.",
    )


class SampleSettings(Section):
    """Stage 5: captured answers that people look at, whatever the monitors say."""

    per_week: Annotated[int, Field(ge=0)] = Field(
        20, description="Answers drawn at random for the review queue every week."
    )
