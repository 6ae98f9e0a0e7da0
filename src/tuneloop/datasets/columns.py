"""Which two columns of a file are prompt and answer, where their names alone do not tell.

They are guessed only where it is unmistakable; else a person names them, with the columns in view.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop.errors import DataError
from tuneloop.modelfile import ColumnSettings
from tuneloop.nearest import did_you_mean
from tuneloop.task.answer_form import json_object
from tuneloop.task.rows import ANSWER_COLUMNS, PROMPT_COLUMNS
from tuneloop.task.rows.fields import normal_name

_FILLED_SHARE = 0.9
"""A column that fewer rows fill is neither prompt nor answer."""
_DISTINCT_SHARE = 0.9
"""Prompts differ from each other in at least this share of the rows."""
_LABEL_CHARACTERS = 60
_SAMPLE_CHARACTERS = 48
_NO_TEXT = re.compile(r"[\W\d_]*|\d{4}-\d\d-\d\d.*|[0-9a-fA-F-]{32,36}", re.DOTALL)
"""Numbers, dates and identifiers."""
_NOT_CONTENT = re.compile(
    r"(?:.*[_-])?(?:id|uuid|line|source|tags|group)|lang(?:uage)?|locale|split"
    r"|customer|conversation"
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a file as its rows show it."""

    name: str
    filled: float
    """Share of the rows that have a value."""
    text: float
    """Share of the values that are words or JSON: no numbers, dates or identifiers."""
    objects: float
    """Share of the values that are JSON objects."""
    different: int
    """How many different values there are."""
    distinct: float
    """Different values over all values."""
    characters: float
    """Mean length of a value."""
    sample: str
    """The first value, shortened."""

    @property
    def may_be_content(self) -> bool:
        """Whether it looks like a prompt or an answer, and not like what stands beside them."""
        return (
            min(self.filled, self.text) >= _FILLED_SHARE
            and self.different > 1
            and _NOT_CONTENT.fullmatch(normal_name(self.name)) is None
        )

    @property
    def holds_objects(self) -> bool:
        """Whether its values are JSON objects, a slip aside."""
        return self.objects >= _FILLED_SHARE

    @property
    def holds_labels(self) -> bool:
        """Whether few short values come again and again."""
        return self.distinct <= 0.5 and self.characters <= _LABEL_CHARACTERS


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Prompt and answer."""

    columns: ColumnSettings
    why: str
    """What the guess rests on; empty where a person named both."""


def look(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns of these rows, in the order in which they come."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None and value != "":
                values.setdefault(str(name), []).append(value)
    return [_column(name, column_values, len(rows)) for name, column_values in values.items()]


def choose(
    path: Path, columns: Sequence[Column], *, prompt: str | None = None, answer: str | None = None
) -> Chosen:
    """The columns that a person named, or those that can be nothing else.

    Raises:
        DataError: there is no such column, or it cannot be told; lists the columns with a value of
            each and gives the command that names two of them.
    """
    prompt, answer = (_existing(path, columns, name) for name in (prompt, answer))
    if prompt is not None and answer is not None:
        if prompt == answer:
            raise DataError(f"{path}: prompt and answer are both the column {prompt!r}.")
        return Chosen(columns=ColumnSettings(prompt=prompt, answer=answer), why="")
    content = [
        column
        for column in columns
        if column.may_be_content and column.name not in (prompt, answer)
    ]
    if prompt is not None or answer is not None:
        other = _the_other(content, ANSWER_COLUMNS if prompt is not None else PROMPT_COLUMNS)
        if other is None:
            raise _cannot_tell(path, columns, prompt, answer)
        chosen = ColumnSettings(prompt=prompt or other.name, answer=answer or other.name)
        return Chosen(columns=chosen, why="the other column with text")
    if len(content) == 2:
        first, second = content
        reasons = _reasons(first, second), _reasons(second, first)
        if bool(reasons[0]) != bool(reasons[1]):
            if reasons[1]:
                first, second = second, first
            chosen = ColumnSettings(prompt=first.name, answer=second.name)
            return Chosen(columns=chosen, why=", ".join(reasons[0] or reasons[1]))
    raise _cannot_tell(path, columns, None, None)


def _reasons(prompt: Column, answer: Column) -> list[str]:
    """What speaks for these two being prompt and answer, in this order."""
    reasons = []
    if _is_usual(prompt.name, PROMPT_COLUMNS):
        reasons.append(f"{prompt.name} is a usual name for what is asked")
    if _is_usual(answer.name, ANSWER_COLUMNS):
        reasons.append(f"{answer.name} is a usual name for an answer")
    if answer.holds_objects and not prompt.holds_objects:
        reasons.append(f"{answer.name} holds JSON objects")
    elif answer.holds_labels and prompt.distinct >= _DISTINCT_SHARE:
        reasons.append(f"{answer.name} holds few values that come again")
    return reasons


def _is_usual(name: str, known: Sequence[str]) -> bool:
    """Whether it is one of these names, or has one as a word: `our_reply`."""
    normal = normal_name(name)
    return normal in known or not set(known).isdisjoint(re.split("[^a-z0-9]+", normal))


def _the_other(content: Sequence[Column], known: Sequence[str]) -> Column | None:
    by_name = {normal_name(column.name): column for column in content}
    named = next((by_name[name] for name in known if name in by_name), None)
    return named or (content[0] if len(content) == 1 else None)


def _existing(path: Path, columns: Sequence[Column], name: str | None) -> str | None:
    if name is None:
        return None
    names = [column.name for column in columns]
    same = [column for column in names if column == name] or [
        column for column in names if normal_name(column) == normal_name(name)
    ]
    if not same:
        raise DataError(f"{path}: no row has a column {name!r}.", remedy=did_you_mean(name, names))
    return same[0]


def _cannot_tell(
    path: Path, columns: Sequence[Column], prompt: str | None, answer: str | None
) -> DataError:
    if len(columns) < 2:
        return DataError(
            f"{path} has the column {columns[0].name!r} only; expected prompts and their answers.",
            remedy='Expected rows like {"messages": […]} or {"prompt": "…", "completion": "…"}.',
        )
    width = max(len(column.name) for column in columns)
    listed = "\n".join(f"  {column.name:<{width}}  {column.sample}" for column in columns)
    content = [column for column in columns if column.may_be_content] or list(columns)
    # As good as any to begin with: answers are JSON or labels, or what stands behind the question.
    if answer is None:
        answer = max(
            _others(columns, content, prompt),
            key=lambda column: (
                _is_usual(column.name, ANSWER_COLUMNS),
                column.holds_objects,
                column.holds_labels,
                columns.index(column),
            ),
        ).name
    if prompt is None:
        prompt = max(_others(columns, content, answer), key=lambda column: column.characters).name
    flags = f"--prompt {shlex.quote(prompt)} --answer {shlex.quote(answer)}"
    return DataError(
        f"{path}: which column is asked, and which is the answer? With a value of each:\n{listed}",
        remedy=f"Name both, for example: tuneloop init {shlex.quote(str(path))} {flags}",
    )


def _others(
    columns: Sequence[Column], content: Sequence[Column], taken: str | None
) -> Sequence[Column]:
    """The columns that may be the other one of two: those with content, where there are any."""
    return [column for column in content if column.name != taken] or [
        column for column in columns if column.name != taken
    ]


def _column(name: str, values: Sequence[Any], rows: int) -> Column:
    texts = [value if isinstance(value, str) else _dumped(value) for value in values]
    objects = [json_object(text) is not None for text in texts]
    words = [
        is_object or (isinstance(value, str) and _NO_TEXT.fullmatch(value.strip()) is None)
        for value, is_object in zip(values, objects, strict=True)
    ]
    different = len(set(texts))
    return Column(
        name=name,
        filled=len(values) / rows,
        text=sum(words) / len(values),
        objects=sum(objects) / len(values),
        different=different,
        distinct=different / len(values),
        characters=sum(map(len, texts)) / len(values),
        sample=_shortened(texts[0]),
    )


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _shortened(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= _SAMPLE_CHARACTERS else f"{one_line[:_SAMPLE_CHARACTERS]}…"
