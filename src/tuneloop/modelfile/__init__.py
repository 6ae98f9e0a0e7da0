"""The model file: `tuneloop.yaml`, its settings, where each value came from."""

from tuneloop.modelfile.loading import FILE_NAME, ModelFile, load, schema
from tuneloop.modelfile.settings import (
    AbstainSettings,
    BenchSettings,
    DataSettings,
    EndpointSettings,
    EvaluationSettings,
    ExportSettings,
    ModelSettings,
    MonitorSettings,
    RolloutSettings,
    SuiteSettings,
    TaskSettings,
    TrainingSettings,
    TriggerSettings,
)

__all__ = [
    "FILE_NAME",
    "AbstainSettings",
    "BenchSettings",
    "DataSettings",
    "EndpointSettings",
    "EvaluationSettings",
    "ExportSettings",
    "ModelFile",
    "ModelSettings",
    "MonitorSettings",
    "RolloutSettings",
    "SuiteSettings",
    "TaskSettings",
    "TrainingSettings",
    "TriggerSettings",
    "load",
    "schema",
]
