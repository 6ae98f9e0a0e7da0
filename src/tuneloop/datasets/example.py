"""One training example, and the row of `train.jsonl` that it is stored as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tuneloop.conversation import Message, answer_turn
from tuneloop.datasets.normal_form import canonical_answer, normalised
from tuneloop.hashing import digest_json, digest_text

ID_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Example:
    """A prompt and the answer that a model should give to it."""

    messages: tuple[Message, ...]
    """The prompt: system text first if there is one, ends with a user turn or a tool's answer."""
    completion: str
    """The answer as text; of one that calls tools as `conversation.calls_text` writes it."""
    source: str
    """File that it came from, relative to the model file."""
    line: int
    """Line where the row starts (row number in Parquet and Arrow), from 1."""
    group: str = ""
    """Rows of one group stay on one side of the split. Before the split, the hash of the group
    field's value, if any."""
    tags: Mapping[str, str] = field(default_factory=dict)
    rejected: str | None = None
    """A worse answer, which makes it a preference pair; no part of its identity as an example."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Definitions of the tools that the model may call, as a chat request has them."""
    calls_tools: bool = False
    """Whether the answer calls tools."""
    reasoning: str = ""
    """What was thought before the answer."""

    @cached_property
    def id(self) -> str:
        """Hash of prompt and answer."""
        content = {
            "messages": [message.as_row() for message in self.messages],
            "completion": self.completion,
            **self.further(),
        }
        return digest_json(content)[:ID_DIGITS]

    @cached_property
    def system(self) -> str:
        """The system text, or empty."""
        first = self.messages[0] if self.messages else None
        return first.content if first is not None and first.role == "system" else ""

    @property
    def question(self) -> str:
        """The last user message: what people read."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    @cached_property
    def input_text(self) -> str:
        """The conversation in normal form, without the system text that all rows share."""
        turns = [message for message in self.messages if message.role != "system"]
        if len(turns) == 1:
            return normalised(turns[0].content)
        return "\n".join(f"{turn.role}: {normalised(turn.text)}" for turn in turns)

    @cached_property
    def input_key(self) -> str:
        """Identity of the input: survives a changed system text and a corrected answer."""
        return digest_text(self.input_text)[:ID_DIGITS]

    @cached_property
    def answer(self) -> str:
        """The completion in canonical form."""
        return canonical_answer(self.completion)

    @property
    def said(self) -> Message:
        """The answer as a turn of its conversation."""
        return answer_turn(self.completion, calls_tools=self.calls_tools, reasoning=self.reasoning)

    @property
    def characters(self) -> int:
        """Length of prompt and answer together."""
        return sum(len(message.text) for message in self.messages) + len(self.completion)

    @property
    def place(self) -> str:
        """Where it came from, for people."""
        return f"{self.source}, line {self.line}"

    def with_group(self, group: str) -> Example:
        """The same example in a named group."""
        return replace(self, group=group)

    def as_row(self) -> dict[str, Any]:
        """The row of `train.jsonl` and `eval.jsonl`."""
        return {
            "id": self.id,
            "messages": [message.as_row() for message in self.messages],
            "completion": self.completion,
            **self.further(),
            "group": self.group,
            "source": self.source,
            "line": self.line,
            "tags": dict(sorted(self.tags.items())),
        }

    def further(self) -> dict[str, Any]:
        """What few rows have: all others are written as they were before there was such a thing."""
        further: dict[str, Any] = {}
        if self.tools:
            further["tools"] = [dict(tool) for tool in self.tools]
        if self.calls_tools:
            further["calls_tools"] = True
        if self.reasoning:
            further["reasoning"] = self.reasoning
        return further

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Example:
        """The example of a stored row."""
        return cls(
            messages=tuple(map(Message.from_row, row["messages"])),
            completion=row["completion"],
            group=row["group"],
            source=row["source"],
            line=row["line"],
            tags=row["tags"],
            tools=tuple(row.get("tools", ())),
            calls_tools=row.get("calls_tools", False),
            reasoning=row.get("reasoning", ""),
        )
