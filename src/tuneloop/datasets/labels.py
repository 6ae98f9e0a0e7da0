"""Answers seen as labels: which values they take and how often."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from tuneloop.task.answer_form import json_object

WHOLE_ANSWER = "answer"
MAX_VALUES = 200
_MAX_LABEL_CHARACTERS = 60
_REMEMBERED_CHARACTERS = 500
_MIN_REPEATS = 2.0
"""Values must come back at least this often on average to be labels."""
_ROWS_PER_CLASS = 5.0
"""And this often to be what answers are about rather than a detail of them, such as a day."""


class LabelCounts:
    """Counts the labels of answers one by one; of a field that holds none it keeps nothing."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter[str] | None] = {}
        """Field → value → count; None once its values are no labels, whatever comes."""

    def add(self, completion: str) -> None:
        """One more answer."""
        for field, value in _fields(completion).items():
            counter = self._counters.setdefault(field, Counter())
            if counter is None:
                continue
            counter[value] += 1
            if len(counter) > MAX_VALUES or len(value) > _MAX_LABEL_CHARACTERS:
                self._counters[field] = None

    def counts(self) -> dict[str, dict[str, int]]:
        """As `label_counts` gives them."""
        return {
            field: dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
            for field, counter in sorted(self._counters.items())
            if counter is not None and counter.total() >= _MIN_REPEATS * len(counter)
        }


def label_counts(completions: Iterable[str]) -> dict[str, dict[str, int]]:
    """Field → value → count, for the fields of JSON answers (or whole answers) that are labels.

    The most frequent value comes first.
    """
    labels = LabelCounts()
    for completion in completions:
        labels.add(completion)
    return labels.counts()


def labels_of(completion: str, fields: Iterable[str]) -> dict[str, str]:
    """An answer's values in those fields."""
    values = _fields(completion)
    return {field: values[field] for field in fields if field in values}


def class_field(completions: Sequence[str], declared: str | None = None) -> str | None:
    """The field whose values are the classes of the answers; None where there are none.

    That is the one that the task names, `declared`. Where it names none, or the answers do not have
    it, it is the whole answer, and for JSON answers the most telling of the fields whose values are
    labels: the one with the highest entropy (Shannon 1948), details set aside where possible.
    """
    if declared is not None:
        found = {labels_of(text, [declared]).get(declared) for text in completions} - {None}
        if len(found) > 1:
            return declared
    fields = label_counts(completions)
    usual = {
        field: counts
        for field, counts in fields.items()
        if len(counts) > 1 and 2 * sum(counts.values()) > len(completions)
    }
    return max(usual, key=lambda field: _telling(field, usual[field]), default=None)


def _telling(field: str, counts: Mapping[str, int]) -> tuple[bool, bool, float, str]:
    rows = sum(counts.values())
    entropy = math.log2(rows) - sum(n * math.log2(n) for n in counts.values()) / rows
    return field == WHOLE_ANSWER, rows >= _ROWS_PER_CLASS * len(counts), entropy, field


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
