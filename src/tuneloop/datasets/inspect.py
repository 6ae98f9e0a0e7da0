"""Looks at a data file before there is a model file: what `tuneloop init` writes down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tuneloop.datasets import columns as file_columns
from tuneloop.datasets.columns import Chosen
from tuneloop.datasets.inferred_schema import infer_schema, seen_once
from tuneloop.datasets.labels import WHOLE_ANSWER, label_counts
from tuneloop.errors import DataError
from tuneloop.modelfile import ColumnSettings
from tuneloop.readers import BadRow, RawRow, read_rows
from tuneloop.task.answer_form import json_object
from tuneloop.task.rows import Draft, FormError, recognise

LOOKED_AT_ROWS = 20_000
MAX_ROW_BYTES = 4_000_000
_JSON_SHARE = 0.9
_MOST_LINES = 5
_OUT_OF_SCOPE_WORDS = ("out_of_scope", "out-of-scope", "oos", "none_of_these", "handoff", "other")
_GROUP_COLUMNS = ("customer", "customer_id", "user_id", "conversation", "conversation_id", "group")
_UNKNOWN_FORM = "unknown_form"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the first rows of a file show."""

    rows: int
    """Rows looked at, at most 20,000."""
    usable: int
    left_out: Mapping[str, int]
    """Reason → rows that cannot be used."""
    whole_file: bool
    """False: there are more rows, which nobody looked at."""
    forms: tuple[str, ...]
    """The commonest first, e.g. `chat` or `question → answer`."""
    example: tuple[str, str]
    """What the first usable row asks, and its answer."""
    columns: ColumnSettings | None
    """Prompt and answer, where their names do not tell."""
    guessed: str
    """What the guess of `columns` rests on; empty where nothing was guessed."""
    system: str
    """The system text that all rows share, or empty."""
    output_schema: dict[str, Any] | None
    """Inferred where nearly all answers are JSON objects; every one of those fits it."""
    no_object_lines: tuple[int, ...]
    """The first lines whose answer is none all the same: the schema will leave them out."""
    no_objects: int
    """How many there are."""
    seen_once: Mapping[str, str]
    """Field → an enumerated value that one row of many has."""
    labels: int
    """Different answers, where they are labels in plain text; else 0."""
    abstain: tuple[str, str] | None
    """Field and value that look like "out of scope"."""
    abstain_rows: int | None
    """Usable rows with that value, of those looked at; None where there is no such value, and where
    not all rows were looked at."""
    group_field: str | None
    groups: int
    """Different values of it."""
    longest_answer: int
    """Bytes (UTF-8)."""


@dataclass(kw_only=True)
class _Read:
    """The rows of a file and what became of them."""

    rows: list[RawRow] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    count: int = 0
    whole_file: bool = True
    drafts: list[tuple[int, Draft]] = field(default_factory=list)
    """With the line of each."""

    def recognise(self, columns: ColumnSettings | None) -> Counter[str]:
        """Fill `drafts`; the reasons of the rows that are in no form."""
        self.drafts, reasons = [], Counter[str]()
        for row in self.rows:
            try:
                self.drafts.append((row.line, recognise(row.value, columns)))
            except FormError as e:
                reasons[e.reason] += 1
        return reasons


def inspect(path: Path, *, prompt: str | None = None, answer: str | None = None) -> Inspection:
    """Look at the first rows of a file; `prompt` and `answer` name columns where a person does.

    Raises:
        DataError: the file cannot be read, none of its rows can be used, or it cannot be told which
            columns are prompt and answer.
    """
    read = _read(path)
    chosen, reasons = _recognised(path, read, prompt, answer)
    left_out = read.problems + reasons
    if not read.drafts:
        listed = ", ".join(f"{count} × {reason}" for reason, count in left_out.most_common(3))
        raise DataError(
            f"{path} has no usable row: {listed or 'it is empty'}.",
            remedy='Expected rows like {"messages": […]} or {"prompt": "…", "completion": "…"}.',
        )
    drafts = [draft for _, draft in read.drafts]
    completions = [draft.completion for draft in drafts]
    objects = [value for text in completions if (value := json_object(text)) is not None]
    is_json = len(objects) >= _JSON_SHARE * len(completions)
    schema = infer_schema(objects) if is_json else None
    no_objects = [line for line, d in read.drafts if json_object(d.completion) is None]
    group_field, groups = _groups(read.rows)
    abstain = _abstain(completions, schema) if schema else None
    return Inspection(
        rows=read.count,
        usable=len(drafts),
        left_out=dict(left_out.most_common()),
        whole_file=read.whole_file,
        forms=tuple(form for form, _ in Counter(d.form for d in drafts).most_common()),
        example=(drafts[0].messages[-1].content, drafts[0].completion),
        columns=chosen.columns if chosen else None,
        guessed=chosen.why if chosen else "",
        system=_system(drafts),
        output_schema=schema,
        no_object_lines=tuple(no_objects[:_MOST_LINES]) if is_json else (),
        no_objects=len(no_objects) if is_json else 0,
        seen_once=seen_once(objects, schema) if schema else {},
        labels=0 if is_json else len(label_counts(completions).get(WHOLE_ANSWER, {})),
        abstain=abstain,
        abstain_rows=_rows_with(abstain, completions) if abstain and read.whole_file else None,
        group_field=group_field,
        groups=groups,
        longest_answer=max(len(text.encode("utf-8", "replace")) for text in completions),
    )


def _read(path: Path) -> _Read:
    read = _Read()
    for row in islice(read_rows(path, max_row_bytes=MAX_ROW_BYTES), LOOKED_AT_ROWS + 1):
        if read.count == LOOKED_AT_ROWS:
            read.whole_file = False
            break
        read.count += 1
        if isinstance(row, BadRow):
            read.problems[row.reason] += 1
        else:
            read.rows.append(row)
    return read


def _recognised(
    path: Path, read: _Read, prompt: str | None, answer: str | None
) -> tuple[Chosen | None, Counter[str]]:
    """Recognise the rows by the names of their columns, else by those that are chosen."""
    reasons = read.recognise(None)
    named = prompt is not None or answer is not None
    if not named and reasons[_UNKNOWN_FORM] <= len(read.drafts):
        return None, reasons
    columns = file_columns.look([row.value for row in read.rows])
    if not columns:
        return None, reasons
    chosen = file_columns.choose(path, columns, prompt=prompt, answer=answer)
    return chosen, read.recognise(chosen.columns)


def _system(drafts: Sequence[Draft]) -> str:
    texts = Counter(
        draft.messages[0].content if draft.messages[0].role == "system" else ""
        for draft in drafts
        if draft.messages
    )
    return texts.most_common(1)[0][0]


def _groups(rows: Sequence[RawRow]) -> tuple[str | None, int]:
    """The column of customers or conversations, and how many of them there are."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.value.items():
            # A list is a conversation itself and not its name.
            if str(name).lower() in _GROUP_COLUMNS and isinstance(value, str | int):
                values.setdefault(str(name), set()).add(str(value))
    column = min(values, key=lambda name: _GROUP_COLUMNS.index(name.lower()), default=None)
    return column, len(values[column]) if column else 0


def _abstain(completions: Sequence[str], schema: Mapping[str, Any]) -> tuple[str, str] | None:
    for name, values in label_counts(completions).items():
        for value in values:
            if name in schema.get("properties", {}) and value.lower() in _OUT_OF_SCOPE_WORDS:
                return name, value
    return None


def _rows_with(abstain: tuple[str, str], completions: list[str]) -> int:
    field, value = abstain
    return label_counts(completions)[field][value]
