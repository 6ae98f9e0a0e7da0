"""The turns of a conversation, as OpenAI, ShareGPT and their kin write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuneloop.conversation import Message, ToolCall
from tuneloop.conversation.thoughts import split_thought
from tuneloop.task.rows.fields import FormError, is_absent, type_name
from tuneloop.task.rows.marks import turn_mark
from tuneloop.task.rows.texts import as_json, from_text, text

_ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "customer": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant", "agent": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
    "tool_response": "tool", "function_response": "tool",
    "function_call": "call", "tool_call": "call",
}  # fmt: skip
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")
_WRITTEN_OUT = ("text", "input_text", "output_text")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A message, and whether its answer is to be learnt."""

    message: Message
    learnt: bool | None = None
    """What the row says of it; None: nothing."""


def turns(value: Any, column: str) -> tuple[Turn, ...]:
    """The turns in a list of messages, or in the text of such a list.

    Raises:
        FormError: it is none, or a turn cannot be used.
    """
    value = from_text(value)
    if isinstance(value, Mapping) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if not isinstance(value, list):
        raise FormError(
            "wrong_type", f"{column} is {type_name(value)}; expected a list of messages"
        )
    if not value:
        raise FormError("no_messages", f"{column} is empty")
    return tuple(_turn(item, f"{column}[{index}]") for index, item in enumerate(value))


def messages(value: Any, column: str) -> tuple[Message, ...]:
    """As `turns`, where nothing says which of them are learnt."""
    return tuple(turn.message for turn in turns(value, column))


def exchanges(value: Any, column: str) -> tuple[Message, ...]:
    """Alpaca's history: pairs of what was asked and answered, or messages.

    Raises:
        FormError: it is neither.
    """
    value = from_text(value)
    if not isinstance(value, list):
        raise FormError(column, f"{column} is {type_name(value)}; expected pairs of two texts")
    if value and all(isinstance(item, Mapping) for item in value):
        return messages(value, column)
    spoken: list[Message] = []
    for index, pair in enumerate(value):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise FormError(column, f"{column}[{index}] is no pair of what was asked and answered")
        asked, answered = (text(part, f"{column}[{index}]") for part in pair)
        spoken += [
            Message(role="user", content=asked),
            Message(role="assistant", content=answered),
        ]
    return tuple(spoken)


def tools_in(value: Any, column: str) -> tuple[dict[str, Any], ...]:
    """The definitions of tools, in the form of OpenAI's `tools`.

    Raises:
        FormError: they are no list of functions with names.
    """
    value = from_text(value)
    if isinstance(value, str) and not value.strip():
        return ()
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise FormError(column, f"{column} is {type_name(value)}; expected a list of tools")
    return tuple(_tool(item, f"{column}[{index}]") for index, item in enumerate(value))


def _tool(value: Any, where: str) -> dict[str, Any]:
    value = _without_nulls(from_text(value))
    function = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise FormError("tools", f"{where} is no function with a name")
    as_json(value, where)
    return {"type": "function", "function": dict(function)}


def _turn(value: Any, where: str) -> Turn:
    if not isinstance(value, Mapping):
        raise FormError("wrong_type", f"{where} is {type_name(value)}; expected role and content")
    value = {str(key).lower(): item for key, item in value.items() if not is_absent(item)}
    said = value.get("role", value.get("from"))
    role = _ROLES.get(said.strip().lower()) if isinstance(said, str) else None
    if role is None:
        raise FormError(
            "unknown_role",
            f"{where} has the role {said!r}; expected system, user, assistant or tool",
        )
    message = _call_turn(value, where) if role == "call" else _message(value, role, where)
    return Turn(message=message, learnt=turn_mark(value, message.role, where))


def _message(value: Mapping[str, Any], role: str, where: str) -> Message:
    calls = _calls(value, where) if role == "assistant" else ()
    content = value.get("content", value.get("value"))
    thought = next((value[name] for name in _THOUGHTS if name in value), "")
    if content is None and (calls or thought):
        content = ""
    words, thoughts = _content(content, where)
    message = Message(
        role=role,
        content=words,
        name=str(value.get("name", "")),
        tool_calls=calls,
        tool_call_id=str(value.get("tool_call_id", "")) if role == "tool" else "",
        reasoning=text(thought, f"{where}.reasoning") if thought else thoughts,
    )
    return with_thought_apart(message) if role == "assistant" else message


def with_thought_apart(message: Message) -> Message:
    """An assistant's turn whose thought, where it stands in the text, is told from the answer."""
    thought, answer = split_thought(message.content)
    if not thought and answer == message.content:
        return message
    return replace(message, content=answer, reasoning=message.reasoning or thought)


def _content(value: Any, where: str) -> tuple[str, str]:
    """Text, or the list of text parts that chat clients send; and the thoughts among them."""
    if not isinstance(value, list):
        return text(value, f"{where}.content"), ""
    texts, thoughts = [], []
    for part in value:
        if isinstance(part, Mapping) and isinstance(part.get("thinking"), str):
            thoughts.append(part["thinking"])
            continue
        said = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(said, str):
            kind = part.get("type") if isinstance(part, Mapping) else type_name(part)
            raise FormError("wrong_type", f"{where} holds something other than text: {kind}")
        texts.append(said)
    return "\n".join(texts), "\n".join(thoughts)


def _calls(value: Mapping[str, Any], where: str) -> tuple[ToolCall, ...]:
    """The calls of `tool_calls`, or of the `function_call` that came before it."""
    called = from_text(value.get("tool_calls") or [])
    if not isinstance(called, list):
        raise FormError("tool_call", f"{where}.tool_calls is {type_name(called)}; expected a list")
    if not called and value.get("function_call"):
        called = [from_text(value["function_call"])]
    return tuple(_call(item, where) for item in called)


def _call(value: Any, where: str) -> ToolCall:
    function = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise FormError("tool_call", f"{where} calls a tool without a name")
    arguments = from_text(function.get("arguments") or {})
    if not isinstance(arguments, Mapping):
        raise FormError("tool_call", f"{where}: the arguments of {function['name']} are no object")
    identity = value.get("id")
    return ToolCall(
        name=function["name"],
        arguments=as_json(_without_nulls(arguments), where),
        id="" if identity is None else str(identity),
    )


def _call_turn(value: Mapping[str, Any], where: str) -> Message:
    """ShareGPT's turn that is nothing but a call, written as JSON."""
    called = from_text(value.get("content", value.get("value")))
    listed = called if isinstance(called, list) else [called]
    return Message(
        role="assistant", content="", tool_calls=tuple(_call(item, where) for item in listed)
    )


def _without_nulls(value: Any) -> Any:
    """Parquet gives every tool and every call the keys of all others, filled with nulls."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
