"""One turn of a conversation, in the form in which OpenAI's API sends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneloop.hashing import canonical_json

_CALLS = "tool_calls"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A tool that the model asks for."""

    name: str
    arguments: str = "{}"
    """A JSON object, as text."""
    id: str = ""
    """By which the tool's answer names it; empty where nobody said."""

    def as_row(self) -> dict[str, Any]:
        """The call as a chat request has it."""
        function = {"name": self.name, "arguments": self.arguments}
        named = {"id": self.id} if self.id else {}
        return {**named, "type": "function", "function": function}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ToolCall:
        """The call of a chat request."""
        function = row["function"]
        return cls(
            name=function["name"], arguments=function["arguments"], id=str(row.get("id") or "")
        )

    def as_value(self) -> dict[str, Any]:
        """What is compared of it: the name and the arguments; ids differ from run to run."""
        try:
            arguments = json.loads(self.arguments)
        except (ValueError, RecursionError):
            arguments = self.arguments
        return {"name": self.name, "arguments": arguments}


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, user, assistant or tool"""
    content: str
    name: str = ""
    """Who speaks, where several do; of a tool's answer the tool."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's turn."""
    tool_call_id: str = ""
    """Of a tool's answer: the call that it answers."""
    reasoning: str = ""
    """What the assistant thought before it said `content`."""

    def as_row(self) -> dict[str, Any]:
        """The message as a chat request has it."""
        row: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name:
            row["name"] = self.name
        if self.tool_calls:
            row[_CALLS] = [call.as_row() for call in self.tool_calls]
        if self.tool_call_id:
            row["tool_call_id"] = self.tool_call_id
        if self.reasoning:
            row["reasoning_content"] = self.reasoning
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Message:
        """The message of a chat request in the form that `as_row` writes."""
        if len(row) == 2:  # Nearly all are: a million rows are read so.
            return cls(role=row["role"], content=row["content"])
        return cls(
            role=row["role"],
            content=row["content"],
            name=row.get("name", ""),
            tool_calls=tuple(map(ToolCall.from_row, row.get(_CALLS, ()))),
            tool_call_id=row.get("tool_call_id", ""),
            reasoning=row.get("reasoning_content", ""),
        )

    @property
    def text(self) -> str:
        """What it says: its words, and the tools that it calls."""
        return calls_text(self.tool_calls, self.content) if self.tool_calls else self.content

    def rewritten(self, change: Callable[[str], str]) -> Message:
        """The message with every text changed."""
        return replace(
            self,
            content=change(self.content),
            reasoning=change(self.reasoning) if self.reasoning else "",
            tool_calls=tuple(
                replace(call, arguments=change(call.arguments)) for call in self.tool_calls
            ),
        )


def answer_turn(text: str, *, calls_tools: bool = False, reasoning: str = "") -> Message:
    """An answer as it is stored, as a turn of its conversation.

    Raises:
        ValueError: it is said to call tools, and does not.
    """
    calls, content = calls_in(text) if calls_tools else ((), text)
    return Message(role="assistant", content=content, tool_calls=calls, reasoning=reasoning)


def calls_text(calls: Sequence[ToolCall], content: str = "") -> str:
    """An answer that calls tools as one text: what is stored, compared and judged of it.

    JSON in canonical form, so that two answers which say the same are the same text.
    """
    said = {"content": content} if content else {}
    return canonical_json({**said, _CALLS: [call.as_value() for call in calls]})


def calls_in(text: str) -> tuple[tuple[ToolCall, ...], str]:
    """The calls and the words of a text that `calls_text` wrote, where it may have been edited.

    Raises:
        ValueError: it is no such text.
    """
    try:
        value = json.loads(text)
        calls = tuple(
            ToolCall(name=call["name"], arguments=canonical_json(call["arguments"]))
            for call in value[_CALLS]
        )
        return calls, str(value.get("content", ""))
    except (KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ValueError(f"expected an object with tool_calls, found {text[:80]!r}") from e
