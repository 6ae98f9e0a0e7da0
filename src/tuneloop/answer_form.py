"""What an answer says, however it is written, and whether it has the form that a task declares."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from tuneloop.hashing import canonical_json

Fits = Callable[[str], bool]
WRONG: Mapping[str, bool] = {"correct": False}
"""A label's JSON value where a person found an answer wrong and did not say the right one."""


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


def same_text(one: str, other: str) -> bool:
    """Whether two answers say the same: as JSON, or as text without white space at its ends."""
    return _written_out(one) == _written_out(other)


def edited_text(value: str) -> str | None:
    """The corrected answer in an edit's JSON value, a string or `{"text": …}`; else None."""
    edit = _json_or_none(value)
    text = edit.get("text") if isinstance(edit, dict) else edit
    return text if isinstance(text, str) else None


def corrects(edit: str, answer: str) -> bool:
    """Whether an edit's JSON value says something else than the answer did."""
    text = edited_text(edit)
    return text is None or not same_text(text, answer)


def confirms(label: str, answer: str) -> bool:
    """Whether a label's JSON value, a right answer or `WRONG`, says that the answer was right."""
    value = _json_or_none(label)
    return same_text(value if isinstance(value, str) else label, answer)


def _written_out(text: str) -> str:
    value = _json_or_none(text)
    return text.strip() if value is None else canonical_json(value)


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return None


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
