"""From the columns of a row to its turns, and which of them are learnt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from tuneloop.conversation import Message
from tuneloop.modelfile import ColumnSettings
from tuneloop.task.rows import marks, texts
from tuneloop.task.rows.exports import in_plain_columns
from tuneloop.task.rows.fields import (
    ANSWER_COLUMNS,
    ANSWERS_TO_A_CHAT,
    CHAT_COLUMNS,
    CONTEXT_COLUMNS,
    HISTORY_COLUMNS,
    PAIR_COLUMNS,
    PROMPT_COLUMNS,
    SYSTEM_COLUMNS,
    THOUGHT_COLUMNS,
    TOOL_COLUMNS,
    UNUSABLE,
    Fields,
    FormError,
    normal_name,
    type_name,
)
from tuneloop.task.rows.tags import tags_of
from tuneloop.task.rows.turns import (
    Turn,
    exchanges,
    messages,
    tools_in,
    turns,
    with_thought_apart,
)

Turns = Literal["all", "last"]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answer to learn, with everything that stands before it."""

    messages: tuple[Message, ...]
    """The prompt; ends with a user turn, or with what a tool gave."""
    answer: Message


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A row to learn from whose form was recognised."""

    turns: tuple[Message, ...]
    """The whole conversation; ends with an answer."""
    learnt: tuple[int, ...]
    """Which of the turns are answers to learn, in their order."""
    tags: dict[str, str]
    form: str
    """What was recognised, e.g. `chat` or `question → answer`."""
    rejected: str | None = None
    """The worse answer of a preference pair."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Definitions of the tools that the model may call."""
    unused: tuple[str, ...] = ()
    """Columns that no format knows and that are too long for a tag."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt of the last answer."""
        return self.turns[:-1]

    @property
    def completion(self) -> str:
        """The last answer, as text."""
        return self.turns[-1].text

    def answers(self, which: Turns = "all") -> Iterator[Answered]:
        """The answers to learn, each with its own context; `last`: only that of the last turn.

        Raises:
            FormError: none is to be learnt.
        """
        last = len(self.turns) - 1
        chosen = [turn for turn in self.learnt if which == "all" or turn == last]
        if not chosen:
            raise FormError("nothing_to_learn", "no answer of the row is marked to be learnt")
        for turn in chosen:
            yield Answered(messages=self.turns[:turn], answer=self.turns[turn])


@dataclass(frozen=True, kw_only=True)
class CaseDraft:
    """A row to be asked whose form was recognised."""

    messages: tuple[Message, ...]
    """The prompt; ends with a user turn, or with what a tool gave."""
    expected: str | None
    """The reference answer, if the row has one."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Definitions of the tools that the model may call."""


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
    marks.check_row(row, draft.used, least_rating)
    finished = draft.finished(row)
    texts.check(_texts(finished.turns, finished.rejected))
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
    texts.check(_texts(draft.spoken if expected is None else (*draft.spoken, expected), None))
    return CaseDraft(
        messages=prompt, expected=None if expected is None else expected.text, tools=_tools(row)
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
    for name, why in UNUSABLE.items():
        if name in row and row[name] not in ("", [], {}):
            raise FormError(name, f"{row.key(name)}: {why}")
    return row


def _row(row: Fields, columns: ColumnSettings | None) -> _Answered | _Unanswered:
    declared = columns if columns is not None and columns.prompt in row.value else None
    pair = next((pair for pair in PAIR_COLUMNS if pair[0] in row and pair[1] in row), None)
    if pair is not None:
        return _preference(row, pair, None if declared is None else normal_name(declared.prompt))
    if declared is not None:
        return _declared(row, declared)
    chat = _chat_column(row)
    if chat is not None:
        if "completion" in row:
            return _prompt_and_answer(row, chat, "completion")
        return _chat(row, chat)
    prompt, answer = row.first(PROMPT_COLUMNS), row.first(ANSWER_COLUMNS)
    if prompt is not None and answer == prompt:
        answer = None
    if prompt is not None and answer is not None:
        return _prompt_and_answer(row, prompt, answer)
    if prompt is None:
        raise FormError("unknown_form", _nothing_of(row, "prompt"))
    return _Unanswered(spoken=_prompt(row, prompt, "")[0], why=_no_answer(row, ANSWER_COLUMNS))


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
    return _Unanswered(spoken=_prompt(row, prompt, answer)[0], why=why)


def _chat(row: Fields, column: str) -> _Answered | _Unanswered:
    """A conversation that ends with its answer, or stands beside it in a column of that name."""
    spoken = turns(row[column], row.key(column))
    before, used = _before(row, spoken[0].message)
    _refuse(row, (*CONTEXT_COLUMNS, *HISTORY_COLUMNS, *THOUGHT_COLUMNS), beside=row.key(column))
    said = (*before, *(turn.message for turn in spoken))
    if said[-1].role == "assistant":
        earlier = _learnt_before_the_last(spoken, len(before))
        return _Answered(
            spoken=said[:-1],
            answer=said[-1],
            form="chat",
            used=used | {column, *_repeated(row, said)},
            earlier=earlier,
            learnt=spoken[-1].learnt is not False,
        )
    answer = row.first(ANSWERS_TO_A_CHAT)
    if answer is not None:
        return _prompt_and_answer(row, column, answer)
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


def _repeated(row: Fields, spoken: Sequence[Message]) -> Iterator[str]:
    """Columns that hold a turn of the conversation beside it once more."""
    contents = {message.content for message in spoken}
    for name in PROMPT_COLUMNS:
        if name in row and isinstance(row[name], str) and row[name] in contents:
            yield name


def _learnt_before_the_last(spoken: Sequence[Turn], before: int) -> tuple[int, ...]:
    """The answers to a user's turn or a tool's; what nobody asked for, a greeting, is context."""
    return tuple(
        before + place
        for place, (asked, turn) in enumerate(pairwise(spoken[:-1]), start=1)
        if turn.message.role == "assistant"
        and asked.message.role in ("user", "tool")
        and turn.learnt is not False
        and turn.message.text.strip()
    )


def _preference(row: Fields, pair: tuple[str, str], prompt: str | None) -> _Answered:
    """A preference pair: its chosen answer is an example too.

    Where no supervised examples are at hand, that is how the reference model of DPO is made
    (Rafailov et al. 2023, "Direct Preference Optimization", section 4).
    """
    marks.check_margin(row)
    column = prompt or _chat_column(row) or row.first(PROMPT_COLUMNS)
    used = {*pair, "margin"}
    said: list[tuple[Message, ...]] = []
    for side in pair:
        value = texts.from_text(row[side])
        if isinstance(value, Mapping) and {"role", "from"} & set(value):
            value = [value]
        said.append(
            messages(value, row.key(side))
            if isinstance(value, list)
            else (Message(role="assistant", content=texts.answer_text(value, row.key(side))),)
        )
    better, worse = ((*turns[:-1], with_thought_apart(turns[-1])) for turns in said)
    if better[-1].tool_calls or worse[-1].tool_calls:
        raise FormError("tool_call", "which of two calls of tools is better is not learnt")
    if better[-1].role != "assistant" or worse[-1].role != "assistant":
        raise FormError("wrong_type", f"{pair[0]} and {pair[1]} must end with an assistant message")
    if better[:-1] != worse[:-1]:
        detail = f"{pair[0]} and {pair[1]} must answer one prompt; they have two"
        raise FormError("unknown_form", detail)
    if len(better) > 1:  # whole conversations, which differ in their last turn
        before, also = _before(row, better[0])
        spoken = (*before, *better[:-1])
        used |= also | set(_of_this_prompt(row, column, spoken))
    elif column is not None:
        spoken, also = _prompt(row, column, "")
        used |= also
    else:
        shown = type_name(row[pair[0]])
        raise FormError(
            "wrong_type",
            f"{row.key(pair[0])} is {shown} and there is no prompt; "
            "expected a prompt, or a list of messages",
        )
    if not worse[-1].text.strip():
        raise FormError("empty_answer", "the rejected answer is empty; expected a worse answer")
    return _Answered(
        spoken=spoken,
        answer=better[-1],
        form="preference pair",
        used=used,
        rejected=worse[-1].text,
    )


def _of_this_prompt(row: Fields, column: str | None, spoken: Sequence[Message]) -> Iterator[str]:
    """The prompt's column, which says no more than the conversations of the two answers do.

    Raises:
        FormError: it says something else.
    """
    if column is None:
        return
    yield column
    yield from _repeated(row, spoken)
    said = texts.from_text(row[column])
    turns = messages(said, row.key(column)) if isinstance(said, list) else ()
    repeats = {message.content for message in turns} <= {message.content for message in spoken}
    if not (repeats if turns else column in _repeated(row, spoken)):
        # The list of UltraFeedback's `messages` ends with the chosen answer.
        if turns and turns[:-1] == tuple(spoken)[-len(turns) + 1 :]:
            return
        raise FormError(
            "unknown_form", f"{row.key(column)} is another prompt than that of the two answers"
        )


def _prompt_and_answer(row: Fields, prompt: str, answer: str) -> _Answered:
    spoken, used = _prompt(row, prompt, answer)
    said = _answer(row[answer], row.key(answer))
    thought = row.first(THOUGHT_COLUMNS)
    if thought is not None and thought not in (prompt, answer):
        said = replace(said, reasoning=texts.text(row[thought], row.key(thought)))
        used.add(thought)
    history = len(spoken) - 1 if "history" in used else 0
    return _Answered(
        spoken=spoken,
        answer=said,
        form=f"{row.key(prompt)} → {row.key(answer)}",
        used=used,
        earlier=tuple(i for i in range(history) if spoken[i].role == "assistant"),
    )


def _prompt(row: Fields, column: str, answer: str) -> tuple[tuple[Message, ...], set[str]]:
    """The turns before the answer, and the columns that went into the row."""
    value = texts.from_text(row[column])
    conversation = isinstance(value, list) and all(isinstance(turn, Mapping) for turn in value)
    if isinstance(row[column], list) or conversation:
        spoken = messages(value, row.key(column))
        _refuse(
            row, (*CONTEXT_COLUMNS, *HISTORY_COLUMNS), beside=row.key(column), but=(column, answer)
        )
        before, used = _before(row, spoken[0])
        return (*before, *spoken), used | {column, answer}
    asked, used = _with_context(row, column, answer)
    history = row.first(HISTORY_COLUMNS)
    spoken = (Message(role="user", content=asked),)
    if history is not None and history not in (column, answer):
        spoken = (*exchanges(row[history], row.key(history)), *spoken)
        used.add(history)
    before, also = _before(row, spoken[0])
    return (*before, *spoken), used | also


def _with_context(row: Fields, column: str, answer: str) -> tuple[str, set[str]]:
    """What is asked, and behind it what it is about, in columns of its own."""
    used = {column, answer}
    parts = [texts.text(row[column], row.key(column))]
    for name in CONTEXT_COLUMNS:
        if name in row and name not in used:
            parts.append(texts.text(row[name], row.key(name)))
            used.add(name)
    return "\n\n".join(part for part in parts if part), used


def _before(row: Fields, first: Message) -> tuple[tuple[Message, ...], set[str]]:
    """The system turn of a column of its own, where there is one.

    Raises:
        FormError: the conversation has another one.
    """
    column = row.first(SYSTEM_COLUMNS)
    if column is None:
        return (), set()
    system = texts.text(row[column], row.key(column))
    if not system.strip() or (first.role == "system" and first.content == system):
        return (), {column}
    if first.role == "system":
        raise FormError(
            "two_system_texts", f"{row.key(column)} and the first turn are two system texts"
        )
    return (Message(role="system", content=system),), {column}


def _refuse(row: Fields, names: tuple[str, ...], *, beside: str, but: tuple[str, ...] = ()) -> None:
    """Refuse columns of which no format says where they go beside a conversation."""
    for name in names:
        if name in row and name not in but and row[name] not in ("", [], {}):
            raise FormError(
                name,
                f"{row.key(name)} stands beside {beside}, and no format says where it goes; put "
                "it into a turn, or name it in data.tag_columns",
            )


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


def _answer(value: Any, column: str) -> Message:
    """The answer; JSON values are written as JSON, a list of one message is that message."""
    parsed = texts.from_text(value)
    is_turns = isinstance(parsed, list) and any(
        isinstance(item, Mapping) and {"role", "from"} & set(item) for item in parsed
    )
    if is_turns:
        spoken = messages(parsed, column)
        if len(spoken) != 1 or spoken[0].role != "assistant":
            raise FormError("wrong_type", f"{column} must hold one assistant message")
        return spoken[0]
    if isinstance(value, list):
        return Message(role="assistant", content=texts.as_json(value, column))
    return with_thought_apart(Message(role="assistant", content=texts.answer_text(value, column)))


def _tools(row: Fields) -> tuple[dict[str, Any], ...]:
    column = row.first(TOOL_COLUMNS)
    return () if column is None else tools_in(row[column], row.key(column))


def _texts(spoken: Iterable[Message], rejected: str | None) -> Iterator[str]:
    for message in spoken:
        yield message.content
        if message.reasoning:
            yield message.reasoning
        for call in message.tool_calls:
            yield call.arguments
    yield rejected or ""


def _chat_column(row: Fields) -> str | None:
    """The name of the conversation's column; beside a prompt, what is no list is only its name."""
    column = row.first(CHAT_COLUMNS)
    if column is None or row.first(PROMPT_COLUMNS) is None:
        return column
    return column if isinstance(texts.from_text(row[column]), list) else None
