"""What the base's chat template cannot write: such a row would stop the training, or lose a part.

A template decides by roles and by what a turn has, hardly ever by its words, so of all rows with
the same turns one is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tuneloop.conversation import Message
from tuneloop.conversation.template import ChatTemplate, TemplateRefusalError
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, FilterResult, drop

_Shape = tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class Unwritable:
    """The base's template refuses the conversation, or leaves a part of it out."""

    template: ChatTemplate
    _seen: dict[_Shape, FilterResult] = field(default_factory=dict, compare=False, repr=False)
    name: str = "template"

    def __call__(self, example: Example) -> FilterResult:
        """Keep what the template writes whole."""
        spoken = (*example.messages, example.said)
        shape = (bool(example.tools), *map(_shape, spoken))
        verdict = self._seen.get(shape)
        if verdict is None:
            verdict = self._seen[shape] = self._tried(example, spoken)
        return verdict

    def _tried(self, example: Example, spoken: Sequence[Message]) -> FilterResult:
        try:
            prompt, answer = self.template.exchange(example.messages, spoken[-1], example.tools)
            bare = self.template.prompt(example.messages) if example.tools else ""
        except TemplateRefusalError as e:
            roles = ", ".join(message.role for message in spoken)
            return drop("template", f"the base's chat template refuses the turns {roles}: {e}")
        if example.tools and prompt == bare:
            return drop("tools", "the base's chat template does not show tools")
        for message in spoken[:-1]:
            if missing := _missing(message, prompt):
                return missing
        return _missing(spoken[-1], answer) or _thought(spoken[-1], answer)


def _shape(message: Message) -> _Shape:
    return (
        message.role,
        bool(message.content.strip()),
        len(message.tool_calls),
        bool(message.reasoning),
        bool(message.name),
    )


def _missing(message: Message, written: str) -> FilterResult | None:
    """The verdict against a turn of which the template leaves something out."""
    if message.content.strip() not in written:
        return drop(
            "template", f"the base's chat template leaves the words of a {message.role} turn out"
        )
    for call in message.tool_calls:
        if call.name not in written:
            return drop("tool_call", "the base's chat template does not show the calls of tools")
    if message.name and message.role != "tool" and message.name not in written:
        return drop("name", f"the base's chat template does not say who speaks ({message.name})")
    return None


def _thought(answer: Message, written: str) -> FilterResult:
    if answer.reasoning and answer.reasoning.strip() not in written:
        return drop("reasoning", "the base's chat template has no place for a thought")
    return KEEP
