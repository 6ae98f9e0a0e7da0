"""Whether an answer has the form that the model file declares, as `prepare` will see it.

An approved answer that has not is a row in quarantine, not one that is trained on: whoever reviews
is told before, and why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tuneloop.datasets.filters import FormCheck, form_checks
from tuneloop.modelfile import ModelSettings

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class DeclaredForm:
    """The form of a model's answers."""

    expected: str
    """What an answer must be, for people; empty where nothing is declared."""
    checks: tuple[FormCheck, ...] = ()

    def fault(self, answer: str) -> str | None:
        """What an answer breaks of it; None: nothing."""
        for check in self.checks:
            verdict = check.of(answer)
            if not verdict.keep:
                return _shortened(verdict.detail)
        return None


def declared_form(model: ModelSettings) -> DeclaredForm:
    """The form that a model file declares; a check that it switches off is none.

    Raises:
        ModelFileError: its schema is not a valid JSON Schema.
    """
    task = model.task
    checks = form_checks(
        output_schema=task.output_schema,
        output_pattern=task.output_pattern,
        disabled=model.data.disabled_filters,
    )
    expected = []
    if any(check.name == "schema" for check in checks):
        schema = json.dumps(task.output_schema, ensure_ascii=False)
        expected.append(f"JSON that fits task.output_schema, {_shortened(schema)}")
    if any(check.name == "pattern" for check in checks):
        expected.append(f"a text that matches task.output_pattern, {task.output_pattern}")
    return DeclaredForm(expected=" and ".join(expected), checks=checks)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
