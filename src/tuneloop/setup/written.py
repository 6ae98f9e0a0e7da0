"""The rows as the base's chat template writes them, and as the tokens that the model will see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from tuneloop.conversation.template import ChatTemplate
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.template import Unwritable
from tuneloop.errors import BaseModelError
from tuneloop.setup.base_facts import BaseFacts
from tuneloop.setup.finding import UnseenError


@dataclass(frozen=True, kw_only=True)
class WrittenRow:
    """A row that the template takes."""

    example: Example
    prompt: str
    """What stands before the answer."""
    answer: str
    """The answer with its end of turn."""


@dataclass(frozen=True, kw_only=True)
class RefusedRow:
    """A row that is left out because of the template."""

    example: Example
    why: str


@dataclass(frozen=True, kw_only=True)
class WrittenRows:
    """All rows, in their order."""

    taken: Sequence[WrittenRow]
    refused: Sequence[RefusedRow]


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


def write(base: BaseFacts, examples: Sequence[Example]) -> WrittenRows:
    """Write every row that `prepare` will keep, with the base's template.

    Raises:
        BaseModelError: there is no template.
        MissingExtraError: what renders templates is not installed.
    """
    template = base.template
    if template is None:
        raise BaseModelError(
            "The base model's tokenizer has no chat template, so prompts cannot be built.",
            remedy="Choose an instruction-tuned base, or add chat_template.jinja to its folder.",
        )
    taken: list[WrittenRow] = []
    refused: list[RefusedRow] = []
    unwritable = Unwritable(template=template)
    for example in examples:
        verdict = unwritable(example)
        if verdict.keep:
            taken.append(_written(template, example))
        else:
            refused.append(RefusedRow(example=example, why=verdict.detail))
    return WrittenRows(taken=taken, refused=refused)


def tokenise(base: BaseFacts, rows: Sequence[WrittenRow]) -> list[RowTokens]:
    """The tokens of every row, as it is trained and served.

    Raises:
        UnseenError: there are none, or the base's files do not tell.
    """
    if not rows:
        raise UnseenError("The template writes none of the rows.")
    prompts = prompt_tokens(base, [row.prompt for row in rows])
    answers = base.encode([row.answer for row in rows])
    return [
        RowTokens(example=row.example, prompt=prompt, answer=_up_to_end(answer, base.stops))
        for row, prompt, answer in zip(rows, prompts, answers, strict=True)
    ]


def prompt_tokens(base: BaseFacts, prompts: Sequence[str]) -> list[list[int]]:
    """The tokens of prompts that the template has written, as a server begins them.

    Raises:
        UnseenError: the base's files do not tell.
    """
    if not prompts:
        return []
    start = base.id_of("bos_token") if base.adds_start else None
    head = _shared_head(prompts, base)
    (head_ids,) = base.encode([head])
    written = [[*head_ids, *ids] for ids in base.encode([text[len(head) :] for text in prompts])]
    return [ids if start is None or ids[:1] == [start] else [start, *ids] for ids in written]


def _shared_head(prompts: Sequence[str], base: BaseFacts) -> str:
    """What all prompts begin with, up to a control token: there every text is split, so that what
    is before it, a system text often, becomes the same tokens in all of them."""
    # In sorted order every other prompt lies between these two, so it shares what they share.
    pairs = zip(first := min(prompts), max(prompts), strict=False)
    common = first[: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))]
    control = base.template.control_tokens if base.template else ()
    return common[: max(0, 0, *(common.rfind(token) for token in control))]


def _written(template: ChatTemplate, example: Example) -> WrittenRow:
    *messages, said = template.neutral((*example.messages, example.said))
    prompt, answer = template.exchange(messages, said, example.tools)
    return WrittenRow(example=example, prompt=prompt, answer=answer)


def _up_to_end(answer: list[int], stops: frozenset[int]) -> list[int]:
    """Without what a template puts after the end of turn, a newline often."""
    for place in range(len(answer) - 1, -1, -1):
        if answer[place] in stops:
            return answer[: place + 1]
    return answer
