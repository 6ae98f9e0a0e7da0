"""Whether an answer has the form that the model file declares, as `prepare` will see it.

An approved answer that has not is a row in quarantine, not one that is trained on: whoever reviews
is told before, and why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tuneloop.modelfile import ModelSettings
from tuneloop.task.answer_form import Check, pattern_check, schema_check

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class DeclaredForm:
    """The form of a model's answers."""

    expected: str
    """What an answer must be, for people; empty where nothing is declared."""
    checks: tuple[Check, ...] = ()

    def fault(self, answer: str) -> str | None:
        """What an answer breaks of it; None: nothing."""
        for check in self.checks:
            fault = check(answer)
            if fault is not None:
                return _shortened(fault.detail)
        return None


def declared_form(model: ModelSettings) -> DeclaredForm:
    """The form that a model file declares; a check that it switches off is none.

    Raises:
        ModelFileError: its schema is not a valid JSON Schema.
    """
    task, disabled = model.task, model.data.disabled_filters
    checks, expected = [], []
    if task.output_schema is not None and "schema" not in disabled:
        schema = json.dumps(task.output_schema, ensure_ascii=False)
        checks.append(schema_check(task.output_schema))
        expected.append(f"JSON that fits task.output_schema, {_shortened(schema)}")
    if task.output_pattern is not None and "pattern" not in disabled:
        checks.append(pattern_check(task.output_pattern))
        expected.append(f"a text that matches task.output_pattern, {task.output_pattern}")
    return DeclaredForm(expected=" and ".join(expected), checks=tuple(checks))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
