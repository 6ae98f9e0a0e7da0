"""The turns of a conversation, as OpenAI, ShareGPT and their kin write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuneloop.conversation import Message, ToolCall
from tuneloop.conversation.thoughts import OPENINGS, split_thought
from tuneloop.task.rows.fields import (
    THOUGHT_COLUMNS,
    UNUSABLE,
    FormError,
    is_absent,
    is_empty,
    is_mode,
    normal_name,
    type_name,
)
from tuneloop.task.rows.marks import TURN_MARKS, turn_mark
from tuneloop.task.rows.texts import answer_text, as_json, from_text, text

_ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "customer": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant", "agent": "assistant", "chatbot": "assistant", "ai": "assistant",
    "bing": "assistant", "bard": "assistant", "claude": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
    "tool_response": "tool", "function_response": "tool",
    "function_call": "call", "tool_call": "call",
}  # fmt: skip
_FENCE = "```"
_SPEAKER = ("role", "from", "speaker", "author", "type")
_WORDS = ("content", "value", "text", "message", "parts")
_ASKED = ("human", "user", "input", "prompt", "question", "query", "instruction")
_ANSWERED = ("assistant", "gpt", "output", "response", "answer", "bot")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_NO_PLACE = ("context", "tools", "functions", "refusal", *UNUSABLE)
"""Keys of a turn that no template writes: without them it says something else."""
_PLAIN, _PLAIN_ROLES = {"role", "content"}, ("system", "user", "assistant")
_NOT_NEEDED = frozenset({*TURN_MARKS, *_NO_PLACE})


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A message, and whether its answer is to be learnt."""

    message: Message
    learnt: bool | None = None
    """What the row says of it; None: nothing."""


def turns(value: Any, column: str, tag_columns: frozenset[str] = frozenset()) -> tuple[Turn, ...]:
    """The turns in a list of messages, or in the text of such a list.

    `tag_columns`: marks, in normal form, that mean nothing here.

    Raises:
        FormError: it is none, or a turn cannot be used.
    """
    value = _by_row(from_text(value), column)
    if not isinstance(value, list):
        raise FormError(
            "wrong_type", f"{column} is {type_name(value)}; expected a list of messages"
        )
    if not value:
        raise FormError("no_messages", f"{column} is empty")
    spoken: list[Turn] = []
    for index, item in enumerate(value):
        if (plain := _plain_turn(item)) is not None:
            spoken.append(plain)
            continue
        for side, where in _both_sides(item, f"{column}[{index}]"):
            spoken.append(_turn(side, where, tag_columns))
    return tuple(spoken)


def _plain_turn(value: Any) -> Turn | None:
    """A turn that is no more than role and content, as nearly all are: a million rows are read so.

    None: it is another one.
    """
    if not isinstance(value, dict) or value.keys() != _PLAIN:
        return None
    role, said = value["role"], value["content"]
    if role not in _PLAIN_ROLES or not isinstance(said, str):
        return None
    message = Message(role=role, content=said)
    return Turn(message=with_thought_apart(message) if role == "assistant" else message)


def messages(value: Any, column: str) -> tuple[Message, ...]:
    """As `turns`, where nothing says which of them are learnt."""
    return tuple(turn.message for turn in turns(value, column))


def is_turn(value: Any) -> bool:
    """Whether an object is a turn, and not data of somebody's own."""
    if not isinstance(value, Mapping):
        return False
    keys = {str(key).lower() for key in value}
    calls = {"tool_calls", "function_call"}
    return bool(keys & {"role", "from"}) and bool(keys & {*_WORDS, *calls})


def are_turns(value: Any) -> bool:
    """Whether a list is a conversation, and not data of somebody's own."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return False
    return any(is_turn(item) for item in value)


def is_answer(value: Any) -> bool:
    """Whether an object is a turn of the assistant's."""
    return is_turn(value) and _role(value) in ("assistant", "call")


def exchanges(
    value: Any, column: str, tag_columns: frozenset[str] = frozenset()
) -> tuple[Turn, ...]:
    """Alpaca's history: pairs of what was asked and answered, or messages.

    Raises:
        FormError: it is neither.
    """
    value = from_text(value)
    if not isinstance(value, list):
        raise FormError(column, f"{column} is {type_name(value)}; expected pairs of two texts")
    if value and all(isinstance(item, Mapping) for item in value):
        return turns(value, column, tag_columns)
    spoken: list[Turn] = []
    for index, pair in enumerate(value):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise FormError(column, f"{column}[{index}] is no pair of what was asked and answered")
        for role, part in zip(("user", "assistant"), pair, strict=True):
            said = Message(role=role, content=text(part, f"{column}[{index}]"))
            spoken.append(Turn(message=said))
    return tuple(spoken)


def _by_row(value: Any, column: str) -> Any:
    """A list of turns where an object holds it: by its name, or column by column."""
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("messages"), list):
        beside = [key for key, item in value.items() if key != "messages" and not is_empty(item)]
        if beside:
            raise FormError(
                "wrong_type",
                f"{column} holds messages and beside them {beside[0]!r}; expected both as "
                "columns of their own",
            )
        return value["messages"]
    filled = {key: item for key, item in value.items() if item is not None}
    columns = list(filled.values())
    by_column = {"role", "from"} & set(filled) and all(isinstance(it, list) for it in columns)
    if by_column and len({len(item) for item in columns}) == 1:
        return [dict(zip(filled, row, strict=True)) for row in zip(*columns, strict=True)]
    return value


def _both_sides(value: Any, where: str) -> list[tuple[Any, str]]:
    """A turn; or the turns of an object that holds what was asked and what was answered."""
    if not isinstance(value, Mapping):
        return [(value, where)]
    filled = {normal_name(key): item for key, item in value.items() if not is_absent(item)}
    asked, answered = ([name for name in names if name in filled] for names in (_ASKED, _ANSWERED))
    known = {*asked, *answered, "system", "id", "turn"}
    if len(asked) != 1 or len(answered) != 1 or not set(filled) <= known:
        return [(value, where)]
    said = [("user", asked[0]), ("assistant", answered[0])]
    if filled.get("system"):
        said.insert(0, ("system", "system"))
    return [({"role": role, "content": filled[name]}, f"{where}.{name}") for role, name in said]


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
    definition = dict(function)
    if "input_schema" in definition and "parameters" not in definition:  # Anthropic's name of it
        definition["parameters"] = definition.pop("input_schema")
    return {"type": "function", "function": definition}


def _turn(value: Any, where: str, tag_columns: frozenset[str]) -> Turn:
    if not isinstance(value, Mapping):
        raise FormError("wrong_type", f"{where} is {type_name(value)}; expected role and content")
    value = {normal_name(key): item for key, item in value.items() if not is_absent(item)}
    for name in tag_columns & _NOT_NEEDED:
        value.pop(name, None)
    role = _role(value)
    if role is None:
        said = next((value[name] for name in _SPEAKER if name in value), None)
        raise FormError(
            "unknown_role",
            f"{where} has the role {said!r}; expected system, user, assistant or tool",
        )
    for name in _NO_PLACE:
        if name in value and not is_empty(value[name]) and value[name] is not False:
            why = UNUSABLE.get(name, "no format says where it goes; put it into content")
            raise FormError(name, f"{where}.{name}: {why}")
    message = _call_turn(value, where) if role == "call" else _message(value, role, where)
    return Turn(message=message, learnt=turn_mark(value, message.role, where))


def _role(value: Mapping[Any, Any]) -> str | None:
    lower = {str(key).lower(): item for key, item in value.items()}
    said = next((lower[name] for name in _SPEAKER if lower.get(name) is not None), None)
    return _ROLES.get(normal_name(said)) if isinstance(said, str) else None


def _message(value: Mapping[str, Any], role: str, where: str) -> Message:
    calls = _calls(value, where)
    if calls and role != "assistant":
        raise FormError("tool_call", f"{where}: only the assistant calls tools, not the {role}")
    content = next((value[name] for name in _WORDS if not is_empty(value.get(name))), None)
    if content is None:
        content = value.get("content", value.get("value"))
    thought = _thought(value, where)
    if is_empty(content) and calls:
        content = value.get("tool_plan", "")
    if content is None and thought:
        content = ""
    if role == "assistant" and isinstance(content, bool | int | float):
        content = answer_text(content, f"{where}.content")
    words, thoughts = _content(content, where)
    message = Message(
        role=role,
        content=words,
        name=str(value.get("name", "")),
        tool_calls=calls,
        tool_call_id=str(value.get("tool_call_id", "")) if role == "tool" else "",
        reasoning=thought or thoughts,
    )
    return with_thought_apart(message) if role == "assistant" else message


def _thought(value: Mapping[str, Any], where: str) -> str:
    for name in THOUGHT_COLUMNS:
        if not is_empty(value.get(name)) and not is_mode(value[name]):
            return text(value[name], f"{where}.{name}")
    steps = value.get("reasoning_details")
    if not isinstance(steps, list):
        return ""
    said = [step.get("text") or step.get("summary") for step in steps if isinstance(step, Mapping)]
    return "\n".join(step for step in said if isinstance(step, str))


def with_thought_apart(message: Message) -> Message:
    """An assistant's turn whose thought, where it stands in the text, is told from the answer."""
    thought, answer = split_thought(message.content)
    if not thought and answer == message.content:
        return message
    opened = message.content.lstrip().startswith(OPENINGS)
    if not opened and thought.count(_FENCE) % 2:  # The mark stands in a block of code.
        return message
    return replace(message, content=answer, reasoning=message.reasoning or thought)


def content_text(value: Any, where: str) -> str:
    """A text as chat clients send it: plain, or in parts.

    Raises:
        FormError: there is something else in it.
    """
    if isinstance(value, Mapping):
        value = value.get("parts", [value])
    return _content(value, where)[0]


def _content(value: Any, where: str) -> tuple[str, str]:
    """Text, or the list of text parts that chat clients send; and the thoughts among them."""
    if not isinstance(value, list):
        return text(value, f"{where}.content"), ""
    texts, thoughts = [], []
    for part in value:
        if isinstance(part, Mapping) and isinstance(part.get("thinking"), str):
            thoughts.append(part["thinking"])
            continue
        said = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(part, Mapping) and part.get("thought") is True and isinstance(said, str):
            thoughts.append(said)  # Gemini's
            continue
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
    given: Any = next(
        (function[name] for name in _ARGUMENTS if not is_empty(function.get(name))), {}
    )
    arguments = from_text(given)
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
    said = next((value[name] for name in _WORDS if not is_empty(value.get(name))), None)
    thought, written = split_thought(said) if isinstance(said, str) else ("", said)
    called = from_text(written)
    listed = called if isinstance(called, list) else [called]
    return Message(
        role="assistant",
        content="",
        tool_calls=tuple(_call(item, where) for item in listed),
        reasoning=_thought(value, where) or thought,
    )


def _without_nulls(value: Any) -> Any:
    """Parquet gives every tool and every call the keys of all others, filled with nulls."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
