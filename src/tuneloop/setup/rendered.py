"""The rows as the base's chat template writes them, and as the tokens that the model will see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.errors import BaseModelError, require
from tuneloop.setup.base_facts import BaseFacts


@dataclass(frozen=True, kw_only=True)
class RenderedRow:
    """A row that the template takes."""

    example: Example
    prompt: str
    """What stands before the answer."""
    answer: str
    """The answer with its end of turn."""


@dataclass(frozen=True, kw_only=True)
class RefusedRow:
    """A row that the template does not take."""

    example: Example
    why: str
    """What the template says."""


@dataclass(frozen=True, kw_only=True)
class RowTokens:
    """A row as tokens."""

    example: Example
    prompt: Sequence[int]
    answer: Sequence[int]
    """Up to and with the end of turn."""

    def __len__(self) -> int:
        """All tokens of the row."""
        return len(self.prompt) + len(self.answer)


def render(
    base: BaseFacts, examples: Sequence[Example]
) -> tuple[list[RenderedRow], list[RefusedRow]]:
    """Write every row with the base's template.

    Raises:
        BaseModelError: there is no template, or it is none.
        MissingExtraError: the package that renders templates is not installed.
    """
    write = _writer(base)
    taken: list[RenderedRow] = []
    refused: list[RefusedRow] = []
    from jinja2.exceptions import TemplateError

    for example in examples:
        messages = [message.as_row() for message in example.messages]
        turns = [*messages, example.said.as_row()]
        try:
            prompt = write(messages, tools=example.tools, add_generation_prompt=True)
            whole = write(turns, tools=example.tools, add_generation_prompt=False)
        except (TemplateError, TypeError) as e:
            refused.append(RefusedRow(example=example, why=str(e)))
            continue
        told = whole[len(prompt) :] if whole.startswith(prompt) else example.completion
        taken.append(RenderedRow(example=example, prompt=prompt, answer=told))
    return taken, refused


def tokenise(base: BaseFacts, rows: Sequence[RenderedRow]) -> list[RowTokens]:
    """The tokens of every row, as it is trained and served.

    Raises:
        UnseenError: the base's files do not tell.
    """
    start = base.id_of("bos_token") if base.adds_start else None
    prompts = base.encode([row.prompt for row in rows])
    answers = base.encode([row.answer for row in rows])
    return [
        RowTokens(
            example=row.example,
            prompt=prompt if start is None or prompt[:1] == [start] else [start, *prompt],
            answer=_up_to_end(answer, base.stops),
        )
        for row, prompt, answer in zip(rows, prompts, answers, strict=True)
    ]


def _up_to_end(answer: list[int], stops: frozenset[int]) -> list[int]:
    """Without what a template puts after the end of turn, a newline often."""
    for place in range(len(answer) - 1, -1, -1):
        if answer[place] in stops:
            return answer[: place + 1]
    return answer


def _writer(base: BaseFacts) -> Callable[..., str]:
    if not base.template:
        raise BaseModelError(
            "The base model's tokenizer has no chat template, so prompts cannot be built.",
            remedy="Choose an instruction-tuned base, or add chat_template.jinja to its folder.",
        )
    require("jinja2", extra="evaluate")
    from jinja2.exceptions import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["raise_exception"] = refuse
    try:
        template = environment.from_string(base.template)
    except TemplateError as e:
        raise BaseModelError(
            f"The base's chat template cannot be read: {e}.",
            remedy="Check chat_template.jinja in the base's folder.",
        ) from e

    def write(
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool,
    ) -> str:
        return template.render(
            messages=messages,
            tools=list(tools) or None,
            add_generation_prompt=add_generation_prompt,
            **base.specials,
        )

    return write
