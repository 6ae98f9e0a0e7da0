"""The model file: `tuneloop.yaml`, its settings, where each value came from."""

from tuneloop.modelfile.channel_url import ChannelUrl
from tuneloop.modelfile.loading import (
    FILE_NAME,
    KeyPath,
    ModelFile,
    load,
    load_what_is_valid,
    schema,
)
from tuneloop.modelfile.problems import Problem
from tuneloop.modelfile.sections.data import (
    AbstainSettings,
    ColumnSettings,
    DataSettings,
    SameValues,
    TaskKind,
    TaskSettings,
)
from tuneloop.modelfile.sections.deployment import EndpointSettings, ExportSettings, RolloutSettings
from tuneloop.modelfile.sections.evaluation import (
    BenchSettings,
    EvaluationSettings,
    JudgeSettings,
    SuiteSettings,
)
from tuneloop.modelfile.sections.gates import HELD_OUT, GateSettings
from tuneloop.modelfile.sections.monitoring import (
    EVENT_KINDS,
    AlertSettings,
    ChannelGroup,
    EmbeddingEndpoint,
    EventKind,
    GoldenSettings,
    MetricSettings,
    MonitorSettings,
    QuietHours,
    SampleSettings,
)
from tuneloop.modelfile.sections.retraining import (
    ApprovalRule,
    ApprovalSettings,
    AutomationSettings,
    Role,
    ScheduleSettings,
    TriggerSettings,
)
from tuneloop.modelfile.sections.training import TrainingSettings
from tuneloop.modelfile.settings import ModelSettings

__all__ = [
    "EVENT_KINDS",
    "FILE_NAME",
    "HELD_OUT",
    "AbstainSettings",
    "AlertSettings",
    "ApprovalRule",
    "ApprovalSettings",
    "AutomationSettings",
    "BenchSettings",
    "ChannelGroup",
    "ChannelUrl",
    "ColumnSettings",
    "DataSettings",
    "EmbeddingEndpoint",
    "EndpointSettings",
    "EvaluationSettings",
    "EventKind",
    "ExportSettings",
    "GateSettings",
    "GoldenSettings",
    "JudgeSettings",
    "KeyPath",
    "MetricSettings",
    "ModelFile",
    "ModelSettings",
    "MonitorSettings",
    "Problem",
    "QuietHours",
    "Role",
    "RolloutSettings",
    "SameValues",
    "SampleSettings",
    "ScheduleSettings",
    "SuiteSettings",
    "TaskKind",
    "TaskSettings",
    "TrainingSettings",
    "TriggerSettings",
    "load",
    "load_what_is_valid",
    "schema",
]
