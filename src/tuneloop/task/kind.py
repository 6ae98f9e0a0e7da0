"""What kind of answer a task wants: gates, metrics, monitors and reviews follow from it."""

from __future__ import annotations

from tuneloop.modelfile import TaskKind, TaskSettings


def kind_of(task: TaskSettings) -> TaskKind:
    """The declared kind; else JSON where a schema is declared, and short text where none is.

    Short text is what every task without a schema was before kinds could be declared, so that
    earlier model files and bundles mean what they meant.
    """
    if task.kind is not None:
        return task.kind
    return "json" if task.output_schema is not None else "short"


def is_prose(task: TaskSettings) -> bool:
    """Whether right answers may share no sentence, so that no string match tells a right one."""
    return kind_of(task) == "prose"
