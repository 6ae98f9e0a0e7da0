"""Rows of files → clean examples: read, recognise, rename, filter, redact; count the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from tuneloop.conversation import Message
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters import Filter, first_objection
from tuneloop.datasets.imported import FileCount, Imported
from tuneloop.datasets.left_out import LeftOut, leave_out
from tuneloop.datasets.personal_data import redacted_example
from tuneloop.datasets.retired_terms import RetiredTerms
from tuneloop.datasets.shared_work import processes, shared
from tuneloop.datasets.sources import Source
from tuneloop.errors import DataError
from tuneloop.hashing import digest_json
from tuneloop.modelfile import ColumnSettings
from tuneloop.personal_data import redacted
from tuneloop.progress import Progress
from tuneloop.readers import BadRow, RawRow, read_as, read_rows
from tuneloop.readers.rows import excerpt
from tuneloop.registry import tombstones
from tuneloop.registry.tombstones import Tombstones
from tuneloop.task.origin import CORRECTION
from tuneloop.task.rows import FormError, Turns, recognise, recognise_case

ERASED = "erased"
"""Reason code of a row that a person asked to erase."""
_ROWS_TOGETHER = 1_000
_LARGE_BYTES = 20_000_000
_OF_LINES = (".jsonl", ".ndjson", ".csv", ".tsv")
_SHOWN_REASONS = 5
_HOW_TO_NAME_COLUMNS = (
    "Name the columns that hold them, data.columns: {prompt: COLUMN, answer: COLUMN}, or bring "
    'rows such as {"prompt": "…", "completion": "…"} or {"messages": [{"role": "user", "content": '
    '"…"}, {"role": "assistant", "content": "…"}]}.'
)
_HOW_TO_KEEP_ROWS = "Correct the rows, or the setting of the model file that leaves them out."


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is done to every row on its way in."""

    system: str
    """Put first where a row has no system text of its own."""
    filters: tuple[Filter, ...]
    terms: RetiredTerms
    personal_data: Literal["off", "report", "redact"]
    group_field: str | None
    max_row_bytes: int
    erased: Tombstones = tombstones.NONE
    """Rows that a person asked to erase; those that were approved since are not looked up."""
    columns: ColumnSettings | None = None
    """Columns of prompt and answer, where the model file declares them."""
    tag_columns: tuple[str, ...] = ()
    """Columns that are tags, whatever their names mean elsewhere."""
    turns: Turns = "all"
    """Which answers of a conversation are learnt."""
    least_rating: float | None = None
    """Rows with a lower rating are left out."""
    thoughts: bool = True
    """Whether the thoughts of rows are read at all."""
    thinking: bool = False
    """Whether the model is to think: then earlier thoughts are part of a prompt."""

    def redacted(self, example: Example) -> tuple[Example, Counter[str]]:
        """The example, redacted where that is wanted, and the personal data found in it."""
        if self.personal_data == "off":
            return example, Counter()
        clean, counts = redacted_example(example)
        return (clean if self.personal_data == "redact" else example), counts

    def rewritten(self, example: Example) -> Example:
        """The example with new names, and redacted: as a row that is imported now."""
        return self.redacted(self.terms.renamed_example(example)[0])[0]

    def was_erased(self, example: Example) -> bool:
        """Whether a row was erased, in the form that it came in or in the one it would be kept."""
        return bool(self.erased.marks) and (
            self.erased.covers(example.input_key)
            or self.erased.covers(self.rewritten(example).input_key)
        )


def import_sources(
    sources: Sequence[Source],
    cleaning: Cleaning,
    *,
    corrections: Iterable[Source] = (),
    most: int | None = None,
    progress: Progress,
    workers: int | None = None,
) -> Imported:
    """Read every row; rows of `corrections` are marked as approved by a person.

    `most`: so many rows are enough, those of the files' beginnings. `workers`: how many processes
    read a file together; by default as many as a large file is worth.

    Raises:
        DataError: a file cannot be read; says what was wrong where.
    """
    imported = Imported()
    for source in sources:
        _import_file(source, cleaning, {}, imported, progress, most=most, workers=workers)
    for source in corrections:
        _import_file(source, cleaning, {"origin": CORRECTION}, imported, progress, most=most)
    if imported.answers != len(imported.examples) + len(imported.left_out):
        raise AssertionError("answers in do not equal answers kept plus answers left out")
    return imported


def with_rows(imported: Imported) -> Imported:
    """What was read, where there is something in it to learn.

    Raises:
        DataError: not one row can be used; says why.
    """
    if not imported.examples:
        raise _nothing_left(imported)
    return imported


def read_cases(source: Source, cleaning: Cleaning) -> list[Example]:
    """The prompts of a suite file, rewritten as training rows are, to compare with them.

    Raises:
        DataError: the file or one of its rows cannot be read: a case that is passed over here could
            leak into training.
    """
    cases = []
    for row in read_rows(source.path, max_row_bytes=cleaning.max_row_bytes):
        if isinstance(row, BadRow):
            raise DataError(f"{source.name}, line {row.line}: {row.detail}.")
        try:
            messages = recognise_case(row.value, cleaning.columns).messages
        except FormError as e:
            raise DataError(f"{source.name}, line {row.line}: {e.detail}.") from None
        case = Example(messages=messages, completion="", source=source.name, line=row.line)
        cases.append(cleaning.rewritten(case))
    return cases


def _import_file(
    source: Source,
    cleaning: Cleaning,
    marks: Mapping[str, str],
    imported: Imported,
    progress: Progress,
    *,
    most: int | None = None,
    workers: int | None = None,
) -> None:
    if most is not None and imported.rows >= most:
        return
    count = FileCount(
        source=source.name,
        digest=source.digest() if most is None else "",
        read_as=read_as(source.path, max_row_bytes=cleaning.max_row_bytes),
    )
    imported.files.append(count)

    left = None if most is None else most - imported.rows

    def share(number: int, of: int) -> Iterator[Imported]:
        for batch in islice(_batches(source, cleaning, left), number, None, of):
            yield _import_rows(batch, source, cleaning, marks)

    if most is not None:
        workers = 1
    elif workers is None:
        workers = processes() if _is_large(source.path) else 1
    for part in shared(share, workers) if workers > 1 else share(0, 1):
        imported.add(part)
        count.add(part.files[0])
        progress.update(imported.rows, None, f"rows, now of {source.name}")


def _is_large(path: Path) -> bool:
    """Whether several processes shall read a file; a column file is read by threads of its own."""
    lines = any(suffix.lower() in _OF_LINES for suffix in path.suffixes)
    return lines and path.stat().st_size >= _LARGE_BYTES


def _batches(
    source: Source, cleaning: Cleaning, most: int | None
) -> Iterator[list[RawRow | BadRow]]:
    rows = islice(read_rows(source.path, max_row_bytes=cleaning.max_row_bytes), most)
    while batch := list(islice(rows, _ROWS_TOGETHER)):
        yield batch


def _import_rows(
    rows: Iterable[RawRow | BadRow], source: Source, cleaning: Cleaning, marks: Mapping[str, str]
) -> Imported:
    """What becomes of some rows of one file."""
    count = FileCount(source=source.name, digest="")
    imported = Imported(files=[count])
    for row in rows:
        count.rows += 1
        for result in _results(row, source, cleaning, marks, count, imported):
            count.answers += 1
            if isinstance(result, Example):
                count.kept += 1
                result.work_out()
                imported.examples.append(result)
            else:
                count.left_out[result.reason] += 1
                imported.left_out.append(_without_personal_data(result, cleaning))
    return imported


def _results(
    row: RawRow | BadRow,
    source: Source,
    cleaning: Cleaning,
    marks: Mapping[str, str],
    count: FileCount,
    imported: Imported,
) -> Iterator[Example | LeftOut]:
    """What becomes of a row: an example for each of its answers, or why it is left out."""
    if isinstance(row, BadRow):
        yield LeftOut(
            source=source.name,
            line=row.line,
            reason=row.reason,
            detail=row.detail,
            excerpt=row.excerpt,
        )
        return
    try:
        examples = _examples(row, source, cleaning, marks, count)
    except FormError as e:
        yield LeftOut(
            source=source.name,
            line=row.line,
            reason=e.reason,
            detail=e.detail,
            excerpt=excerpt(json.dumps(row.value, ensure_ascii=False, default=str)),
        )
        return
    for example in examples:
        if not marks and cleaning.was_erased(example):
            # What is said about it must not hold it either.
            detail = "a person asked to erase it (tuneloop erase)"
            yield LeftOut(source=source.name, line=row.line, reason=ERASED, detail=detail)
        else:
            yield _clean(example, cleaning, imported)


def _examples(
    row: RawRow, source: Source, cleaning: Cleaning, marks: Mapping[str, str], count: FileCount
) -> list[Example]:
    # Approved rows are written by tuneloop itself, in its own form.
    draft = (
        recognise(row.value)
        if marks
        else recognise(
            row.value,
            cleaning.columns,
            tag_columns=cleaning.tag_columns,
            least_rating=cleaning.least_rating,
        )
    )
    answers = list(draft.answers("last" if marks else cleaning.turns))
    count.forms[draft.form] += 1
    count.unused.update(draft.unused)
    system = _system(draft.turns[0], cleaning, count)
    group, tags = _group(row, draft.tags, cleaning, count)
    return [
        Example(
            messages=(*system, *_said(answered.messages, cleaning)),
            completion=answered.answer.text,
            source=source.name,
            line=row.line,
            group=group,
            tags={**tags, **marks},
            # The worse answer is one to the last turn.
            rejected=draft.rejected,
            tools=draft.tools,
            calls_tools=bool(answered.answer.tool_calls),
            reasoning=answered.answer.reasoning if cleaning.thoughts else "",
        )
        for answered in answers
    ]


def _said(messages: Sequence[Message], cleaning: Cleaning) -> Sequence[Message]:
    """What stands before an answer as clients send it: without earlier thoughts, as a rule."""
    if cleaning.thinking:
        return messages
    return [replace(turn, reasoning="") if turn.reasoning else turn for turn in messages]


def _system(first: Message, cleaning: Cleaning, count: FileCount) -> tuple[Message, ...]:
    """The model file's system turn, where a row has none of its own."""
    if first.role != "system":
        return _turn_of(cleaning.system) if cleaning.system else ()
    count.own_system += first.content != cleaning.system
    return ()


@lru_cache(maxsize=1)
def _turn_of(system: str) -> tuple[Message, ...]:
    """One turn for all rows."""
    return (Message(role="system", content=system),)


def _group(
    row: RawRow, tags: Mapping[str, str], cleaning: Cleaning, count: FileCount
) -> tuple[str, Mapping[str, str]]:
    """The row's group, and its tags without the field that says it."""
    if cleaning.group_field is None:
        return "", tags
    value = _group_value(row.value, cleaning.group_field)
    count.ungrouped += not value
    # Hashed, because the value is often a customer's name or address.
    group = digest_json([cleaning.group_field, value])[:16] if value else ""
    return group, {name: it for name, it in tags.items() if name != cleaning.group_field}


def _group_value(row: Mapping[str, Any], group_field: str) -> str:
    value = row.get(group_field)
    if value is None and isinstance(row.get("tags"), Mapping):
        value = row["tags"].get(group_field)
    return "" if value is None or value == "" else str(value)


def _clean(example: Example, cleaning: Cleaning, imported: Imported) -> Example | LeftOut:
    example, terms = cleaning.terms.renamed_example(example)
    verdict = first_objection(cleaning.filters, example)
    if not verdict.keep:
        return leave_out(example, verdict.reason, verdict.detail)
    result, personal = cleaning.redacted(example)
    imported.retired_terms.update(terms)
    imported.retired_rows += bool(terms)
    imported.personal_data.update(personal)
    imported.personal_rows += bool(personal)
    return result


def _without_personal_data(left_out: LeftOut, cleaning: Cleaning) -> LeftOut:
    if cleaning.personal_data != "redact":
        return left_out
    example = left_out.example
    return replace(
        left_out,
        detail=redacted(left_out.detail)[0],
        excerpt=redacted(left_out.excerpt)[0],
        example=None if example is None else redacted_example(example)[0],
    )


def _nothing_left(imported: Imported) -> DataError:
    names = ", ".join(file.source for file in imported.files)
    if imported.rows == 0:
        return DataError(f"{names}: no rows in it.", remedy="Check that the export was complete.")
    first: dict[str, LeftOut] = {}
    for row in imported.left_out:
        first.setdefault(row.reason, row)
    counts = Counter(row.reason for row in imported.left_out)
    reasons = "\n".join(
        f"  {count} × {reason}, first in {first[reason].source}, line {first[reason].line}: "
        f"{first[reason].detail}"
        for reason, count in counts.most_common(_SHOWN_REASONS)
    )
    return DataError(
        f"{names}: not one of {imported.rows:,} rows can be used:\n{reasons}",
        remedy=_HOW_TO_NAME_COLUMNS if "unknown_form" in counts else _HOW_TO_KEEP_ROWS,
    )
