"""The forms in which rows come: chat, prompt and completion, preference pairs.

A form is recognised by its keys. Columns that are neither prompt nor answer become tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuneloop.datasets.example import Message
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
_CHAT_COLUMNS = ("messages", "conversations", "conversation")
_ROLES = {
    "system": "system", "user": "user", "assistant": "assistant",
    "developer": "system", "human": "user", "gpt": "assistant", "bot": "assistant",
    "model": "assistant",
}  # fmt: skip
_OWN_COLUMNS = frozenset({"id", "group", "source", "line", "tags"})
_TAG_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A row whose form was recognised."""

    messages: tuple[Message, ...]
    completion: str
    tags: dict[str, str]
    form: str
    """What was recognised, e.g. `chat` or `question → answer`."""
    rejected: str | None = None
    """The worse answer of a preference pair."""


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
    draft = _draft(value, columns)
    texts = (*(message.content for message in draft.messages), draft.completion)
    for text in (*texts, draft.rejected or ""):
        _check_text(text)
    return draft


def recognise_prompt(
    value: Mapping[str, Any], columns: ColumnSettings | None = None
) -> tuple[Message, ...]:
    """The prompt of a test case, whose answer may be missing.

    Raises:
        FormError: with the reason code.
    """
    if columns is not None and columns.prompt in value:
        return recognise({columns.answer: "", **value}, columns).messages
    column = _first(_CHAT_COLUMNS, value)
    if column is not None:
        messages = _messages(value[column], column)
        return _checked_prompt(messages[:-1] if messages[-1].role == "assistant" else messages)
    return recognise({"completion": "", **value}).messages


def _draft(value: Mapping[str, Any], columns: ColumnSettings | None) -> Draft:
    declared = columns if columns is not None and columns.prompt in value else None
    if "chosen" in value and "rejected" in value:
        return _preference(value, declared.prompt if declared else None)
    if declared is not None:
        if declared.answer not in value:
            raise FormError("no_answer", f"the row has no column {declared.answer!r}")
        return _prompt_and_completion(value, declared.prompt, declared.answer)
    prompt = _first(PROMPT_COLUMNS, value)
    answer = _first(ANSWER_COLUMNS, value)
    chat = _first(_CHAT_COLUMNS, value)
    if chat is not None and "completion" in value:
        return _prompt_and_completion(value, chat, "completion")
    if chat is not None:
        return _chat(value, chat)
    if prompt is None or answer is None:
        found = ", ".join(map(repr, list(value)[:8])) or "none"
        missing = "no prompt" if prompt is None else "no answer"
        raise FormError(
            "unknown_form",
            f"{missing} among the columns {found}; expected messages, or prompt and completion",
        )
    return _prompt_and_completion(value, prompt, answer)


def _chat(value: Mapping[str, Any], column: str) -> Draft:
    messages = _messages(value[column], column)
    if messages[-1].role != "assistant":
        raise FormError("no_answer", f"{column} ends with a {messages[-1].role} turn")
    return Draft(
        messages=_checked_prompt(messages[:-1]),
        completion=messages[-1].content,
        tags=_tags(value, {column}),
        form="chat",
    )


def _preference(value: Mapping[str, Any], prompt_column: str | None) -> Draft:
    """A preference pair: its chosen answer is an example too.

    Where no supervised examples are at hand, that is how the reference model of DPO is made
    (Rafailov et al. 2023, "Direct Preference Optimization", section 4).
    """
    chosen, rejected = value["chosen"], value["rejected"]
    column = prompt_column or _first(_CHAT_COLUMNS, value) or _first(PROMPT_COLUMNS, value)
    if column is None:
        # TRL's implicit prompt: both are whole conversations, which differ in their last turn.
        one, other = _messages(chosen, "chosen"), _messages(rejected, "rejected")
        if one[:-1] != other[:-1] or one[-1].role != "assistant" or other[-1].role != "assistant":
            raise FormError(
                "unknown_form", "chosen and rejected must answer one prompt; they have two"
            )
        messages, good, bad = one[:-1], one[-1].content, other[-1].content
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


def _prompt_and_completion(value: Mapping[str, Any], prompt: str, answer: str) -> Draft:
    used = {prompt, answer}
    if isinstance(value[prompt], list):
        messages = _messages(value[prompt], prompt)
    else:
        text = _text(value[prompt], prompt)
        if prompt.lower() == "instruction" and value.get("input") and answer != "input":
            text = f"{text}\n\n{_text(value['input'], 'input')}"
            used.add("input")
        messages = (Message(role="user", content=text),)
        if isinstance(value.get("system"), str) and value["system"].strip():
            messages = (Message(role="system", content=value["system"]), *messages)
            used.add("system")
    return Draft(
        messages=_checked_prompt(messages),
        completion=_answer(value[answer], answer),
        tags=_tags(value, used),
        form=f"{prompt} → {answer}",
    )


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
        found = messages[-1].role if messages else "nothing"
        raise FormError("no_user_message", f"expected a user turn before the answer, found {found}")
    if any(message.role == "system" for message in messages[1:]):
        raise FormError("unknown_role", "a system message stands after the first message")
    return messages


def _answer(value: Any, column: str) -> str:
    """The answer's text; JSON values are written as JSON, a list of one message as its text."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        messages = _messages(value, column)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise FormError("wrong_type", f"{column} must hold one assistant message")
        return messages[0].content
    return _text(value, column)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        reason = "missing_value" if value is None else "wrong_type"
        raise FormError(reason, f"{where} is {_type(value)}; expected text")
    return value


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
        if text:
            _check_text(key + text)
            tags[str(key)] = text
    return tags


def _tag_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = str(value)
        return text if len(text) <= _TAG_CHARACTERS else ""
    return ""


def _first(columns: tuple[str, ...], value: Mapping[str, Any]) -> str | None:
    """The key of the row that bears the first of these names, in whatever case."""
    keys = {str(key).strip().lower(): key for key in value}
    return next((keys[column] for column in columns if column in keys), None)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "a text", list: "a list", dict: "an object", bool: "true or false"}
    return names.get(type(value), f"a {type(value).__name__}")
