"""What `tuneloop.yaml` may say, whole; its parts are in `sections`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from tuneloop.modelfile.sections.base import Name, Section
from tuneloop.modelfile.sections.data import DataSettings, TaskSettings
from tuneloop.modelfile.sections.deployment import EndpointSettings, ExportSettings, RolloutSettings
from tuneloop.modelfile.sections.evaluation import BenchSettings, EvaluationSettings, JudgeSettings
from tuneloop.modelfile.sections.monitoring import (
    AlertSettings,
    GoldenSettings,
    MonitorSettings,
    SampleSettings,
)
from tuneloop.modelfile.sections.retraining import (
    ApprovalSettings,
    AutomationSettings,
    ReviewSettings,
    ScheduleSettings,
    TriggerSettings,
)
from tuneloop.modelfile.sections.training import TrainingSettings

WINDOWS = (("training", "max_length"), ("endpoint", "context_tokens"))
"""What `context_tokens` says in one place."""


class ModelSettings(Section):
    """The whole model file."""

    name: Name = Field(description="The model's name.")
    base: str = Field(
        description="Hugging Face id, local folder, .gguf file, or package:MODULE holding one."
    )
    revision: str | None = Field(None, description="Revision of a Hugging Face base.")
    context_tokens: Annotated[int, Field(ge=128)] | None = Field(
        None,
        description="The window: tokens of prompt and answer together, the same in training, "
        "evaluation and production. Default: what training.max_length and endpoint.context_tokens "
        "say.",
    )
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

    @model_validator(mode="before")
    @classmethod
    def _with_one_window(cls, raw: Any) -> Any:
        """`context_tokens` is both lengths where nothing else is said of them."""
        window = raw.get("context_tokens") if isinstance(raw, Mapping) else None
        if window is None or not str(window).isdecimal():  # Its own check says what is wrong.
            return raw
        filled = dict(raw)
        for section, name in WINDOWS:
            said = filled.get(section, {})
            if isinstance(said, Section):
                said = said.model_dump(exclude_unset=True)
            if isinstance(said, Mapping):
                filled[section] = {name: int(window), **said}
        return filled

    @model_validator(mode="after")
    def _has_one_window(self) -> ModelSettings:
        for section, name in WINDOWS:
            said, window = getattr(getattr(self, section), name), self.context_tokens
            if window is not None and said != window:
                raise ValueError(
                    f"context_tokens says {window}, and {section}.{name} {said}: the window is the "
                    "same in training, evaluation and production; remove one of the two"
                )
        return self

    @model_serializer(mode="wrap")
    def _without_a_window_that_is_unset(
        self, write: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """Digests of settings from before it could be said stay what they were."""
        fields: dict[str, Any] = write(self)
        if self.context_tokens is None:
            fields.pop("context_tokens", None)
        return fields

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

    @model_validator(mode="after")
    def _judged_as_its_kind(self) -> ModelSettings:
        complete = self.evaluation.with_default_gates(prose=self.task.kind == "prose")
        object.__setattr__(self, "evaluation", complete)
        return self

    @property
    def cases_at_a_time(self) -> int:
        """That an evaluation asks: by default as many as the server works on, so that none of its
        slots is idle and no case waits for one."""
        return self.evaluation.concurrency or self.endpoint.parallel_requests

    @property
    def endpoint_name(self) -> str:
        """What clients write in `model`."""
        return self.endpoint.name or self.name
