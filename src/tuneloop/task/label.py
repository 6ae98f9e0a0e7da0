"""A task's label, by which requests are told apart, and its abstention, which hands them over."""

from __future__ import annotations

from tuneloop.modelfile import TaskSettings
from tuneloop.task.answer_form import json_object


def label_field(task: TaskSettings) -> str | None:
    """The field that names the kind of request: the abstention's, else the first enumerated."""
    if task.abstain is not None:
        return task.abstain.field
    fields = (task.output_schema or {}).get("properties", {})
    if not isinstance(fields, dict):
        return None
    # `true` is a schema too, of any value.
    return next((k for k, v in fields.items() if isinstance(v, dict) and "enum" in v), None)


def label_of(answer: str, task: TaskSettings) -> str | None:
    """What kind of request an answer takes it for; None where the task has no label, or it none."""
    field = label_field(task)
    if field is None:
        return None
    label = (json_object(answer) or {}).get(field)
    return label if isinstance(label, str) else None


def is_abstention(answer: str, task: TaskSettings) -> bool:
    """Whether an answer says that the request is out of scope, as the task declares."""
    if task.abstain is None:
        return False
    answered = json_object(answer)
    return answered is not None and answered.get(task.abstain.field) == task.abstain.value
