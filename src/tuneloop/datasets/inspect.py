"""Looks at a data file before there is a model file: what `tuneloop init` writes down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tuneloop.conversation import Message
from tuneloop.datasets import columns as file_columns
from tuneloop.datasets.answer_kind import AnswerKind
from tuneloop.datasets.columns import Chosen
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters import first_objection, make_filters
from tuneloop.datasets.inferred_schema import Outline
from tuneloop.datasets.labels import WHOLE_ANSWER, LabelCounts
from tuneloop.errors import DataError
from tuneloop.modelfile import ColumnSettings, DataSettings, TaskKind
from tuneloop.progress import Progress, Silent
from tuneloop.readers import BadRow, RawRow, read_rows
from tuneloop.task.answer_form import NotJsonError, json_value
from tuneloop.task.rows import Answered, Draft, FormError, recognise
from tuneloop.task.rows.fields import normal_name

_FIRST_ROWS = 20_000
"""So many decide which columns are prompt and answer; all rows are looked at then."""
_ROWS_BETWEEN_UPDATES = 1_000
MAX_ROW_BYTES = 4_000_000
_FILTERS = make_filters(
    min_characters=DataSettings.model_fields["min_characters"].default,
    max_characters=DataSettings.model_fields["max_characters"].default,
    disabled=("reasoning",),  # whether the model thinks follows from the rows
)
_JSON_SHARE = 0.9
"""Where so many answers are JSON objects, that is what the task asks for."""
_SLIPS_SHARE = 0.005
"""So few answers that are no JSON beside them are slips; more may be meant as they are."""
_SHARED = 0.5
"""A system text that more rows than this have is the task's."""
_SYSTEM_TEXTS = 1_000
_SAMPLE = 400
_MOST_LINES = 5
_MOST_REASONS = 5
_OUT_OF_SCOPE_WORDS = ("out_of_scope", "out-of-scope", "oos", "none_of_these", "handoff", "other")
_GROUP_COLUMNS = ("customer", "customer_id", "user_id", "conversation", "conversation_id", "group")
_UNKNOWN_FORM = "unknown_form"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the rows of a file show."""

    rows: int
    usable: int
    left_out: Mapping[str, int]
    """Reason → rows that cannot be used."""
    filtered: Mapping[str, int]
    """Reason → answers of the others that `prepare` leaves out; they count nowhere else."""
    first_left_out: Mapping[str, str]
    """Reason of either → line and detail of the first one."""
    kind: TaskKind
    """What the answers are."""
    sample: tuple[tuple[str, str], ...]
    """What is asked and the answer, of the first rows with an answer in words."""
    answers: int
    """Answers to learn; a conversation may hold several."""
    calls: int
    """How many of them call tools."""
    thoughts: int
    """How many of them come with a thought."""
    pairs: int
    """Rows with a worse answer beside the right one."""
    tags: Mapping[str, tuple[int, int]]
    """Column that no format knows → rows that fill it, and different values."""
    unused: Mapping[str, int]
    """Column that no format knows and that is too long for a tag → rows that fill it."""
    forms: tuple[str, ...]
    """The commonest first, e.g. `chat` or `question → answer`."""
    example: tuple[str, str]
    """What the first row asks that `prepare` keeps, and its answer."""
    columns: ColumnSettings | None
    """Prompt and answer, where their names do not tell."""
    guessed: str
    """What the guess of `columns` rests on; empty where nothing was guessed."""
    system: str
    """The system text that most rows share, or empty."""
    system_texts: int
    """How many different ones there are, at most 1,000."""
    output_schema: dict[str, Any] | None
    """Inferred where nearly all answers are JSON objects; every answer that is JSON fits it."""
    schema_holds: bool
    """False: more answers than a slip or two are text, which the schema would leave out."""
    no_json_lines: tuple[int, ...]
    """The first lines with an answer that is no JSON where the others are."""
    no_json: int
    """How many there are; of these `broken_json` begin as if they were."""
    broken_json: int
    seen_once: Mapping[str, str]
    """Field → an enumerated value that one row of many has."""
    labels: int
    """Different answers, where they are labels in plain text; else 0."""
    majority: float
    """Share of the most frequent label, of a field that is one or of whole answers; 0: no labels"""
    abstain: tuple[str, str] | None
    """Field and value that look like "out of scope"."""
    abstain_rows: int | None
    """Usable rows with that value; None where there is no such value."""
    group_field: str | None
    groups: int
    """Different values of it."""
    longest_answer: int
    """Bytes (UTF-8)."""


@dataclass(kw_only=True)
class _Seen:
    """What the rows of a file showed so far; none of them is kept."""

    columns: ColumnSettings | None
    rows: int = 0
    usable: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    first_left_out: dict[str, str] = field(default_factory=dict)
    forms: Counter[str] = field(default_factory=Counter)
    example: tuple[str, str] = ("", "")
    systems: Counter[str] = field(default_factory=Counter)
    """System text → rows, of the first 1,000 texts."""
    outline: Outline = field(default_factory=Outline)
    """Of the answers that are JSON."""
    objects: int = 0
    no_json: int = 0
    no_json_lines: list[int] = field(default_factory=list)
    broken_json: int = 0
    labels: LabelCounts = field(default_factory=LabelCounts)
    kind: AnswerKind = field(default_factory=AnswerKind)
    sample: list[tuple[str, str]] = field(default_factory=list)
    groups: dict[str, set[int]] = field(default_factory=dict)
    """Column → hashes of its values."""
    answers: int = 0
    calls: int = 0
    thoughts: int = 0
    pairs: int = 0
    tags: Counter[str] = field(default_factory=Counter)
    tag_values: dict[str, set[int]] = field(default_factory=dict)
    """Tag → hashes of its values."""
    unused: Counter[str] = field(default_factory=Counter)
    longest_answer: int = 0

    def add(self, row: RawRow | BadRow) -> None:
        """Look at one more row."""
        self.rows += 1
        if isinstance(row, BadRow):
            self._leave_out(row.line, row.reason, row.detail)
            return
        self._add_groups(row.value)
        try:
            draft = recognise(row.value, self.columns)
            answers = list(draft.answers())
        except FormError as e:
            self._leave_out(row.line, e.reason, e.detail)
            return
        if not self.usable:
            self._show(answers[0])
        self.usable += 1
        self.forms[draft.form] += 1
        self.pairs += draft.rejected is not None
        self._add_system(draft.turns[0])
        self._add_tags(draft)
        for answered in answers:
            if not self._keeps(row.line, draft, answered):
                continue
            if not self.answers:
                self._show(answered)
            answer = answered.answer.text
            self.answers += 1
            self.thoughts += bool(answered.answer.reasoning)
            self.longest_answer = max(self.longest_answer, len(answer.encode("utf-8", "replace")))
            if answered.answer.tool_calls:  # they have a form of their own
                self.calls += 1
            else:
                self._add_answer(row.line, answered.messages[-1].content, answer)

    def _show(self, answered: Answered) -> None:
        self.example = (answered.messages[-1].content, answered.answer.text)

    def _keeps(self, line: int, draft: Draft, answered: Answered) -> bool:
        """Whether `prepare` would keep the answer, by the filters that every model file has."""
        example = Example(
            messages=answered.messages,
            completion=answered.answer.text,
            source="",
            line=line,
            tags=draft.tags,
            tools=draft.tools,
            calls_tools=bool(answered.answer.tool_calls),
        )
        verdict = first_objection(_FILTERS, example)
        if not verdict.keep:
            self.filtered[verdict.reason] += 1
            self.first_left_out.setdefault(verdict.reason, f"line {line}: {verdict.detail}")
        return verdict.keep

    def _leave_out(self, line: int, reason: str, detail: str) -> None:
        self.left_out[reason] += 1
        self.first_left_out.setdefault(reason, f"line {line}: {detail}")

    def _add_system(self, first: Message) -> None:
        text = first.content if first.role == "system" else ""
        if text in self.systems or len(self.systems) < _SYSTEM_TEXTS:
            self.systems[text] += 1

    def _add_tags(self, draft: Draft) -> None:
        self.unused.update(draft.unused)
        for tag, value in draft.tags.items():
            self.tags[tag] += 1
            self.tag_values.setdefault(tag, set()).add(hash(value))

    def _add_answer(self, line: int, asked: str, answer: str) -> None:
        self.labels.add(answer)
        self.kind.add(asked, answer)
        if len(self.sample) < _SAMPLE:
            self.sample.append((asked, answer))
        try:
            value = json_value(answer)
        except NotJsonError:
            self.no_json += 1
            self.broken_json += answer.lstrip()[:1] in ("{", "[")
            if len(self.no_json_lines) < _MOST_LINES:
                self.no_json_lines.append(line)
            return
        self.objects += isinstance(value, dict)
        self.outline.add(value)

    def _add_groups(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            # A list is a conversation itself and not its name.
            if normal_name(name) in _GROUP_COLUMNS and isinstance(value, str | int):
                self.groups.setdefault(str(name), set()).add(hash(str(value)))

    def group_field(self) -> str | None:
        """The column of customers or conversations."""
        order = _GROUP_COLUMNS.index
        return min(self.groups, key=lambda name: order(normal_name(name)), default=None)

    def system(self) -> str:
        """The system text that most rows share, or empty."""
        ((text, count),) = self.systems.most_common(1)
        return text if count > _SHARED * self.usable else ""


def inspect(
    path: Path,
    *,
    prompt: str | None = None,
    answer: str | None = None,
    progress: Progress = Silent(),
) -> Inspection:
    """Look at the rows of a file; `prompt` and `answer` name columns where a person does.

    Raises:
        DataError: the file cannot be read, none of its rows can be used, or it cannot be told which
            columns are prompt and answer.
    """
    rows = iter(read_rows(path, max_row_bytes=MAX_ROW_BYTES))
    first = list(islice(rows, _FIRST_ROWS))
    chosen = _chosen(path, first, prompt, answer)
    seen = _Seen(columns=chosen.columns if chosen else None)
    for row in chain(first, rows):
        seen.add(row)
        if seen.rows > _FIRST_ROWS and seen.rows % _ROWS_BETWEEN_UPDATES == 1:
            _tell(progress, seen.rows)
    if not seen.usable:
        raise _nothing_usable(path, seen)
    return _inspection(seen, chosen)


def _inspection(seen: _Seen, chosen: Chosen | None) -> Inspection:
    labels = seen.labels.counts()
    said = seen.answers - seen.calls
    is_json = said > 0 and seen.objects >= _JSON_SHARE * said
    schema = seen.outline.schema() if is_json else None
    abstain = _abstain(labels, schema) if schema else None
    of_whole_answers = 0 if is_json else len(labels.get(WHOLE_ANSWER, {}))
    group_field = seen.group_field()
    # What begins as JSON and is none is broken whatever the task asks for.
    texts = seen.no_json - seen.broken_json
    return Inspection(
        rows=seen.rows,
        usable=seen.usable,
        left_out=dict(seen.left_out.most_common()),
        filtered=dict(seen.filtered.most_common()),
        first_left_out=seen.first_left_out,
        kind=seen.kind.kind(is_json=is_json, is_label=of_whole_answers > 0),
        sample=tuple(seen.sample),
        answers=seen.answers,
        calls=seen.calls,
        thoughts=seen.thoughts,
        pairs=seen.pairs,
        tags={tag: (rows, len(seen.tag_values[tag])) for tag, rows in sorted(seen.tags.items())},
        unused=dict(sorted(seen.unused.items())),
        forms=tuple(form for form, _ in seen.forms.most_common()),
        example=seen.example,
        columns=chosen.columns if chosen else None,
        guessed=chosen.why if chosen else "",
        system=seen.system(),
        system_texts=len(seen.systems.keys() - {""}),
        output_schema=schema,
        schema_holds=texts <= _SLIPS_SHARE * said,
        no_json_lines=tuple(seen.no_json_lines) if is_json else (),
        no_json=seen.no_json if is_json else 0,
        broken_json=seen.broken_json if is_json else 0,
        seen_once=seen.outline.seen_once() if is_json else {},
        labels=of_whole_answers,
        majority=_majority(labels.get(_label_field(abstain, schema), {})),
        abstain=abstain,
        abstain_rows=labels[abstain[0]][abstain[1]] if abstain else None,
        group_field=group_field,
        groups=len(seen.groups[group_field]) if group_field else 0,
        longest_answer=seen.longest_answer,
    )


def _chosen(
    path: Path, rows: Sequence[RawRow | BadRow], prompt: str | None, answer: str | None
) -> Chosen | None:
    """The columns of prompt and answer; None where the rows tell by the names of their columns."""
    values = [row.value for row in rows if isinstance(row, RawRow)]
    if prompt is None and answer is None:
        reasons = Counter(map(_reason, values))
        if reasons[_UNKNOWN_FORM] <= reasons[""]:
            return None
    columns = file_columns.look(values)
    return file_columns.choose(path, columns, prompt=prompt, answer=answer) if columns else None


def _reason(row: Mapping[str, Any]) -> str:
    """Why a row is in no form, or empty."""
    try:
        recognise(row)
    except FormError as e:
        return e.reason
    return ""


def _tell(progress: Progress, rows: int) -> None:
    if rows == _FIRST_ROWS + 1:  # fewer are looked at in a second
        progress.step("Looking at all rows")
    progress.update(rows, None, "rows")


def _nothing_usable(path: Path, seen: _Seen) -> DataError:
    reasons = [
        f"  {count} × {reason}, first in {seen.first_left_out[reason]}"
        for reason, count in seen.left_out.most_common(_MOST_REASONS)
    ]
    listed = "\n".join([":", *reasons]) if reasons else ": it is empty."
    return DataError(
        f"{path} has no usable row{listed}",
        remedy='Expected rows like {"messages": […]} or {"prompt": "…", "completion": "…"}.',
    )


def _label_field(abstain: tuple[str, str] | None, schema: Mapping[str, Any] | None) -> str:
    """The field that tells requests apart, as `task.label` will have it; else the whole answer."""
    if schema is None:
        return WHOLE_ANSWER
    if abstain is not None:
        return abstain[0]
    return next((name for name, of in schema.get("properties", {}).items() if "enum" in of), "")


def _majority(counts: Mapping[str, int]) -> float:
    return max(counts.values()) / sum(counts.values()) if counts else 0.0


def _abstain(
    labels: Mapping[str, Mapping[str, int]], schema: Mapping[str, Any]
) -> tuple[str, str] | None:
    for name, values in labels.items():
        for value in values:
            if name in schema.get("properties", {}) and value.lower() in _OUT_OF_SCOPE_WORDS:
                return name, value
    return None
