"""Whether an answer has the form that the task declares: JSON Schema, regular expression."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

Fits = Callable[[str], bool]


def declared_form(task: Mapping[str, Any]) -> Fits:
    """The test that a bundle's task declares; where it declares none, an answer must not be empty.

    The whole text, white space at its ends aside, must fit: JSON inside a sentence does not, since
    a client program could not read it. With a schema and a pattern, both must fit.
    """
    tests: list[Fits] = []
    if task.get("output_schema") is not None:
        tests.append(_schema(task["output_schema"]))
    if task.get("output_pattern") is not None:
        tests.append(_pattern(task["output_pattern"]))
    if not tests:
        return lambda answer: bool(answer.strip())
    return lambda answer: all(fits(answer) for fits in tests)


def _schema(definition: Mapping[str, Any]) -> Fits:
    from jsonschema import validators
    from referencing import Registry

    kind = validators.validator_for(definition, default=validators.Draft202012Validator)
    # An empty registry: a reference to another document is never fetched.
    validator = kind(definition, registry=Registry())

    def fits(answer: str) -> bool:
        try:
            value = json.loads(answer.strip(), parse_constant=_not_json)
            return bool(validator.is_valid(value))
        except (ValueError, RecursionError):
            return False

    return fits


def _pattern(expression: str) -> Fits:
    compiled = re.compile(expression)
    return lambda answer: compiled.fullmatch(answer.strip()) is not None


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
