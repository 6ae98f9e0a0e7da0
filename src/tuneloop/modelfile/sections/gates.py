"""What a candidate must show: gates, those of every model file, and those that it adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tuneloop.modelfile.sections.base import RELATIVE, GateCondition, Section

HELD_OUT = "held-out"
"""The suite of a gate that names none: the dataset version's own held-out rows."""


class GateSettings(Section):
    """A gate: a condition, written alone or beside a minimum of the gate's own and a reason."""

    condition: GateCondition | None = Field(
        description="What the metric must show; null drops the gate, and takes a reason."
    )
    minimum_cases: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Fewer cases that the metric counts pass nothing; default: "
        "evaluation.minimum_cases on the held-out cases, any number on a suite file.",
    )
    reason: str | None = Field(
        None,
        description="Why it asks for less than its default, or than production was held to; it "
        "stands in the report and with the bundle.",
    )

    @field_validator("reason")
    @classmethod
    def _says_something(cls, reason: str | None) -> str | None:
        if reason is not None and not reason.strip():
            raise ValueError("expected a reason in words")
        return reason

    @model_validator(mode="before")
    @classmethod
    def _of_a_text(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | GateSettings) else {"condition": value}

    @model_validator(mode="after")
    def _is_dropped_for_a_reason(self) -> GateSettings:
        if self.condition is None and self.reason is None:
            raise ValueError('dropping a gate takes a reason: {condition: null, reason: "…"}')
        if self.condition is None and self.minimum_cases is not None:
            raise ValueError("a gate that is dropped counts no cases: leave out minimum_cases")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        """A condition alone stays a text: bundles of earlier releases hold it so."""
        if self.minimum_cases is None and self.reason is None:
            return self.condition
        written: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in written.items()
            if name == "condition" or value is not None
        }

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Editors know both forms."""
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core_schema))]}


USUAL_GATES: Mapping[str, GateSettings] = {
    "accuracy": GateSettings(condition=">= 0.90"),
    "format": GateSettings(condition=">= 0.95"),
}
"""What a model must show, unless it writes prose."""
PROSE_GATES: Mapping[str, GateSettings] = {
    metric: GateSettings(condition=condition)
    for metric, condition in {
        "chrf": "better than base",
        "answered": ">= 0.95",
        "truncated_share": "<= 0.05",
        "no_loops": ">= 0.95",
        "in_language": ">= 0.95",
        "length_fit": ">= 0.90",
        "ungrounded": "<= 0.05",
    }.items()
}
"""What a model that writes prose must show. No bar of likeness can be named beforehand, so the
untuned base is one; the others are what every good model reaches.
"""
_LIKENESS = ("chrf", "rouge_l", "bleu", "similarity")
"""The default gate of prose is on the first of these; one that is better by another will do."""


def default_gates(*, prose: bool) -> Mapping[str, GateSettings]:
    """What holds unless a model file says otherwise: metric of the held-out cases → gate."""
    return PROSE_GATES if prose else USUAL_GATES


def unmentioned(stated: Mapping[str, GateSettings], *, prose: bool) -> dict[str, GateSettings]:
    """The default gates of which a model file says nothing."""
    return {
        metric: gate
        for metric, gate in default_gates(prose=prose).items()
        if stated_as(metric, stated) is None
    }


def stated_as(metric: str, stated: Mapping[str, GateSettings]) -> str | None:
    """The key of the gate that stands for the default one on a metric; None: there is none."""
    for key in (metric, f"{HELD_OUT}.{metric}"):
        if key in stated:
            return key
    if metric != _LIKENESS[0]:
        return None
    return next((key for key, gate in stated.items() if _is_of_likeness(key, gate)), None)


def _is_of_likeness(key: str, gate: GateSettings) -> bool:
    relative = RELATIVE.fullmatch(gate.condition or "")
    is_better = relative is not None and relative[1] == "better"
    return is_better and key.removeprefix(f"{HELD_OUT}.") in _LIKENESS
