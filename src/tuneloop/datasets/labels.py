"""Answers seen as labels: which values they take and how often."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from tuneloop.task.answer_form import json_object

WHOLE_ANSWER = "answer"
MAX_VALUES = 200
_MAX_LABEL_CHARACTERS = 60
_REMEMBERED_CHARACTERS = 500
_MIN_REPEATS = 2.0
"""Values must come back at least this often on average to be labels."""


def label_counts(completions: Iterable[str]) -> dict[str, dict[str, int]]:
    """Field → value → count, for the fields of JSON answers (or whole answers) that are labels.

    The most frequent value comes first.
    """
    counters: dict[str, Counter[str]] = {}
    for completion in completions:
        for field, value in _fields(completion).items():
            counters.setdefault(field, Counter())[value] += 1
    return {
        field: dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
        for field, counter in sorted(counters.items())
        if _is_label(counter)
    }


def labels_of(completion: str, fields: Iterable[str]) -> dict[str, str]:
    """An answer's values in those fields."""
    values = _fields(completion)
    return {field: values[field] for field in fields if field in values}


def _fields(completion: str) -> Mapping[str, str]:
    """An answer's fields, each with its value as text."""
    short = len(completion) <= _REMEMBERED_CHARACTERS
    return _fields_of_short(completion) if short else _fields_of(completion)


def _fields_of(completion: str) -> Mapping[str, str]:
    value = json_object(completion)
    if value is None:
        return {WHOLE_ANSWER: completion.strip()}
    return {
        str(key): item if isinstance(item, str) else json.dumps(item)
        for key, item in value.items()
        if isinstance(item, str | bool | int)
    }


_fields_of_short = lru_cache(maxsize=10_000)(_fields_of)
"""Labels come back many times."""


def _is_label(counter: Counter[str]) -> bool:
    return (
        len(counter) <= MAX_VALUES
        and counter.total() >= _MIN_REPEATS * len(counter)
        and max(map(len, counter)) <= _MAX_LABEL_CHARACTERS
    )
