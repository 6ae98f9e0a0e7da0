"""The one parser of rows: chat, prompt and completion, preference pairs.

Data sources and suites take the same forms. A form is recognised by its keys; in a data source,
columns that are neither prompt nor answer become tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuneloop.modelfile import ColumnSettings

# Tried in this order: the more telling name first.
PROMPT_COLUMNS = (
    "prompt", "instruction", "question", "query", "input", "user", "message", "text", "sentence",
    "utterance",
)  # fmt: skip
ANSWER_COLUMNS = (
    "completion", "response", "answer", "output", "assistant", "reply", "target", "expected",
    "label", "category", "intent",
)  # fmt: skip
_NAMES_OF_LABELS = frozenset({"target", "label", "category", "intent"})
"""Beside a prompt they hold its answer; beside a conversation they usually say what it is about."""
_ANSWERS_TO_A_CHAT = tuple(name for name in ANSWER_COLUMNS if name not in _NAMES_OF_LABELS)
_CHAT_COLUMNS = ("messages", "conversations", "conversation")
_ROLES = {
    "system": "system", "user": "user", "assistant": "assistant",
    "developer": "system", "human": "user", "gpt": "assistant", "bot": "assistant",
    "model": "assistant",
}  # fmt: skip
_OWN_COLUMNS = frozenset({"id", "group", "source", "line", "tags"})
_TAG_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, user or assistant"""
    content: str

    def as_row(self) -> dict[str, str]:
        """The message in JSON form."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A row to learn from whose form was recognised."""

    messages: tuple[Message, ...]
    completion: str
    tags: dict[str, str]
    form: str
    """What was recognised, e.g. `chat` or `question → answer`."""
    rejected: str | None = None
    """The worse answer of a preference pair."""


@dataclass(frozen=True, kw_only=True)
class CaseDraft:
    """A row to be asked whose form was recognised."""

    messages: tuple[Message, ...]
    """The prompt; ends with a user turn."""
    expected: str | None
    """The reference answer, if the row has one."""


class FormError(Exception):
    """A row in no form that can be used: a reason code and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def recognise(value: Mapping[str, Any], columns: ColumnSettings | None = None) -> Draft:
    """Prompt, answer and tags of a raw row.

    `columns` names prompt and answer of the rows that have such a prompt column; others, and all
    rows where it is None, are told by the names of their columns.

    Raises:
        FormError: with the reason code.
    """
    row = _row(value, columns)
    if isinstance(row, _Unanswered):
        raise row.why
    _check_texts(row)
    return row


def recognise_case(value: Mapping[str, Any], columns: ColumnSettings | None = None) -> CaseDraft:
    """Prompt and reference answer of a test case, whose answer may be missing or null.

    Raises:
        FormError: with the reason code.
    """
    row = _row(value, columns)
    if isinstance(row, _Unanswered):
        case = CaseDraft(messages=_checked_prompt(row.messages), expected=None)
    else:
        case = CaseDraft(messages=row.messages, expected=row.completion)
    for text in (*(message.content for message in case.messages), case.expected or ""):
        _check_text(text)
    return case


@dataclass(frozen=True, kw_only=True)
class _Unanswered:
    """A prompt without an answer: all that a test case needs, and no row to learn from."""

    messages: tuple[Message, ...]
    why: FormError


def _row(value: Mapping[str, Any], columns: ColumnSettings | None) -> Draft | _Unanswered:
    declared = columns if columns is not None and columns.prompt in value else None
    if "chosen" in value and "rejected" in value:
        return _preference(value, declared.prompt if declared else None)
    if declared is not None:
        if declared.answer in value:
            return _prompt_and_answer(value, declared.prompt, declared.answer)
        why = FormError("no_answer", f"the row has no column {declared.answer!r}")
        return _Unanswered(messages=_prompt(value, declared.prompt)[0], why=why)
    chat = _chat_column(value)
    if chat is not None and value.get("completion") is not None:
        return _prompt_and_answer(value, chat, "completion")
    if chat is not None:
        return _chat(value, chat)
    prompt = _first(PROMPT_COLUMNS, value)
    answer = _first(ANSWER_COLUMNS, value)
    if prompt is not None and answer is not None:
        return _prompt_and_answer(value, prompt, answer)
    why = FormError("unknown_form", _nothing_of(value, "prompt" if prompt is None else "answer"))
    if prompt is None:
        raise why
    return _Unanswered(messages=_prompt(value, prompt)[0], why=why)


def _nothing_of(value: Mapping[str, Any], part: str) -> str:
    columns = ", ".join(map(repr, list(value)[:8])) or "none"
    return f"no {part} among the columns {columns}; expected messages, or prompt and completion"


def _chat(value: Mapping[str, Any], column: str) -> Draft | _Unanswered:
    """A conversation that ends with its answer, or stands beside it in a column of that name."""
    messages = _messages(value[column], column)
    if messages[-1].role == "assistant":
        return Draft(
            messages=_checked_prompt(messages[:-1]),
            completion=messages[-1].content,
            tags=_tags(value, {column}),
            form="chat",
        )
    answer = _first(_ANSWERS_TO_A_CHAT, value)
    if answer is not None:
        return _prompt_and_answer(value, column, answer)
    detail = f"{column} ends with a {messages[-1].role} turn"
    label = _first(ANSWER_COLUMNS, value)
    if label is not None:
        detail += f", and {label!r} is not taken for its answer; data.columns can say that it is"
    why = FormError("no_answer", detail)
    return _Unanswered(messages=messages, why=why)


def _preference(value: Mapping[str, Any], prompt_column: str | None) -> Draft:
    """A preference pair: its chosen answer is an example too.

    Where no supervised examples are at hand, that is how the reference model of DPO is made
    (Rafailov et al. 2023, "Direct Preference Optimization", section 4).
    """
    chosen, rejected = value["chosen"], value["rejected"]
    column = prompt_column or _chat_column(value) or _first(PROMPT_COLUMNS, value)
    if column is None:
        # TRL's implicit prompt: both are whole conversations, which differ in their last turn.
        better, worse = _messages(chosen, "chosen"), _messages(rejected, "rejected")
        if (
            better[:-1] != worse[:-1]
            or better[-1].role != "assistant"
            or worse[-1].role != "assistant"
        ):
            raise FormError(
                "unknown_form", "chosen and rejected must answer one prompt; they have two"
            )
        messages, good, bad = better[:-1], better[-1].content, worse[-1].content
    else:
        prompt = value[column]
        messages = (
            _messages(prompt, column)
            if isinstance(prompt, list)
            else (Message(role="user", content=_text(prompt, column)),)
        )
        good, bad = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    if not bad.strip():
        raise FormError("empty_answer", "the rejected answer is empty; expected a worse answer")
    return Draft(
        messages=_checked_prompt(messages),
        completion=good,
        tags=_tags(value, {"chosen", "rejected", column or ""}),
        form="preference pair",
        rejected=bad,
    )


def _prompt_and_answer(value: Mapping[str, Any], prompt: str, answer: str) -> Draft | _Unanswered:
    messages, used = _prompt(value, prompt, answer=answer)
    if value[answer] is None:
        why = FormError("missing_value", f"{answer} is null; expected text")
        return _Unanswered(messages=messages, why=why)
    return Draft(
        messages=messages,
        completion=_answer(value[answer], answer),
        tags=_tags(value, used),
        form=f"{prompt} → {answer}",
    )


def _prompt(
    value: Mapping[str, Any], column: str, *, answer: str = ""
) -> tuple[tuple[Message, ...], set[str]]:
    """The turns before the answer, and the columns that went into the row."""
    used = {column, answer}
    if isinstance(value[column], list):
        messages = _messages(value[column], column)
    else:
        text = _text(value[column], column)
        if column.lower() == "instruction" and value.get("input") and answer != "input":
            text = f"{text}\n\n{_text(value['input'], 'input')}"
            used.add("input")
        messages = (Message(role="user", content=text),)
        if isinstance(value.get("system"), str) and value["system"].strip():
            messages = (Message(role="system", content=value["system"]), *messages)
            used.add("system")
    return _checked_prompt(messages), used


def _messages(value: Any, column: str) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise FormError("wrong_type", f"{column} is {_type(value)}; expected a list of messages")
    if not value:
        raise FormError("no_messages", f"{column} is empty")
    return tuple(_message(item, f"{column}[{index}]") for index, item in enumerate(value))


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, Mapping):
        raise FormError("wrong_type", f"{where} is {_type(value)}; expected role and content")
    role = value.get("role", value.get("from"))
    if not isinstance(role, str) or role not in _ROLES:
        raise FormError(
            "unknown_role", f"{where} has the role {role!r}; expected system, user or assistant"
        )
    if value.get("tool_calls"):
        raise FormError("tool_call", f"{where} calls a tool, which is not supported yet")
    return Message(
        role=_ROLES[role], content=_content(value.get("content", value.get("value")), where)
    )


def _content(value: Any, where: str) -> str:
    """Text, or the list of text parts that chat clients send."""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in value]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) < len(parts):
            raise FormError("wrong_type", f"{where} holds something other than text")
        return "\n".join(texts)
    return _text(value, f"{where}.content")


def _checked_prompt(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if not messages or messages[-1].role != "user":
        last_role = messages[-1].role if messages else "nothing"
        raise FormError(
            "no_user_message", f"expected a user turn before the answer, found {last_role}"
        )
    if any(message.role == "system" for message in messages[1:]):
        raise FormError("unknown_role", "a system message stands after the first message")
    return messages


def _answer(value: Any, column: str) -> str:
    """The answer's text; JSON values are written as JSON, a list of one message as its text."""
    if isinstance(value, dict):
        return _as_json(value, column)
    if isinstance(value, list):
        messages = _messages(value, column)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise FormError("wrong_type", f"{column} must hold one assistant message")
        return messages[0].content
    return _text(value, column)


def _as_json(value: dict[str, Any], column: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise FormError("wrong_type", f"{column} is nested too deeply to be written") from None
    except (TypeError, ValueError) as e:  # a reader may give more than JSON can hold, e.g. dates
        raise FormError("wrong_type", f"{column} cannot be written as JSON: {e}") from None


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        reason = "missing_value" if value is None else "wrong_type"
        raise FormError(reason, f"{where} is {_type(value)}; expected text")
    return value


def _check_texts(draft: Draft) -> None:
    texts = (*(message.content for message in draft.messages), draft.completion)
    for text in (*texts, draft.rejected or ""):
        _check_text(text)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise FormError("nul_byte", "a text holds NUL, which databases and tokenisers refuse")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as e:
            raise FormError(
                "broken_unicode", f"character {e.start + 1} of a text is half a character"
            ) from None


def _tags(value: Mapping[str, Any], used: set[str]) -> dict[str, str]:
    """Short scalar columns, and what a `tags` object holds."""
    own = value.get("tags")
    candidates = dict(own) if isinstance(own, Mapping) else {}
    candidates |= {
        key: item for key, item in value.items() if key not in used and key not in _OWN_COLUMNS
    }
    tags = {}
    for key, item in candidates.items():
        text = _tag_text(item)
        name = str(key)
        if text:
            _check_text(name + text)
            tags[name] = text
    return tags


def _tag_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = str(value)
        return text if len(text) <= _TAG_CHARACTERS else ""
    return ""


def _chat_column(value: Mapping[str, Any]) -> str | None:
    """The key of the conversation; beside a prompt, what is no list is only its name."""
    column = _first(_CHAT_COLUMNS, value)
    if column is None or isinstance(value[column], list) or _first(PROMPT_COLUMNS, value) is None:
        return column
    return None


def _first(columns: tuple[str, ...], value: Mapping[str, Any]) -> str | None:
    """The key of the row that bears the first of these names, in whatever case."""
    keys = {str(key).strip().lower(): key for key in value}
    return next((keys[column] for column in columns if column in keys), None)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "a text", list: "a list", dict: "an object", bool: "true or false"}
    return names.get(type(value), f"a {type(value).__name__}")
