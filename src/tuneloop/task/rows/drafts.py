"""What a row is once its form was recognised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tuneloop.conversation import Message
from tuneloop.task.rows.fields import FormError

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
    marked_bad: str = ""
    """Why the reference is no right answer, where the row says so itself."""
