"""The JSON Schema that a set of answers fits, every one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

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


def infer_schema(values: Iterable[Any]) -> dict[str, Any]:
    """A JSON Schema for these JSON values: none of them breaks it; see `Outline.schema`."""
    outline = Outline()
    for value in values:
        outline.add(value)
    return outline.schema()


class Outline:
    """What the values at one place of the answers look like.

    It grows with each value and keeps none, so that all rows of a file can be looked at.
    """

    def __init__(self, level: int = 0) -> None:
        """`level`: how many objects and arrays the place lies in."""
        self._level = level
        self._kinds: Counter[str] = Counter()
        self._labels: Counter[str] | None = Counter()
        """Text → values; None once the texts are no closed set, whatever comes."""
        self._fields: dict[str, Outline] | None = {}
        """None once there are too many keys."""
        self._items: Outline | None = None

    def add(self, value: Any) -> None:
        """One more value, as `json` reads them."""
        kind = _json_type(value)
        self._kinds[kind] += 1
        if self._level == _DEEPEST:
            return
        if kind == "string":
            self._add_text(value)
        elif kind == "object":
            self._add_object(value)
        elif kind == "array" and value:
            self._items = self._items or Outline(self._level + 1)
            for item in value:
                self._items.add(item)

    def schema(self) -> dict[str, Any]:
        """A JSON Schema that every value fits.

        A key is required where every object has it. Texts become an enumeration where few short
        values come again and again and hardly any is seen once (the chance that the next value is
        a new one is the share of values seen once: Good 1953, "The population frequencies of
        species"). A place that only null was seen at may hold anything: that says nothing of the
        values to come. Eight levels are described.
        """
        if self._level == _DEEPEST:
            return {}
        types = _types(self._kinds)
        if types == ["null"] and self._level:
            return {}
        if set(types) <= {"string", "null"} and (labels := self.labels()):
            return {"enum": [*labels, *([None] if "null" in types else [])]}
        schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
        if self._fields:
            schema |= _of_fields(self._fields, objects=self._kinds["object"])
        if self._items is not None:
            schema["items"] = self._items.schema()
        return schema

    def labels(self) -> list[str]:
        """The texts where they are a closed set, sorted; none where they are not."""
        counts = self._labels
        if not counts:
            return []
        once = sum(count == 1 for count in counts.values())
        closed = (
            counts.total() >= _MIN_REPEATS * len(counts)
            and once <= max(1, _NEW_SHARE * counts.total())
            and not all(_NUMBER.fullmatch(text) for text in counts)
        )
        return sorted(counts) if closed else []

    def seen_once(self) -> dict[str, str]:
        """Field → an enumerated value that one object of many has: a label, or a slip."""
        once = {}
        for name, field in (self._fields or {}).items():
            counts = field._labels or Counter()
            rare = [text for text, count in counts.items() if count == 1]
            if rare and counts.total() >= _MANY and "enum" in field.schema():
                once[name] = rare[0]
        return once

    def _add_text(self, text: str) -> None:
        if self._labels is None:
            return
        self._labels[text] += 1
        if (
            len(text) > _LABEL_CHARACTERS
            or len(self._labels) > _ENUM_VALUES
            or not text.isprintable()
        ):
            self._labels = None

    def _add_object(self, value: Mapping[str, Any]) -> None:
        if self._fields is None:
            return
        for key, item in value.items():
            if key not in self._fields:
                if not key.isprintable():  # nor would a person read it in a file
                    continue
                self._fields[key] = Outline(self._level + 1)
            self._fields[key].add(item)
        if len(self._fields) > _MOST_FIELDS:
            self._fields = None


def _of_fields(fields: Mapping[str, Outline], *, objects: int) -> dict[str, Any]:
    required = [key for key, field in fields.items() if field._kinds.total() == objects]
    properties = {key: field.schema() for key, field in fields.items()}
    return {**({"required": required} if required else {}), "properties": properties}


def _types(kinds: Mapping[str, int]) -> list[str]:
    """JSON types, the commonest first; whole numbers and fractions together are numbers."""
    counts = Counter(kinds)
    if "number" in counts:
        counts["number"] += counts.pop("integer", 0)
    return [kind for kind, _ in counts.most_common()]


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
