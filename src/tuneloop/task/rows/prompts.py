"""What stands before an answer: a question with its context, history and system text, or turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from tuneloop.conversation import Message
from tuneloop.task.rows import texts
from tuneloop.task.rows.fields import (
    ALSO_ASKED,
    CHOICE_COLUMNS,
    CONTEXT_COLUMNS,
    HISTORY_COLUMNS,
    PASSAGE_COLUMNS,
    PROMPT_COLUMNS,
    SYSTEM_COLUMNS,
    Fields,
    FormError,
    column_error,
    is_empty,
)
from tuneloop.task.rows.turns import Turn, are_turns, content_text, exchanges, turns

INSTRUCTIONS = ("instructions",)
_FEWEST_CHOICES = 2
_CHOICES, _SYSTEMS = frozenset(CHOICE_COLUMNS), frozenset(SYSTEM_COLUMNS)


def before_the_answer(
    row: Fields, column: str, answer: str
) -> tuple[tuple[Turn, ...], int, set[str]]:
    """The turns before the answer, how many of them a history gave, and the columns used.

    Raises:
        FormError: they cannot be told, or would miss a part of what was asked.
    """
    value = texts.from_text(row[column])
    if row.any(_CHOICES):
        _refuse_choices(row, but=(column, answer))
    if isinstance(row[column], list) or are_turns(value):
        spoken = turns(value, row.key(column), row.tag_columns)
        beside = (*CONTEXT_COLUMNS, *HISTORY_COLUMNS, *INSTRUCTIONS)
        refuse_beside(row, beside, column, but=(column, answer))
        before, used = system_turn(row, spoken[0].message)
        return (*before, *spoken), 0, used | {column, answer}
    if INSTRUCTIONS[0] in row:
        refuse_beside(row, INSTRUCTIONS, column, but=(column, answer))
    asked, used = _with_context(row, column, answer)
    spoken = (Turn(message=Message(role="user", content=asked)),)
    earlier: tuple[Turn, ...] = ()
    history = row.first(HISTORY_COLUMNS)
    if history is not None and history not in (column, answer):
        if not is_empty(row[history]):
            earlier = _history(row, history)
        used.add(history)
    before, also = system_turn(row, (*earlier, *spoken)[0].message)
    count = len(before) + len(earlier) if earlier else 0
    return (*before, *earlier, *spoken), count, used | also


def _history(row: Fields, column: str) -> tuple[Turn, ...]:
    try:
        return exchanges(row[column], row.key(column), row.tag_columns)
    except FormError as e:
        raise column_error(e.reason, e.detail) from None


def learnt_answers(spoken: Sequence[Turn]) -> tuple[int, ...]:
    """The answers to a user's turn or a tool's; what nobody asked for, a greeting, is context."""
    if len(spoken) < 2:
        return ()
    return tuple(
        place
        for place, (asked, turn) in enumerate(pairwise(spoken), start=1)
        if turn.message.role == "assistant"
        and asked.message.role in ("user", "tool")
        and turn.learnt is not False
        and turn.message.text.strip()
    )


def repeated(row: Fields, spoken: Sequence[Message]) -> Iterator[str]:
    """Columns that hold a turn of the conversation beside it once more."""
    contents = {message.content.strip() for message in spoken}
    for name in PROMPT_COLUMNS:
        if name in row and isinstance(row[name], str) and row[name].strip() in contents:
            yield name


def also_asked(row: Fields, asked: str, answer: str, used: set[str]) -> None:
    """Refuse a second column that is asked: its text would be learnt without.

    A column that repeats the question or the answer, or is both of them as one text, says nothing
    new.

    Raises:
        FormError: naming the column.
    """
    for name in ALSO_ASKED:
        said = row.get(name)
        if name in used or not isinstance(said, str) or not (words := said.strip()):
            continue
        if words in asked or words == answer.strip() or (asked in words and answer in words):
            continue
        raise column_error(
            name,
            f"{row.key(name)} is another text than what is asked, and no format says how they go "
            "together; write both into one column, or say in data.columns which one is the prompt",
        )


def _with_context(row: Fields, column: str, answer: str) -> tuple[str, set[str]]:
    """What is asked, and behind it what it is about, in columns of its own."""
    used = {column, answer}
    parts = [texts.text(row[column], row.key(column))]
    names = (*CONTEXT_COLUMNS, *(PASSAGE_COLUMNS if column == "question" else ()))
    for name in names:
        if name in row and name not in used:
            parts.append(_context(row, name))
            used.add(name)
    return "\n\n".join(part for part in parts if part), used


def _context(row: Fields, name: str) -> str:
    value = row[name]
    if is_empty(value):
        return ""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return texts.answer_text(value, row.key(name))
    try:
        return texts.text(value, row.key(name))
    except FormError as e:
        raise column_error(e.reason, e.detail) from None


def _refuse_choices(row: Fields, but: tuple[str, ...]) -> None:
    for name in CHOICE_COLUMNS:
        if name not in row or name in but:
            continue
        value = texts.from_text(row[name])
        if isinstance(value, Mapping):
            listed = value.get("text", list(value.values()))
            lettered = "text" in value or all(len(str(key)) == 1 for key in value)
            value = listed if lettered else None
        if (
            isinstance(value, list)
            and len(value) >= _FEWEST_CHOICES
            and all(isinstance(item, str | int | float) for item in value)
        ):
            raise column_error(
                name,
                f"{row.key(name)} beside a question is not put into the prompt; write it into it",
            )


def system_turn(row: Fields, first: Message) -> tuple[tuple[Turn, ...], set[str]]:
    """The system turn of a column of its own, where there is one.

    Raises:
        FormError: the conversation has another one, or two columns have.
    """
    if not row.any(_SYSTEMS):
        return (), set()
    columns = [name for name in SYSTEM_COLUMNS if name in row]
    said = {name: _system_text(row, name) for name in columns}
    filled = [name for name, text in said.items() if text.strip()]
    if not filled:
        return (), set(columns)
    if len({said[name] for name in filled}) > 1:
        two = " and ".join(map(row.key, filled[:2]))
        raise column_error("two_system_texts", f"{two} are two system texts")
    column = filled[0]
    if first.role == "system" and first.content == said[column]:
        return (), set(columns)
    if first.role == "system":
        raise column_error(
            "two_system_texts", f"{row.key(column)} and the first turn are two system texts"
        )
    return (Turn(message=Message(role="system", content=said[column])),), set(columns)


def _system_text(row: Fields, column: str) -> str:
    try:
        return content_text(row[column], row.key(column))
    except FormError as e:
        raise column_error(e.reason, e.detail.replace(".content is", " is")) from None


def refuse_beside(
    row: Fields, names: tuple[str, ...], column: str, *, but: tuple[str, ...] = ()
) -> None:
    """Refuse columns of which no format says where they go beside a conversation."""
    for name in row.filled(names):
        if name not in but:
            raise FormError(
                name,
                f"{row.key(name)} stands beside {row.key(column)}, and no format says where it "
                "goes; put it into a turn, or name it in data.tag_columns",
            )
