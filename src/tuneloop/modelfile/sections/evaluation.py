"""Stage 3: what a candidate must show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tuneloop.modelfile.sections.base import (
    Condition,
    GateCondition,
    ModelServer,
    Name,
    Section,
    Share,
)


class SuiteSettings(Section):
    """A file of test cases, in the form of the training rows."""

    name: Name
    kind: Literal["golden", "edge-case", "safety"] = "golden"
    file: str = Field(description="Path relative to the model file.")


class GateSettings(Section):
    """A gate: a condition, written alone or beside a minimum of the gate's own."""

    condition: GateCondition
    minimum_cases: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Fewer cases that the metric counts pass nothing; default: "
        "evaluation.minimum_cases on the held-out cases, any number on a suite file.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_a_text(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | GateSettings) else {"condition": value}

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        """A condition alone stays a text: bundles of earlier releases hold it so."""
        return self.condition if self.minimum_cases is None else handler(self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Editors know both forms."""
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core_schema))]}


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
"""What a model that writes prose must show where the model file does not say. No bar of likeness
can be named beforehand, so the untuned base is one; the others are what every good model reaches.
"""


class EvaluationSettings(Section):
    """Stage 3: what a candidate must show before it may serve."""

    suites: tuple[SuiteSettings, ...] = ()
    gates: dict[str, GateSettings] = Field(
        default_factory=lambda: {
            "accuracy": GateSettings(condition=">= 0.90"),
            "format": GateSettings(condition=">= 0.95"),
        },
        description='Metric → condition, e.g. accuracy: ">= 0.90", or chrf: better than base '
        "(or: not worse than production), or with a minimum of its own: "
        '{condition: ">= 0.60", minimum_cases: 10}. The default is that of a task that is not '
        "prose.",
    )
    margin: Share = Field(
        0.02, description="How much worse than production still counts as not worse."
    )
    decision: Literal["strict", "balanced", "lenient"] = Field(
        "balanced",
        description="How bad a candidate must be kept out, and how often it may slip through over "
        "the life of a suite: strict (worse by the margin, 2.5 %), balanced (5 points, 20 %), "
        "lenient (10 points, 20 %).",
    )
    minimum_cases: Annotated[int, Field(ge=1)] = Field(
        50, description="A gate whose metric counts fewer held-out cases than this passes nothing."
    )
    allow_small_suite: bool = Field(
        False, description="Gates pass on any number of held-out cases, but for their own minimum."
    )
    concurrency: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Cases asked at a time; default: endpoint.parallel_requests."
    )
    base_cases: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Held-out cases that the untuned base is asked; default: 50 where the task is "
        "prose, which is slow, else all of them.",
    )


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


class JudgeSettings(ModelServer):
    """Stages 3 and 5: a language model that scores answers by a rubric."""

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
