"""The JSON Schema that a set of answers fits, every one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

_ENUM_VALUES = 30
_LABEL_CHARACTERS = 60
_MIN_REPEATS = 2.0
"""Values must come back at least this often on average to be labels."""
_NEW_SHARE = 0.01
"""More chance than this that the next value is a new one: no closed set."""
_MOST_FIELDS = 60
"""An object with more keys is a table by key, whose keys say nothing of the next one."""
_DEEPEST = 8
"""Levels that are described; what is nested deeper may be anything."""
_NUMBER = re.compile(r"[+-]?[\d.,:/%\s-]+")
_MANY = 100
"""So many values, and one that is seen once may be a slip."""


def infer_schema(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A JSON Schema for these objects: no object of them breaks it.

    A key is required where every object has it. Texts become an enumeration where few short values
    come again and again and hardly any is seen once (the chance that the next value is a new one is
    the share of values seen once: Good 1953, "The population frequencies of species"). Eight levels
    are described.
    """
    schema = _infer(objects)
    # A safeguard: what is written down must hold for what it was made of.
    if all(map(Draft202012Validator(schema).is_valid, objects)):
        return schema
    return {"type": "object"}


def seen_once(objects: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> dict[str, str]:
    """Field → an enumerated value that one object of many has: a label, or a slip."""
    once = {}
    for name, inferred in schema.get("properties", {}).items():
        counts = Counter(value[name] for value in objects if isinstance(value.get(name), str))
        rare = [value for value, count in counts.items() if count == 1]
        if "enum" in inferred and counts.total() >= _MANY and rare:
            once[name] = rare[0]
    return once


def _infer(values: Sequence[Any], level: int = 0) -> dict[str, Any]:
    if level == _DEEPEST:
        return {}
    kinds = Counter(_json_type(value) for value in values)
    types = _types(kinds)
    if set(types) <= {"string", "null"} and (labels := _labels(values)):
        return {"enum": [*labels, *([None] if "null" in types else [])]}
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if "object" in types:
        schema |= _of_objects([value for value in values if isinstance(value, Mapping)], level)
    if "array" in types:
        items = [item for value in values if isinstance(value, list) for item in value]
        schema |= {"items": _infer(items, level + 1)} if items else {}
    return schema


def _types(kinds: Counter[str]) -> list[str]:
    """JSON types, the commonest first; whole numbers and fractions together are numbers."""
    if "number" in kinds:
        kinds["number"] += kinds.pop("integer", 0)
    return [kind for kind, _ in kinds.most_common()]


def _of_objects(objects: Sequence[Mapping[str, Any]], level: int) -> dict[str, Any]:
    counts = Counter(key for value in objects for key in value)
    if len(counts) > _MOST_FIELDS:
        return {}
    required = [key for key, count in counts.items() if count == len(objects)]
    properties = {
        key: _infer([value[key] for value in objects if key in value], level + 1) for key in counts
    }
    return {**({"required": required} if required else {}), "properties": properties}


def _labels(values: Sequence[Any]) -> list[str]:
    """The values of a closed set, sorted; none where it is not one."""
    counts = Counter(value for value in values if isinstance(value, str))
    once = sum(count == 1 for count in counts.values())
    closed = (
        0 < len(counts) <= _ENUM_VALUES
        and counts.total() >= _MIN_REPEATS * len(counts)
        and once <= max(1, _NEW_SHARE * counts.total())
        and all(len(value) <= _LABEL_CHARACTERS for value in counts)
        and not all(_NUMBER.fullmatch(value) for value in counts)
    )
    return sorted(counts) if closed else []


def _json_type(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case None:
            return "null"
        case _:
            return "object"
