"""The task, and stage 1: which rows become a dataset version."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from tuneloop.modelfile.sections.base import Regex, Section, Share
from tuneloop.modelfile.source_url import SourceText

AUTO = "auto"
SMALLEST_SHARE = 0.10
LARGEST_SHARE = 0.25
"""What `auto` chooses between. More would take too much from training; a person may say so."""


def _is_holdout_share(value: object) -> object:
    try:
        fits = value == AUTO or 0.0 < float(value) < 0.5  # type: ignore[arg-type]
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError("expected auto, or a share above 0 and below 0.5 such as 0.2")
    return value


HoldoutShare = Annotated[
    Annotated[float, Field(gt=0.0, lt=0.5)] | Literal["auto"], BeforeValidator(_is_holdout_share)
]

Goal = Literal["style", "vocabulary", "task", "new_domain"]

FilterName = Literal[
    "too_short",
    "too_long",
    "leftover_template",
    "truncated",
    "refusal",
    "reasoning",
    "template",
    "wrong_language",
    "schema",
    "pattern",
    "ungrounded",
]


TaskKind = Literal["labels", "json", "short", "prose"]
"""What answers are: one of a few words, JSON, text with one right wording, or prose."""


class AbstainSettings(Section):
    """How the model says "not mine": its JSON answer has `value` in `field`."""

    field: str = Field(description="Key of the JSON answer that tells an abstention.")
    value: str = Field(description="Its value when the request is out of scope.")


class SameValues(Section):
    """When two values of a field mean the same; without one they must be equal."""

    equal: tuple[Annotated[tuple[JsonValue, ...], Field(min_length=2)], ...] = Field(
        (), description='Groups of values that mean the same, such as [["4", "four", 4]].'
    )
    ignore: Regex | None = Field(
        None, description="What it matches in a text is left out before texts are compared."
    )
    ignore_case: bool = Field(False, description="Upper and lower case mean the same.")
    any_order: bool = Field(False, description="The order of an array does not matter.")


class TaskSettings(Section):
    """What the model is for, as every request and every example sees it."""

    kind: TaskKind | None = Field(
        None,
        description="What answers are: labels (one of a few), json, short (one right wording) or "
        "prose (replies, summaries, notes). Default: json with an output_schema, else short.",
    )
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
    thinking: bool = Field(
        False,
        description="Whether the model thinks before it answers: in training, evaluation and "
        "production alike.",
    )
    same_values: dict[str, SameValues] = Field(
        default_factory=dict,
        description="Field of output_schema → when two values of it mean the same to a client.",
    )

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> TaskSettings:
        if self.output_schema is not None and self.kind not in (None, "json"):
            raise ValueError(
                f"kind is {self.kind!r}, but output_schema asks for JSON: remove one of them"
            )
        return self

    @field_validator("same_values")
    @classmethod
    def _of_fields(
        cls, rules: dict[str, SameValues], info: ValidationInfo
    ) -> dict[str, SameValues]:
        fields = (info.data.get("output_schema") or {}).get("properties", {})
        if not isinstance(fields, dict):  # Whoever checks the schema says what is wrong with it.
            return rules
        for name in rules:
            if name not in fields:
                known = ", ".join(fields) or "none"
                raise ValueError(f"{name!r} is no field of output_schema; its fields: {known}")
        return rules

    @model_serializer(mode="wrap")
    def _without_what_is_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Manifests and digests of tasks that declare no rule stay what they were without it."""
        fields: dict[str, Any] = write(self)
        if not self.same_values:
            fields.pop("same_values", None)
        if not self.thinking:
            fields.pop("thinking", None)
        if self.kind is None:
            fields.pop("kind", None)
        return fields


class ColumnSettings(Section):
    """Which columns of a row are its prompt and its answer, where their names do not tell."""

    prompt: str = Field(min_length=1, description="Column with what is asked.")
    answer: str = Field(min_length=1, description="Column with the answer: text, or JSON.")


class DataSettings(Section):
    """Stage 1: which rows become a dataset version."""

    sources: tuple[SourceText, ...] = Field(
        description="Files, folders or patterns, relative to the model file: JSON, CSV, TSV, "
        "Parquet, Arrow or spreadsheets (a sheet: sales.xlsx#May); and URLs that fsspec knows "
        "(https://, s3://, gs://, …). A secret in a URL is written ${NAME}, a variable of the "
        "environment."
    )
    columns: ColumnSettings | None = Field(
        None,
        description="Columns of prompt and answer, e.g. {prompt: message, answer: slots}; "
        "default: told by their names.",
    )
    tag_columns: tuple[str, ...] = Field(
        (),
        description="Columns that are tags, whatever their names mean in other files: context, "
        "weight, rating, …",
    )
    turns: Literal["all", "last"] = Field(
        "all",
        description="Which answers of a conversation are learnt: all, each with what stands before "
        "it, or only the last.",
    )
    least_rating: float | None = Field(
        None, description="Rows whose `rating` is lower are left out."
    )
    drop_thoughts: bool = Field(
        False,
        description="Train answers that come with a thought without it, where task.thinking is "
        "off; otherwise such rows are left out.",
    )
    holdout_share: HoldoutShare = Field(
        "auto",
        description="Share of the groups that is held out for evaluation. auto: the smallest from "
        "0.1 to 0.25 that gives every gate the cases that it asks for, and the decision against "
        "production as many as it needs to be fair, as far as that goes. A larger one moves rows "
        "from training to the held-out side; a smaller one moves none back.",
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
    grounded: bool = Field(
        False,
        description="Drop rows of prose whose answer states a number, date, name or code that its "
        "prompt does not have: a model learns from them to make such things up.",
    )
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

    @model_serializer(mode="wrap")
    def _as_before_where_not_used(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is not used: stored digests of these settings stay."""
        fields: dict[str, Any] = serialise(self)
        for name in (
            "columns",
            "tag_columns",
            "turns",
            "least_rating",
            "drop_thoughts",
            "grounded",
        ):
            if getattr(self, name) == type(self).model_fields[name].default:
                fields.pop(name, None)
        return fields
