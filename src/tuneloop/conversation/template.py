"""A base model's chat template: how it writes a conversation, and what it can write at all.

Rendered by the same function as in training (transformers), without torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tuneloop.conversation.control_tokens import neutral_value
from tuneloop.conversation.messages import Message
from tuneloop.conversation.thoughts import closing_of, without_empty_thought
from tuneloop.errors import require

THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates are told whether the model shall think."""
_ANY = "tuneloop-any-answer"
_ANY_QUESTION = "tuneloop-any-question"
_TEXTS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
"""Texts within a template's code."""


class TemplateRefusalError(Exception):
    """A template refuses a conversation; the message says why, in its own words."""


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """The text of a template with the tokens that it names."""

    text: str
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Name → text, e.g. `bos_token`."""
    control_tokens: tuple[str, ...] = ()
    """What must never stand in the text of a message: the base reads it as the end of a turn, or
    as another one."""

    @classmethod
    def of(cls, tokenizer: Any) -> ChatTemplate:
        """The template of a tokenizer of transformers, which has one."""
        added = tokenizer.added_tokens_decoder.values()
        return cls(
            text=tokenizer.get_chat_template(),
            tokens={
                name: token
                for name, token in tokenizer.special_tokens_map.items()
                if isinstance(token, str)
            },
            control_tokens=tuple(sorted({str(t) for t in added if t.special and str(t)})),
        )

    def neutral(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as they are trained, asked and served: nothing in their words is a turn."""
        return [
            Message.from_row(neutral_value(message.as_row(), self.control_tokens))
            for message in messages
        ]

    def prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The conversation with the beginning of the turn that answers it.

        Raises:
            TemplateRefusalError: the template does not take it.
        """
        return self._render(messages, tools, add_generation_prompt=True)

    def whole(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The conversation as it is over.

        Raises:
            TemplateRefusalError: the template does not take it.
        """
        return self._render(messages, tools, add_generation_prompt=False)

    def exchange(
        self,
        messages: Sequence[Message],
        answer: Message,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[str, str]:
        """The prompt as it is served, and what the model is to write behind it.

        Templates write an answer that is over in other ways than the prompt begins it: some put an
        empty thought into it that nobody asks the model for, some leave its thought out.

        Raises:
            TemplateRefusalError: the template does not take the conversation.
        """
        prompt = self.prompt(messages, tools)
        rest = self._behind(prompt, messages, answer, tools)
        closing = closing_of(prompt)
        if not answer.reasoning:
            rest = without_empty_thought(rest)
            begun = closing is not None and not rest.lstrip().startswith(closing)
            return prompt, f"\n{closing}\n\n{rest}" if begun else rest
        thought = answer.reasoning.strip()
        unthought = self._behind(prompt, messages, replace(answer, reasoning=""), tools)
        if closing is None or rest != unthought:  # It is written by the template, or nowhere.
            return prompt, rest
        return prompt, f"{thought}\n{closing}\n\n{rest}"

    def _behind(
        self,
        prompt: str,
        messages: Sequence[Message],
        answer: Message,
        tools: Sequence[Mapping[str, Any]],
    ) -> str:
        """What the template writes of an answer, and of the end of its turn."""
        written = self.whole((*messages, answer), tools)
        if written.startswith(prompt):
            return written[len(prompt) :]
        # What it writes of any answer tells where this one stands: the same letters may stand in
        # the mark that ends the turn.
        other = self.whole((*messages, replace(answer, content=_ANY)), tools)
        before, found, end = other.partition(_ANY)
        for said in (answer.content, answer.content.strip()):
            if found and said and written == f"{before}{said}{end}":
                return f"{said}{end}"
        raise TemplateRefusalError("it does not show the answer as it was given")

    @cached_property
    def own_system(self) -> str:
        """The system text that the template writes where a conversation has none; empty: it writes
        none, or takes none.

        It is what stands in the place of a system text, between what is written around one.
        """
        asked = Message(role="user", content=_ANY_QUESTION)
        try:
            without = self.prompt([asked])
            with_one = self.prompt([Message(role="system", content=_ANY), asked])
        except TemplateRefusalError:
            return ""
        before, found, behind = with_one.partition(_ANY)
        placed = found and without.startswith(before) and without.endswith(behind)
        if not placed or len(without) < len(before) + len(behind):
            return ""
        return without[len(before) : len(without) - len(behind)].strip()

    @cached_property
    def thinking_switch(self) -> str | None:
        """The variable that says whether the model shall think; None: it has no such variable."""
        return thinking_switch(self.text)

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
    ) -> str:
        require("transformers", extra="train")
        from jinja2.exceptions import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            rendered, _ = render_jinja_template(
                conversations=[in_template(messages)],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=self.text,
                add_generation_prompt=add_generation_prompt,
                **self.tokens,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as e:
            raise TemplateRefusalError(str(e) or type(e).__name__) from e
        return str(rendered[0])


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """The token ids of a text as it stands; nothing is put before or after it."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def start_ids(tokenizer: Any) -> list[int]:
    """What a server puts before every prompt, whether the template writes it or not: the start
    token of a tokenizer that adds one, else nothing.

    So does llama.cpp with a file whose `tokenizer.ggml.add_bos_token` is true, which its converter
    finds out from what the tokenizer itself puts before a text.
    """
    start = tokenizer.bos_token_id
    return [start] if list(tokenizer("")["input_ids"][:1]) == [start] else []


def begun(ids: list[int], start: list[int]) -> list[int]:
    """The ids of a prompt that begin with `start` once: llama.cpp takes the template's own away."""
    return ids if ids[: len(start)] == start else [*start, *ids]


def prompt_ids(
    tokenizer: Any, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
) -> list[int]:
    """The token ids of a prompt as a tokenizer of transformers and its template make them.

    Raises:
        TemplateRefusalError: the template does not take the conversation.
    """
    text = ChatTemplate.of(tokenizer).prompt(messages, tools)
    return begun(token_ids(tokenizer, text), start_ids(tokenizer))


def thinking_switch(text: str) -> str | None:
    """The variable of a template's text that says whether the model shall think."""
    names = (name for name in THINKING_SWITCHES if re.search(rf"\b{name}\b(?!\s*[:(])", text))
    return next((name for name in names if _is_variable(name, text)), None)


def _is_variable(name: str, text: str) -> bool:
    """Whether a name stands in the template's code, alone: `message.thinking` is a key."""
    code = "".join(re.findall(r"{[%{].*?[%}]}", text, re.DOTALL))
    return bool(re.search(rf"(?<![\w.]){name}(?!\w)", _TEXTS.sub("", code)))


def in_template(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as templates expect them: the arguments of calls are values, not texts."""
    return [_in_template(message) for message in messages]


def _in_template(message: Message) -> dict[str, Any]:
    row = message.as_row()
    for call in row.get("tool_calls", ()):
        function = call["function"]
        try:
            function["arguments"] = json.loads(function["arguments"])
        except (ValueError, RecursionError):
            continue
    return row
