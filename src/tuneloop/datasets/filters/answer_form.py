"""Answers that break the form which the model file declares."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
from jsonschema.validators import validator_for

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, Verdict, drop
from tuneloop.errors import ModelFileError


class SchemaBroken:
    """Drops `output_not_json` and `output_breaks_schema`; an abstention is an answer too."""

    name = "schema"

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile the JSON Schema.

        Raises:
            ModelFileError: it is not a valid JSON Schema.
        """
        validator = validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            validator.check_schema(schema)
        except jsonschema.SchemaError as e:
            raise ModelFileError(
                f"task.output_schema is not a valid JSON Schema: {e.message}.",
                remedy="See https://json-schema.org/understanding-json-schema.",
            ) from e
        self._validator = validator(schema)

    def __call__(self, example: Example) -> Verdict:
        """Parse the answer and validate it."""
        return self.of(example.completion)

    def of(self, answer: str) -> Verdict:
        """The verdict on an answer alone."""
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError) as e:
            return drop("output_not_json", f"the answer is not JSON: {e}")
        fault = jsonschema.exceptions.best_match(self._validator.iter_errors(value))
        if fault is None:
            return KEEP
        where = ".".join(map(str, fault.absolute_path))
        return drop("output_breaks_schema", f"{where}: {fault.message}" if where else fault.message)


class PatternBroken:
    """Drops `output_breaks_pattern`."""

    name = "pattern"

    def __init__(self, pattern: str) -> None:
        """`pattern` must match the whole answer."""
        self._pattern = re.compile(pattern)

    def __call__(self, example: Example) -> Verdict:
        """Match the answer in full."""
        return self.of(example.completion)

    def of(self, answer: str) -> Verdict:
        """The verdict on an answer alone."""
        if self._pattern.fullmatch(answer):
            return KEEP
        return drop("output_breaks_pattern", f"the answer does not match {self._pattern.pattern!r}")
