"""Files and columns that a model file names, looked up before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneloop.datasets.sources import Listed, list_sources
from tuneloop.errors import DataError, ModelFileError, TuneloopError
from tuneloop.modelfile import AbstainSettings, DataSettings, KeyPath, Problem, TaskSettings
from tuneloop.nearest import did_you_mean
from tuneloop.readers import BadRow, read_rows
from tuneloop.task.answer_form import json_object
from tuneloop.task.rows import FormError, recognise

_MOST_ROWS = 50_000
"""In more rows than this, what was not met may still come: nothing is said of it."""
_NOT_ONLY_PROPERTIES = ("$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties")


def problems(data: DataSettings, task: TaskSettings, *, folder: Path) -> list[Problem]:
    """Sources that do not exist, and columns and fields that no row and no schema has.

    `folder` is what sources are relative to. Rows are read only until all that is named was met.
    """
    missing: list[Problem] = []
    sources: list[Listed] = []
    for number, pattern in enumerate(data.sources):
        try:
            sources += list_sources(folder, [pattern])
        except (DataError, ModelFileError) as e:
            at: KeyPath = ("data", "sources", number)
            missing.append(Problem(at=at, message=e.message, remedy=e.remedy))
    fields = _fields(task.output_schema)
    in_schema = _abstain_problems(task.abstain, fields) if task.abstain and fields else ()
    if missing:  # What a file that is not there may hold is not known.
        return [*missing, *in_schema]
    in_answers = task.abstain if task.output_schema is None else None
    return [*in_schema, *_column_problems(data, in_answers, sources)]


def _abstain_problems(abstain: AbstainSettings, fields: Mapping[str, Any]) -> Iterator[Problem]:
    if abstain.field not in fields:
        yield Problem(
            at=("task", "abstain", "field"),
            message=f"task.output_schema has no field {abstain.field!r}.",
            remedy=did_you_mean(abstain.field, fields),
        )
        return
    values = fields[abstain.field].get("enum") if isinstance(fields[abstain.field], dict) else None
    if isinstance(values, list) and abstain.value not in values:
        yield Problem(
            at=("task", "abstain", "value"),
            message=f"task.output_schema allows no {abstain.value!r} in {abstain.field}.",
            remedy=did_you_mean(abstain.value, map(str, values)),
        )


def _fields(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The fields of a schema that can be told by looking at it; empty: they cannot."""
    if schema is None or any(key in schema for key in _NOT_ONLY_PROPERTIES):
        return {}
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


@dataclass(kw_only=True)
class _Wanted:
    """What is looked for in the rows, and what was met on the way."""

    columns: dict[str, KeyPath]
    """Column → where the model file names it; what was met is taken out."""
    answer_field: str | None
    data: DataSettings
    met_columns: dict[str, None] = field(default_factory=dict)
    met_fields: dict[str, None] = field(default_factory=dict)

    @property
    def all_met(self) -> bool:
        return not self.columns and self.answer_field is None

    def meet(self, row: Mapping[str, Any]) -> None:
        tags = row.get("tags")
        names = [*row, *(tags if isinstance(tags, dict) else ())]
        self.met_columns.update(dict.fromkeys(map(str, names)))
        for name in names:
            self.columns.pop(str(name), None)
        if self.answer_field is not None:
            self._meet_answer(row)

    def _meet_answer(self, row: Mapping[str, Any]) -> None:
        try:
            answer = json_object(recognise(row, self.data.columns).completion)
        except FormError:
            return
        if answer is not None:
            self.met_fields.update(dict.fromkeys(answer))
            if self.answer_field in answer:
                self.answer_field = None


def _column_problems(
    data: DataSettings, abstain: AbstainSettings | None, sources: list[Listed]
) -> Iterator[Problem]:
    columns: dict[str, KeyPath] = {}
    if data.columns is not None:
        columns[data.columns.prompt] = ("data", "columns", "prompt")
        columns[data.columns.answer] = ("data", "columns", "answer")
    if data.group_field is not None:
        columns[data.group_field] = ("data", "group_field")
    wanted = _Wanted(columns=columns, answer_field=abstain.field if abstain else None, data=data)
    if wanted.all_met or not _read_until_met(wanted, sources):
        return
    for column, at in wanted.columns.items():
        yield Problem(
            at=at,
            message=f"No row has a column {column!r}.",
            remedy=did_you_mean(column, wanted.met_columns),
        )
    if wanted.answer_field is not None:
        yield Problem(
            at=("task", "abstain", "field"),
            message=f"No answer is a JSON object with the field {wanted.answer_field!r}.",
            remedy=did_you_mean(wanted.answer_field, wanted.met_fields),
        )


def _read_until_met(wanted: _Wanted, sources: list[Listed]) -> bool:
    """Whether every row was looked at that there is, and at least one could be read.

    Nothing is fetched for it.
    """
    rows = 0
    for source in sources:
        if source.path is None:
            return False
        try:
            for row in read_rows(source.path, max_row_bytes=wanted.data.max_row_bytes):
                if not isinstance(row, BadRow):
                    wanted.meet(row.value)
                rows += 1
                if wanted.all_met or rows >= _MOST_ROWS:
                    return wanted.all_met
        # Why a file cannot be read is for those to say who need its rows.
        except TuneloopError:
            return False
    return bool(wanted.met_columns)
