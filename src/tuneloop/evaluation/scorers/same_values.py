"""When two values of a field say the same: equal JSON values, or what `task.same_values` declares.

Nothing is normalised that the task does not declare: whether `"4"` and `"4 people"` are one answer
is known to the team alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuneloop.hashing import canonical_json
from tuneloop.modelfile import SameValues

Equal = Callable[[str, Any, Any], bool]
"""Whether two values of the field with this name say the same."""


def same(left: Any, right: Any) -> bool:
    """Equal JSON values: texts after NFC with runs of white space as one; 1 is 1.0 but not true.

    The order of an array matters, that of an object's keys does not.
    """
    if isinstance(left, str) and isinstance(right, str):
        return _text(left) == _text(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def by_rules(rules: Mapping[str, SameValues]) -> Equal:
    """Compare the fields that have a rule after writing both values as the rule says.

    What is nested deeper than can be compared, as brackets without end are, equals nothing.
    """
    writers = {field: _Writer(rule) for field, rule in rules.items()}

    def equal(field: str, left: Any, right: Any) -> bool:
        write = writers.get(field)
        try:
            return same(left, right) if write is None else same(write(left), write(right))
        except RecursionError:
            return False

    return equal


as_written = by_rules({})
"""Equal JSON values, for a task that declares nothing else."""


def told(rules: Mapping[str, SameValues]) -> str:
    """The rules as a part of a metric's definition; nothing where none is declared."""
    if not rules:
        return ""
    written = {name: rule.model_dump(exclude_defaults=True) for name, rule in rules.items()}
    return f"; values that mean the same: {canonical_json(written)}"


class _Writer:
    """Writes all values that mean the same in one way; within arrays and objects too."""

    def __init__(self, rule: SameValues) -> None:
        self._rule = rule
        flags = re.IGNORECASE if rule.ignore_case else re.NOFLAG
        self._ignored = None if rule.ignore is None else re.compile(rule.ignore, flags)
        self._groups: list[list[Any]] = []
        self._groups = _merged([[self(value) for value in group] for group in rule.equal])

    def __call__(self, value: Any) -> Any:
        written = self._written(value)
        for group in self._groups:
            if any(same(member, written) for member in group):
                return group[0]
        return written

    def _written(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._written_text(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)  # so that 1.0 is sorted as 1
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, list):
            items = [self(item) for item in value]
            return sorted(items, key=canonical_json) if self._rule.any_order else items
        return value

    def _written_text(self, value: str) -> str:
        text = _text(value)
        if self._ignored is not None:
            text = _text(self._ignored.sub(" ", text))
        return text.casefold() if self._rule.ignore_case else text


def _merged(groups: Sequence[list[Any]]) -> list[list[Any]]:
    """Groups with a member in common are one: what means the same as the same means the same."""
    merged: list[list[Any]] = []
    for group in groups:
        apart = []
        for other in merged:
            if any(same(member, value) for member in other for value in group):
                group = [*other, *group]
            else:
                apart.append(other)
        merged = [*apart, group]
    return merged


def _text(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).split())
