"""Preference pairs: the prompt, the better answer, and the worse one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneloop.conversation import Message
from tuneloop.task.rows import marks, texts
from tuneloop.task.rows.fields import (
    PAIR_COLUMNS,
    WORSE_COLUMNS,
    Fields,
    FormError,
    column_error,
    is_empty,
    type_name,
)
from tuneloop.task.rows.prompts import before_the_answer, repeated, system_turn
from tuneloop.task.rows.turns import (
    Turn,
    are_turns,
    is_answer,
    messages,
    turns,
    with_thought_apart,
)

_PAIRED = frozenset((*WORSE_COLUMNS, *(name for pair in PAIR_COLUMNS for name in pair)))
_SPEAKERS = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ \n]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two answers to one prompt."""

    spoken: tuple[Message, ...]
    better: Message
    worse: str
    used: set[str]
    """Columns that went into it."""


def pair_columns(row: Fields) -> tuple[str, str] | None:
    """The columns of the better and of the worse answer, where the row has both.

    Raises:
        FormError: it has a worse answer and none that is called the better one.
    """
    if not row.any(_PAIRED):
        return None
    for pair in PAIR_COLUMNS:
        if pair[0] in row and pair[1] in row:
            return pair
    for name in WORSE_COLUMNS:
        value = row.get(name)
        if not is_empty(value) and not isinstance(value, bool) and marks.verdict(value) is None:
            raise column_error(
                name, f"{row.key(name)} stands alone; expected the better answer as 'chosen'"
            )
    return None


def preference(row: Fields, pair: tuple[str, str], column: str | None) -> Pair:
    """The pair in these columns, to the prompt in `column`.

    Its chosen answer is an example too: where no supervised examples are at hand, that is how the
    reference model of DPO is made (Rafailov et al. 2023, "Direct Preference Optimization",
    section 4).

    Raises:
        FormError: it is no pair, or a bad one.
    """
    marks.check_margin(row)
    better, worse = (_side(row, side, column) for side in pair)
    _check(pair, better, worse)
    spoken, used = _prompt(row, pair, better, column)
    return Pair(
        spoken=tuple(turn.message for turn in spoken),
        better=better[-1].message,
        worse=worse[-1].message.text,
        used=used | {*pair, "margin"},
    )


def _side(row: Fields, side: str, column: str | None) -> tuple[Turn, ...]:
    """One of the answers, with the turns before it where they stand there too."""
    key, value = row.key(side), texts.from_text(row[side])
    if isinstance(value, Mapping) and is_answer(value):
        value = [value]
    if isinstance(row[side], list) or are_turns(value):
        said = turns(value, key, row.tag_columns)
    elif column is None and isinstance(value, str) and (spoken := _written_out(value)):
        said = spoken
    else:
        answer = Message(role="assistant", content=texts.answer_text(row[side], key))
        said = (Turn(message=answer),)
    last = said[-1]
    return (*said[:-1], replace(last, message=with_thought_apart(last.message)))


def _written_out(text: str) -> tuple[Turn, ...]:
    """The turns of a text that says before each of them who speaks, as hh-rlhf is written."""
    before, *parts = _SPEAKERS.split(text)
    if before.strip() or not parts or parts[0] != "Human":
        return ()
    return tuple(
        Turn(message=Message(role=_ROLES[speaker], content=said.strip()))
        for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    )


def _check(pair: tuple[str, str], better: Sequence[Turn], worse: Sequence[Turn]) -> None:
    last = (better[-1], worse[-1])
    if any(turn.message.tool_calls for turn in last):
        raise FormError("tool_call", "which of two calls of tools is better is not learnt")
    if any(turn.message.role != "assistant" for turn in last):
        raise FormError("wrong_type", f"{pair[0]} and {pair[1]} must end with an assistant message")
    if better[-1].learnt is False:
        raise FormError("nothing_to_learn", f"the last turn of {pair[0]} is not to be learnt")
    if [turn.message for turn in better[:-1]] != [turn.message for turn in worse[:-1]]:
        detail = f"{pair[0]} and {pair[1]} must answer one prompt; they have two"
        raise FormError("unknown_form", detail)
    if not worse[-1].message.text.strip():
        raise FormError("empty_answer", "the rejected answer is empty; expected a worse answer")
    if better[-1].message.text.strip() == worse[-1].message.text.strip():
        raise FormError("same_answers", f"{pair[0]} and {pair[1]} are one answer; expected two")


def _prompt(
    row: Fields, pair: tuple[str, str], better: Sequence[Turn], column: str | None
) -> tuple[Sequence[Turn], set[str]]:
    if len(better) > 1:  # whole conversations, which differ in their last turn
        before, used = system_turn(row, better[0].message)
        spoken = (*before, *better[:-1])
        said = [turn.message for turn in spoken]
        return spoken, used | set(_of_this_prompt(row, column, said))
    if column is not None:
        asked, _, used = before_the_answer(row, column, "")
        return asked, used
    raise FormError(
        "wrong_type",
        f"{row.key(pair[0])} is {type_name(row[pair[0]])} and there is no prompt; "
        "expected a prompt, or a list of messages",
    )


def _of_this_prompt(row: Fields, column: str | None, spoken: Sequence[Message]) -> Iterator[str]:
    """The prompt's column, which says no more than the conversations of the two answers do.

    Raises:
        FormError: it says something else.
    """
    if column is None:
        return
    yield column
    yield from repeated(row, spoken)
    said: Any = texts.from_text(row[column])
    listed = messages(said, row.key(column)) if isinstance(said, list) else ()
    repeats = {message.content for message in listed} <= {message.content for message in spoken}
    if not (repeats if listed else column in repeated(row, spoken)):
        # The list of UltraFeedback's `messages` ends with the chosen answer.
        if listed and listed[:-1] == tuple(spoken)[-len(listed) + 1 :]:
            return
        raise FormError(
            "unknown_form", f"{row.key(column)} is another prompt than that of the two answers"
        )
