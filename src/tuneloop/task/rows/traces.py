"""What services write down of calls, and answers of which a row holds several.

A trace holds what went in and what came out as two objects (LangSmith's `inputs` and `outputs`,
Langfuse's and Braintrust's `input` and `output`, OpenAI's preference pairs).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneloop.task.rows.fields import (
    ANSWERS_TO_A_CHAT,
    CHAT_COLUMNS,
    CONTEXT_COLUMNS,
    HISTORY_COLUMNS,
    PROMPT_COLUMNS,
    SYSTEM_COLUMNS,
    TOOL_COLUMNS,
    FormError,
    is_empty,
    normal_name,
)
from tuneloop.task.rows.texts import from_text
from tuneloop.task.rows.turns import is_answer, is_turn

_ENDS = (("inputs", "outputs"), ("input", "output"))
_ASKED = frozenset(
    (*CHAT_COLUMNS, *PROMPT_COLUMNS, *CONTEXT_COLUMNS, *HISTORY_COLUMNS, *SYSTEM_COLUMNS,
     *TOOL_COLUMNS)
)  # fmt: skip
_SETTINGS = frozenset(
    {"parallel_tool_calls", "model", "temperature", "top_p", "max_tokens", "stream", "seed",
     "tool_choice", "response_format"}
)  # fmt: skip
"""What a request says besides what is asked."""
_SAID = frozenset((*ANSWERS_TO_A_CHAT, "content", "text", "result", "message"))


def trace(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A trace as a row in plain columns; anything else as it is."""
    for came_in, came_out in _ENDS:
        if came_in not in value:
            continue
        asked = from_text(value[came_in])
        if not isinstance(asked, Mapping) or not _is_request(asked):
            continue
        rest = {key: item for key, item in value.items() if key not in (came_in, came_out)}
        if len(asked) == 1 and not _ASKED & set(map(normal_name, asked)):
            asked = {"prompt": next(iter(asked.values()))}
        if came_out not in value:
            return {**rest, **asked}
        return {**rest, **asked, "completion": _reply(from_text(value[came_out]))}
    return value


def _is_request(asked: Mapping[Any, Any]) -> bool:
    """Whether an object is what was asked, and no data: its keys are those of requests."""
    names = set(map(normal_name, asked))
    if len(names) == 1:
        (only,) = asked.values()
        return isinstance(only, str) or bool(names & _ASKED)
    return bool(names & _ASKED) and names <= _ASKED | _SETTINGS


def _reply(value: Any) -> Any:
    """What came out, without the object that only holds it."""
    if not isinstance(value, Mapping) or is_answer(value):
        return value
    filled = {key: item for key, item in value.items() if not is_empty(item)}
    if len(filled) != 1:
        return value
    ((key, item),) = filled.items()
    if normal_name(key) == "messages" and isinstance(item, list) and item and is_turn(item[-1]):
        return item[-1:]
    return item if normal_name(key) in _SAID else value


def answer_of_several(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A row with its one answer, where a list of right answers stands for it.

    SQuAD's `answers`, OpenAI's `ideal`, and the calls of xLAM.

    Raises:
        FormError: the answers differ.
    """
    for name in ("answers", "ideal"):
        if name not in value:
            continue
        given = from_text(value[name])
        others = {normal_name(key) for key, item in value.items() if item is not None} - {name}
        if others & set(ANSWERS_TO_A_CHAT):
            continue
        rest = {key: item for key, item in value.items() if key != name}
        if _are_calls(given) and "tools" in value:
            calls = [{"function": dict(call)} for call in given]
            return {**rest, "completion": {"role": "assistant", "tool_calls": calls}}
        texts = given.get("text") if isinstance(given, Mapping) else given
        if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
            continue
        different = list(dict.fromkeys(texts))
        if len(different) > 1:
            raise FormError(
                "several_answers", f"{name} holds {len(different)} different answers; expected one"
            )
        return {**rest, "answer": different[0] if different else None}
    return value


def _are_calls(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and {"name", "arguments"} <= set(item) for item in value)
    )
