"""What was expected and what was found in a model file, in the words of YAML and not of Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_EXPECTED = {
    "dict_type": "keys with values",
    "mapping_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "list_type": "a list such as [a, b]",
    "tuple_type": "a list such as [a, b]",
    "string_type": "a text, in quotes where it looks like something else",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
"""Kinds of mistakes, as pydantic names them, whose message would speak of Python."""


def expected(problem: Mapping[str, Any]) -> str:
    """What a value should have been: a phrase without its full stop."""
    if what := _EXPECTED.get(problem["type"]):
        return f"expected {what}"
    return str(problem["msg"]).removeprefix("Value error, ")


def found(value: Any) -> str:
    """A value as it may stand in the file: `null`, `true`, `[1, 2]`; texts in quotes."""
    if isinstance(value, str):
        return repr(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # such as a date
        return str(value)
