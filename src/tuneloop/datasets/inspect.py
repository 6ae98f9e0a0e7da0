"""Looks at a data file before there is a model file: what `tuneloop init` writes down."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tuneloop.datasets.forms import Draft, FormError, recognise
from tuneloop.datasets.labels import json_object, label_counts
from tuneloop.datasets.readers import BadRow, read_rows
from tuneloop.errors import DataError

LOOKED_AT_ROWS = 5_000
_MAX_ROW_BYTES = 4_000_000
_JSON_SHARE = 0.9
_ENUM_VALUES = 30
_OUT_OF_SCOPE_WORDS = ("out_of_scope", "out-of-scope", "oos", "none_of_these", "handoff", "other")
_GROUP_COLUMNS = ("customer", "customer_id", "user_id", "conversation", "conversation_id", "group")


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the first rows of a file show."""

    rows: int
    """Rows looked at, at most 5,000."""
    usable: int
    forms: tuple[str, ...]
    """The commonest first, e.g. `chat` or `question → answer`."""
    system: str
    """The system text that all rows share, or empty."""
    output_schema: dict[str, Any] | None
    """Inferred where nearly all answers are JSON objects."""
    abstain: tuple[str, str] | None
    """Field and value that look like "out of scope"."""
    abstain_rows: int | None
    """Usable rows with that value, of those looked at; None where there is no such value, and where
    not all rows were looked at."""
    group_field: str | None


def inspect(path: Path) -> Inspection:
    """Look at the first rows of a file.

    Raises:
        DataError: the file cannot be read, or none of its rows can be used.
    """
    drafts, problems, groups, rows = _drafts(path)
    if not drafts:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in problems.most_common(3))
        raise DataError(
            f"{path} has no usable row: {reasons or 'it is empty'}.",
            remedy='Expected rows like {"messages": […]} or {"prompt": "…", "completion": "…"}.',
        )
    completions = [draft.completion for draft in drafts]
    schema = _schema(completions)
    abstain = _abstain(completions) if schema else None
    return Inspection(
        rows=rows,
        usable=len(drafts),
        forms=tuple(form for form, _ in Counter(d.form for d in drafts).most_common()),
        system=_system(drafts),
        output_schema=schema,
        abstain=abstain,
        abstain_rows=_rows_with(abstain, completions)
        if abstain and rows < LOOKED_AT_ROWS
        else None,
        group_field=next((name for name in _GROUP_COLUMNS if groups[name]), None),
    )


def _drafts(path: Path) -> tuple[list[Draft], Counter[str], Counter[str], int]:
    drafts: list[Draft] = []
    problems: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    rows = 0
    for row in islice(read_rows(path, max_row_bytes=_MAX_ROW_BYTES), LOOKED_AT_ROWS):
        rows += 1
        if isinstance(row, BadRow):
            problems[row.reason] += 1
            continue
        columns.update(row.value.keys())
        try:
            drafts.append(recognise(row.value))
        except FormError as e:
            problems[e.reason] += 1
    return drafts, problems, columns, rows


def _system(drafts: list[Draft]) -> str:
    texts = Counter(
        draft.messages[0].content if draft.messages[0].role == "system" else ""
        for draft in drafts
        if draft.messages
    )
    return texts.most_common(1)[0][0]


def _schema(completions: list[str]) -> dict[str, Any] | None:
    """Required are the keys that nearly all objects have; few short values make an enum."""
    objects = [value for text in completions if (value := json_object(text)) is not None]
    if len(objects) < _JSON_SHARE * len(completions):
        return None
    keys = Counter(key for value in objects for key in value)
    common = [key for key, count in keys.items() if count >= _JSON_SHARE * len(objects)]
    labels = label_counts(completions)
    properties = {key: _property(key, objects, labels) for key in common}
    return {"type": "object", "required": common, "properties": properties}


def _property(key: str, objects: list[Any], labels: dict[str, dict[str, int]]) -> dict[str, Any]:
    values = [value[key] for value in objects if key in value]
    kinds = Counter(_json_type(value) for value in values)
    kind = kinds.most_common(1)[0][0]
    # A value seen once in hundreds of rows is more likely a slip than a label.
    floor = 2 if len(values) >= 100 else 1
    known = [value for value, count in labels.get(key, {}).items() if count >= floor]
    if kind == "string" and 0 < len(known) <= _ENUM_VALUES:
        return {"enum": sorted(known)}
    return {"type": kind}


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


def _abstain(completions: list[str]) -> tuple[str, str] | None:
    for field, values in label_counts(completions).items():
        for value in values:
            if value.lower() in _OUT_OF_SCOPE_WORDS:
                return field, value
    return None


def _rows_with(abstain: tuple[str, str], completions: list[str]) -> int:
    field, value = abstain
    return label_counts(completions)[field][value]
