"""Stage 3: what a candidate must show."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from tuneloop.modelfile.sections.base import Condition, ModelServer, Name, Section, Share
from tuneloop.modelfile.sections.gates import USUAL_GATES, GateSettings, unmentioned

FORGETTING = 0.1
"""By default: of 40 questions 11 must be lost, and none won, before it is sure."""


class SuiteSettings(Section):
    """A file of test cases, in the form of the training rows."""

    name: Name
    kind: Literal["golden", "edge-case", "safety", "general"] = "golden"
    file: str = Field(
        "",
        description="Path relative to the model file. One of kind general may have none: then it "
        "is the questions that tuneloop brings.",
    )

    @model_validator(mode="after")
    def _has_cases(self) -> SuiteSettings:
        if not self.file and self.kind != "general":
            raise ValueError("expected `file`, the path of its cases relative to the model file")
        return self


class EvaluationSettings(Section):
    """Stage 3: what a candidate must show before it may serve."""

    suites: tuple[SuiteSettings, ...] = ()
    gates: dict[str, GateSettings] = Field(
        default_factory=lambda: dict(USUAL_GATES),
        description='Metric → condition, e.g. accuracy: ">= 0.90", or chrf: better than base '
        "(or: not worse than production), or with a minimum of its own: "
        '{condition: ">= 0.60", minimum_cases: 10}. They are added to the default ones, which are '
        "those of a task that is not prose here; {condition: null, reason: WHY} drops one.",
    )
    reasons: dict[str, str] = Field(
        default_factory=dict,
        description="Why something else than a gate is weaker than by default or than for "
        "production: margin, minimum_cases, allow_small_suite, or a suite whose cases are fewer.",
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
    forgetting: Share = Field(
        FORGETTING,
        description="How much less than the base a candidate may know of a suite of kind general "
        "before the report warns of it.",
    )
    _added: tuple[str, ...] = PrivateAttr(())

    @property
    def gates_in_force(self) -> dict[str, GateSettings]:
        """The gates that were not dropped."""
        return {key: gate for key, gate in self.gates.items() if gate.condition is not None}

    @property
    def added_gates(self) -> tuple[str, ...]:
        """Default gates of which a model file with gates of its own says nothing."""
        return self._added

    def without_added(self, metrics: Collection[str]) -> EvaluationSettings:
        """The same without those of the added gates that are on one of these metrics."""
        left_out = set(self._added) & set(metrics)
        gates = {key: gate for key, gate in self.gates.items() if key not in left_out}
        return self.model_copy(update={"gates": gates}) if left_out else self

    def with_default_gates(self, *, prose: bool) -> EvaluationSettings:
        """The same with the default gates beside those that were written."""
        written = self.gates if "gates" in self.model_fields_set else {}
        added = unmentioned(written, prose=prose)
        complete = self.model_copy(update={"gates": {**written, **added}})
        complete._added = (*self._added, *added) if written else ()
        return complete

    @field_validator("reasons")
    @classmethod
    def _says_something(cls, reasons: dict[str, str]) -> dict[str, str]:
        for about, reason in reasons.items():
            if not reason.strip():
                raise ValueError(f"expected a reason in words for {about}")
        return reasons

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Bundles and digests from before they could be said stay what they were."""
        fields: dict[str, Any] = write(self)
        if not self.reasons:
            fields.pop("reasons", None)
        if self.forgetting == FORGETTING:
            fields.pop("forgetting", None)
        return fields


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


RubricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class JudgeSettings(ModelServer):
    """Stages 3 and 5: a language model that scores answers by a rubric."""

    rubric: str = Field(
        "The answer does what was asked, is right as far as the conversation and the reference "
        "answer tell, adds nothing that is not asked for, and has the form that was asked for.",
        description="What a good answer is, in words.",
    )
    rubrics: dict[RubricName, str] = Field(
        default_factory=dict,
        description="Further rubrics, such as {tone: tone.md}: name → text file, relative to the "
        "model file. Each is the metric judge.NAME, which a gate may stand on.",
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

    @model_serializer(mode="wrap")
    def _as_before_without_rubrics(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Stored digests of judges that have one rubric stay."""
        fields: dict[str, Any] = write(self)
        if not self.rubrics:
            fields.pop("rubrics", None)
        return fields
