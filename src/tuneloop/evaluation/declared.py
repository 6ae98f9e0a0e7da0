"""The suites that a model file declares: where their cases lie, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tuneloop.evaluation.suites import REGRESSIONS, Suite, load_suite
from tuneloop.modelfile import (
    HELD_OUT,
    ColumnSettings,
    EvaluationSettings,
    SuiteSettings,
    TaskSettings,
)

OUR_QUESTIONS = Path(__file__).with_name("general.jsonl")
"""What a suite of kind general asks that names no file."""
OUR_SOURCE = "tuneloop's own questions"
"""How people are told where these come from."""


def file_of(declared: SuiteSettings, folder: Path) -> Path:
    """The file of a suite; `folder` is that of the model file."""
    return folder / declared.file if declared.file else OUR_QUESTIONS


def source_of(declared: SuiteSettings) -> str:
    """The same for people."""
    return declared.file or OUR_SOURCE


def load_declared(
    declared: SuiteSettings,
    folder: Path,
    *,
    task: TaskSettings,
    columns: ColumnSettings | None = None,
    control_tokens: Sequence[str] = (),
) -> Suite:
    """The cases of a suite as its file has them now.

    Raises:
        EvaluationError: the file, or a row of it, cannot be used.
    """
    return load_suite(
        file_of(declared, folder),
        name=declared.name,
        kind=declared.kind,
        task=task,
        # The columns are those of the user's own files.
        columns=columns if declared.file else None,
        control_tokens=control_tokens,
    )


def kinds_of(settings: EvaluationSettings) -> Mapping[str, str]:
    """Suite → its kind: those of a dataset version, then the files'."""
    files = {suite.name: suite.kind for suite in settings.suites}
    return {HELD_OUT: HELD_OUT, REGRESSIONS: REGRESSIONS, **files}
