"""From the columns of a row to its turns, and which of them are learnt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneloop.conversation import Message
from tuneloop.modelfile import ColumnSettings
from tuneloop.task.rows import marks, texts
from tuneloop.task.rows.drafts import CaseDraft, Draft
from tuneloop.task.rows.exports import in_plain_columns
from tuneloop.task.rows.fields import (
    ALSO_ASKED,
    ANSWER_COLUMNS,
    ANSWERS_TO_A_CHAT,
    CERTAIN_ANSWERS,
    CHAT_COLUMNS,
    CONTEXT_COLUMNS,
    HISTORY_COLUMNS,
    KNOWN_COLUMNS,
    LISTED_ONLY,
    OTHER_CHAT_COLUMNS,
    PROMPT_COLUMNS,
    THOUGHT_COLUMNS,
    TOOL_COLUMNS,
    UNUSABLE,
    Fields,
    FormError,
    column_error,
    is_empty,
    is_mode,
    normal_name,
)
from tuneloop.task.rows.pairs import pair_columns, preference
from tuneloop.task.rows.prompts import (
    INSTRUCTIONS,
    also_asked,
    before_the_answer,
    learnt_answers,
    refuse_beside,
    repeated,
    system_turn,
)
from tuneloop.task.rows.tags import tags_of
from tuneloop.task.rows.turns import (
    Turn,
    are_turns,
    is_answer,
    tools_in,
    turns,
    with_thought_apart,
)

_LOOKED_AT = frozenset((*UNUSABLE, "chat_template_kwargs"))
_ANSWERED_OR_ASKED = frozenset((*CERTAIN_ANSWERS, *ALSO_ASKED))
_THOUGHTS = frozenset(THOUGHT_COLUMNS)
_OTHER_CHATS = frozenset(OTHER_CHAT_COLUMNS)
_NOT_BESIDE = _THOUGHTS | {*CONTEXT_COLUMNS, *HISTORY_COLUMNS, *INSTRUCTIONS}
_CLOSING = " \t\r\n.!*}$"
"""What may stand behind the last word of a worked solution."""


def recognise(
    value: Mapping[str, Any],
    columns: ColumnSettings | None = None,
    *,
    tag_columns: Iterable[str] = (),
    least_rating: float | None = None,
) -> Draft:
    """Turns, answers and tags of a raw row.

    `columns` names prompt and answer of the rows that have such a prompt column; others, and all
    rows where it is None, are told by the names of their columns, in whatever case.
    `tag_columns` are tags whatever their names mean elsewhere. Rows with a `rating` below
    `least_rating` are not learnt.

    Raises:
        FormError: with the reason code.
    """
    row = _fields(value, tag_columns, columns)
    draft = _row(row, columns)
    if isinstance(draft, _Unanswered):
        raise draft.why
    marks.check_row(row, draft.used, least_rating, pair=draft.rejected is not None)
    finished = draft.finished(row)
    texts.check(_texts(finished.turns, finished.tools, finished.rejected))
    return finished


def recognise_case(value: Mapping[str, Any], columns: ColumnSettings | None = None) -> CaseDraft:
    """Prompt and reference answer of a test case, whose answer may be missing or null.

    Raises:
        FormError: with the reason code.
    """
    row = _fields(value, (), columns)
    draft = _row(row, columns)
    prompt = checked_prompt(draft.spoken)
    expected = None if isinstance(draft, _Unanswered) else draft.answer
    tools = _tools(row)
    texts.check(_texts(draft.spoken if expected is None else (*draft.spoken, expected), tools))
    return CaseDraft(
        messages=prompt,
        expected=None if expected is None else expected.text,
        tools=tools,
        marked_bad="" if isinstance(draft, _Unanswered) else marks.marked_bad(row, draft.used),
    )


@dataclass(frozen=True, kw_only=True)
class _Answered:
    """A row with its answer, and the columns that went into it."""

    spoken: tuple[Message, ...]
    answer: Message
    form: str
    used: set[str]
    earlier: tuple[int, ...] = ()
    """Earlier answers that are learnt too."""
    learnt: bool = True
    """Whether the last one is."""
    rejected: str | None = None

    def finished(self, row: Fields) -> Draft:
        spoken = (*checked_prompt(self.spoken), self.answer)
        tags, unused = tags_of(row, self.used | set(TOOL_COLUMNS))
        return Draft(
            turns=spoken,
            learnt=(*self.earlier, *([len(spoken) - 1] if self.learnt else [])),
            tags=tags,
            form=self.form,
            rejected=self.rejected,
            tools=_tools(row),
            unused=unused,
        )


@dataclass(frozen=True, kw_only=True)
class _Unanswered:
    """A prompt without an answer: all that a test case needs, and no row to learn from."""

    spoken: tuple[Message, ...]
    why: FormError


def _fields(
    value: Mapping[str, Any], tag_columns: Iterable[str], columns: ColumnSettings | None
) -> Fields:
    tags = frozenset(map(normal_name, tag_columns))
    declared = () if columns is None else (columns.prompt, columns.answer)
    row = Fields(in_plain_columns(value), tags, declared)
    if row.any(_LOOKED_AT):
        _check_columns(row)
    if two := row.ambiguous(KNOWN_COLUMNS):
        listed = " and ".join(map(repr, two))
        raise FormError(
            "two_columns", f"the columns {listed} have one name and differ; rename one of them"
        )
    return row


def _check_columns(row: Fields) -> None:
    """Refuse columns without which the row would teach something else."""
    for name, why in UNUSABLE.items():
        if name in row and _fills(name, row[name]):
            raise column_error(name, f"{row.key(name)}: {why}")
    _check_kwargs(row)


def _fills(name: str, value: Any) -> bool:
    """Whether a column of this name holds what its formats put there."""
    if is_empty(value) or (isinstance(value, bool | int | float) and not value):
        return False
    return name not in LISTED_ONLY or isinstance(texts.from_text(value), list | dict)


def _check_kwargs(row: Fields) -> None:
    """Refuse what a row tells the template besides whether to think: its text would be missed."""
    told = row.get("chat_template_kwargs")
    for key, item in told.items() if isinstance(told, Mapping) else ():
        if not is_empty(item) and not isinstance(item, bool):
            raise column_error(
                "chat_template_kwargs", f"chat_template_kwargs.{key} is not given to the template"
            )


def _row(row: Fields, columns: ColumnSettings | None) -> _Answered | _Unanswered:
    declared = columns if columns is not None and columns.prompt in row.value else None
    if (pair := pair_columns(row)) is not None:
        return _preference(row, pair, declared)
    if declared is not None:
        return _declared(row, declared)
    chat = _chat_column(row)
    if chat is not None:
        return _chat(row, chat)
    prompt, answer = row.first(PROMPT_COLUMNS), row.first(ANSWER_COLUMNS)
    if prompt is not None and answer == prompt:
        answer = None
    if prompt is not None and answer is not None:
        draft = _prompt_and_answer(row, prompt, answer)
        _check_alone(row, draft, answer)
        return draft
    if prompt is None:
        raise FormError("unknown_form", _nothing_of(row, "prompt"))
    why = _no_answer(row, ANSWER_COLUMNS)
    return _Unanswered(spoken=_said(before_the_answer(row, prompt, "")[0]), why=why)


def _check_alone(row: Fields, draft: _Answered, answer: str) -> None:
    """Refuse a row with a second prompt or a second answer that says something else.

    Raises:
        FormError: naming the column.
    """
    if row.besides(draft.used).isdisjoint(_ANSWERED_OR_ASKED):
        return
    said = draft.answer.text
    asked = "\n".join(message.content for message in draft.spoken)
    also_asked(row, asked, said, draft.used)
    for name in CERTAIN_ANSWERS:
        other = row.get(name)
        if name not in draft.used and isinstance(other, str) and not _ends_with(said, other):
            raise column_error(
                "two_answers",
                f"{row.key(answer)} and {row.key(name)} are two answers; data.columns says which "
                "one is learnt",
            )


def _ends_with(answer: str, other: str) -> bool:
    """Whether an answer says another one in the end, as worked solutions do."""
    return answer.strip(_CLOSING).endswith(other.strip(_CLOSING))


def _no_answer(row: Fields, columns: tuple[str, ...]) -> FormError:
    if empty := row.null(columns):
        return FormError("missing_value", f"{empty} is null; expected text")
    return FormError("unknown_form", _nothing_of(row, "answer"))


def _nothing_of(row: Fields, part: str) -> str:
    columns = ", ".join(map(repr, list(row.value)[:8])) or "none"
    return f"no {part} among the columns {columns}; expected messages, or prompt and completion"


def _declared(row: Fields, columns: ColumnSettings) -> _Answered | _Unanswered:
    prompt, answer = normal_name(columns.prompt), normal_name(columns.answer)
    if prompt not in row:
        raise FormError("missing_value", f"{columns.prompt} is null; expected text")
    if answer in row:
        return _prompt_and_answer(row, prompt, answer)
    detail = f"the row has no column {columns.answer!r}"
    why = FormError("no_answer", detail)
    if columns.answer in row.value:
        why = FormError("missing_value", f"{columns.answer} is null; expected text")
    return _Unanswered(spoken=_said(before_the_answer(row, prompt, answer)[0]), why=why)


def _chat(row: Fields, column: str) -> _Answered | _Unanswered:
    """A conversation that ends with its answer, or stands beside it in a column of that name."""
    spoken = turns(row[column], row.key(column), row.tag_columns)
    if row.any(_NOT_BESIDE):
        thoughts = tuple(name for name in THOUGHT_COLUMNS if name in row and not is_mode(row[name]))
        refuse_beside(row, (*CONTEXT_COLUMNS, *HISTORY_COLUMNS, *INSTRUCTIONS, *thoughts), column)
    before, used = system_turn(row, spoken[0].message)
    whole = (*before, *spoken)
    said = _said(whole)
    if said[-1].role == "assistant":
        draft = _Answered(
            spoken=said[:-1],
            answer=said[-1],
            form="chat",
            used=used | {column, *repeated(row, said)},
            earlier=learnt_answers(whole[:-1]),
            learnt=spoken[-1].learnt is not False,
        )
        _check_chat(row, draft, column)
        return draft
    answer = row.first(ANSWERS_TO_A_CHAT)
    if answer is not None:
        draft = _prompt_and_answer(row, column, answer)
        _check_chat(row, draft, column)
        return draft
    if empty := row.null(ANSWERS_TO_A_CHAT):
        why = FormError("missing_value", f"{empty} is null; expected text")
    else:
        detail = f"{row.key(column)} ends with a {said[-1].role} turn"
        label = row.first(ANSWER_COLUMNS)
        if label is not None:
            detail += (
                f", and {row.key(label)!r} is not taken for its answer; "
                "data.columns can say that it is"
            )
        why = FormError("no_answer", detail)
    return _Unanswered(spoken=said, why=why)


def _check_chat(row: Fields, draft: _Answered, column: str) -> None:
    """Refuse a prompt or a completion beside a conversation that says something else."""
    if row.besides(draft.used).isdisjoint(_ANSWERED_OR_ASKED):
        return
    asked = "\n".join(message.content for message in draft.spoken)
    also_asked(row, asked, draft.answer.text, draft.used)
    if "completion" not in draft.used and "completion" in row:
        other = _answer(row, "completion").message.text
        if other.strip() != draft.answer.text.strip():
            raise column_error(
                "two_answers",
                f"{row.key('completion')} is another answer than the last turn of "
                f"{row.key(column)}",
            )


def _preference(row: Fields, pair: tuple[str, str], declared: ColumnSettings | None) -> _Answered:
    prompt = None if declared is None else normal_name(declared.prompt)
    draft = preference(row, pair, prompt or _chat_column(row) or row.first(PROMPT_COLUMNS))
    if declared is None:
        asked = "\n".join(message.content for message in draft.spoken)
        also_asked(row, asked, draft.better.text, draft.used)
    return _Answered(
        spoken=draft.spoken,
        answer=draft.better,
        form="preference pair",
        used=draft.used,
        rejected=draft.worse,
    )


def _prompt_and_answer(row: Fields, prompt: str, answer: str) -> _Answered:
    spoken, history, used = before_the_answer(row, prompt, answer)
    turn = _answer(row, answer)
    said = turn.message
    thought = None
    if row.any(_THOUGHTS):
        thought = next((name for name in THOUGHT_COLUMNS if _is_thought(row, name)), None)
    if thought is not None and thought not in (prompt, answer):
        said = replace(said, reasoning=texts.text(row[thought], row.key(thought)))
        used.add(thought)
    return _Answered(
        spoken=_said(spoken),
        answer=said,
        form=f"{row.key(prompt)} → {row.key(answer)}",
        used=used,
        earlier=learnt_answers(spoken[:history]),
        learnt=turn.learnt is not False,
    )


def _is_thought(row: Fields, name: str) -> bool:
    return name in row and not is_empty(row[name]) and not is_mode(row[name])


def _said(spoken: Sequence[Turn]) -> tuple[Message, ...]:
    return tuple(turn.message for turn in spoken)


def _answer(row: Fields, column: str) -> Turn:
    """The answer; JSON values are written as JSON, a list of one message is that message."""
    value, key = row[column], row.key(column)
    parsed = texts.from_text(value)
    if isinstance(parsed, Mapping) and is_answer(parsed):
        parsed = [parsed]
    if are_turns(parsed):
        spoken = turns(parsed, key, row.tag_columns)
        if len(spoken) != 1 or spoken[0].message.role != "assistant":
            raise FormError("wrong_type", f"{key} must hold one assistant message")
        return spoken[0]
    if isinstance(value, list):
        return Turn(message=Message(role="assistant", content=texts.as_json(value, key)))
    answer = Message(role="assistant", content=texts.answer_text(value, key))
    return Turn(message=with_thought_apart(answer))


def checked_prompt(spoken: tuple[Message, ...]) -> tuple[Message, ...]:
    """A prompt that a client could send.

    Raises:
        FormError: it asks nothing, or a system text stands in its midst.
    """
    last = spoken[-1].role if spoken else "nothing"
    if last not in ("user", "tool"):
        raise FormError("no_user_message", f"expected a user turn before the answer, found {last}")
    if any(message.role == "system" for message in spoken[1:]):
        raise FormError("unknown_role", "a system message stands after the first message")
    return spoken


def _tools(row: Fields) -> tuple[dict[str, Any], ...]:
    column = row.first(TOOL_COLUMNS)
    if column is None:
        return ()
    try:
        return tools_in(row[column], row.key(column))
    except FormError as e:
        raise column_error(e.reason, e.detail) from None


def _texts(
    spoken: Iterable[Message], tools: Sequence[Mapping[str, Any]], rejected: str | None = None
) -> Iterator[str]:
    for message in spoken:
        yield message.content
        if message.reasoning:
            yield message.reasoning
        yield message.name
        yield message.tool_call_id
        for call in message.tool_calls:
            yield from (call.name, call.arguments, call.id)
    if tools:
        yield texts.as_json(tools, "tools")
    yield rejected or ""


def _chat_column(row: Fields) -> str | None:
    """The name of the conversation's column; beside a prompt, what is no list is only its name."""
    column = row.first(CHAT_COLUMNS)
    beside = row.first(PROMPT_COLUMNS) is not None
    if column is not None and not (beside and not isinstance(texts.from_text(row[column]), list)):
        return column
    if not row.any(_OTHER_CHATS):
        return None
    others = (name for name in OTHER_CHAT_COLUMNS if name in row)
    return next((name for name in others if are_turns(texts.from_text(row[name]))), None)
