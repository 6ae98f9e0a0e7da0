"""Rows as tokens: what the model is shown and which tokens it is trained on.

A row is trained exactly as it will be served: the prompt is tokenised alone with the template's
generation prompt, as a server does, and the completion follows, up to and with the end of turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.conversation import Message, answer_turn
from tuneloop.conversation.template import (
    ChatTemplate,
    TemplateRefusalError,
    begun,
    start_ids,
    token_ids,
)
from tuneloop.errors import DataError, TrainingError
from tuneloop.hashing import digest_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN_IDS = 10


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of train.jsonl or eval.jsonl, reduced to what training reads."""

    id: str
    messages: tuple[Message, ...]
    """The prompt; ends with a user turn, or with what a tool gave."""
    completion: str
    tools: tuple[dict[str, Any], ...] = ()
    """Definitions of the tools that the model may call."""
    calls_tools: bool = False
    """Whether the answer calls tools."""
    reasoning: str = ""
    """What is thought before the answer."""
    group: str = ""
    """Rows of one group are alike, of one customer or of one conversation; empty: it does not
    say."""

    @property
    def kept_together(self) -> str:
        """Name of the rows that validation takes together: their group, else their prompt."""
        return self.group or digest_json([message.as_row() for message in self.messages])

    @classmethod
    def of(cls, value: Mapping[str, Any], completion: str) -> Row:
        """The row of a dataset version, with one of its answers."""
        return cls(
            id=str(value["id"]),
            messages=tuple(map(Message.from_row, value["messages"])),
            completion=completion,
            tools=tuple(value.get("tools", ())),
            calls_tools=value.get("calls_tools", False),
            reasoning=value.get("reasoning", ""),
            group=value.get("group") or "",
        )


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """A row as token ids; `completion` counts in the loss, and so do answers before it that are
    trained with it."""

    id: str
    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    """Ends with the end of turn."""
    head: str
    """Rows with the same head (system text) are worth packing behind one shared prefix."""
    earlier: tuple[tuple[int, int], ...] = ()
    """Where trained answers stand in the prompt: from and up to which token, in order."""

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where all trained answers stand: from and up to which token, in order."""
        return (*self.earlier, (len(self.prompt), len(self)))

    @property
    def trained_tokens(self) -> int:
        """Tokens that count in the loss."""
        return sum(end - start for start, end in self.spans)

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens of the row."""
        return self.prompt + self.completion

    def __len__(self) -> int:
        """Tokens in the row."""
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, kw_only=True)
class TokenisedRows:
    """Rows that can be trained on, and what happened to the others."""

    rows: tuple[TokenRow, ...]
    too_long: tuple[str, ...]
    """Ids of rows over the limit, which are left out: a cut answer would teach to stop short."""
    retokenised: int
    """Rows whose prompt and completion tokenise differently together than apart; kept as served."""
    max_length: int
    """The limit in force, in tokens."""
    refused: tuple[str, ...] = ()
    """Ids of rows that the chat template does not take, which are left out."""
    refusal: str = ""
    """What it said of the first of them."""

    @property
    def answers(self) -> int:
        """Answers that are trained; a row may hold several of one conversation."""
        return sum(len(row.spans) for row in self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of all kept rows."""
        return sum(len(row) for row in self.rows)

    def notes(self, name: str) -> list[str]:
        """What a person should know about these rows, one sentence each."""
        notes = []
        if self.too_long:
            shown = ", ".join(self.too_long[:_SHOWN_IDS])
            more = ", ..." if len(self.too_long) > _SHOWN_IDS else ""
            notes.append(
                f"{name}: {len(self.too_long)} of {len(self.too_long) + len(self.rows)} rows are "
                f"longer than {self.max_length} tokens and are left out ({shown}{more})."
            )
        if self.refused:
            shown = ", ".join(self.refused[:_SHOWN_IDS])
            more = ", ..." if len(self.refused) > _SHOWN_IDS else ""
            notes.append(
                f"{name}: {len(self.refused)} rows are left out, as the base's chat template does "
                f"not take them ({shown}{more}): {self.refusal}"
            )
        if self.retokenised:
            notes.append(
                f"{name}: in {self.retokenised} rows the answer's first token would merge with the "
                "prompt's last; they are tokenised apart, as in serving."
            )
        return notes


def read_rows(path: Path) -> list[Row]:
    """Read a dataset file in the row format of a dataset version.

    Raises:
        DataError: naming file and line of the first row that cannot be used.
    """
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(_parse(line, where=f"{path}, line {number}"))
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"Cannot read {path}: {e}", remedy="Prepare the dataset again.") from e
    return rows


def _parse(line: str, *, where: str) -> Row:
    try:
        value = json.loads(line)
        row = Row.of(value, value["completion"])
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise DataError(
            f"{where}: expected an object with id, messages and completion; {e!r}.",
            remedy="Prepare the dataset again: `tuneloop prepare` writes this format.",
        ) from e
    if not row.messages or not isinstance(row.completion, str) or not row.completion:
        raise DataError(f"{where}: expected at least one message and a completion text.")
    return row


def tokenise(
    rows: Iterable[Row],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    end_of_turn_ids: frozenset[int],
) -> TokenisedRows:
    """Tokenise rows as they will be served and leave out those over `max_length` tokens.

    Raises:
        TrainingError: there is no chat template, or it takes none of the rows.
    """
    if not tokenizer.chat_template:
        raise TrainingError(
            "The base model's tokenizer has no chat template, so prompts cannot be built.",
            remedy="Choose an instruction-tuned base, or add chat_template.jinja to its folder.",
        )
    template, start = ChatTemplate.of(tokenizer), start_ids(tokenizer)
    kept: list[TokenRow] = []
    too_long: list[str] = []
    refused: dict[str, str] = {}
    retokenised = 0
    for row in rows:
        try:
            tokens, apart = _tokenise_row(row, tokenizer, template, start, end_of_turn_ids)
        except TemplateRefusalError as e:
            refused[row.id] = f"{', '.join(m.role for m in row.messages)}: {e}"
            continue
        if len(tokens) > max_length:
            too_long.append(row.id)
            continue
        kept.append(tokens)
        retokenised += apart
    reason = next(iter(refused.values()), "")
    if refused and not kept and not too_long:
        raise TrainingError(
            f"The base model's chat template refuses every conversation; the first has the roles "
            f"{reason}",
            remedy="Use a base whose template takes these roles, or leave the system text out.",
        )
    return TokenisedRows(
        rows=tuple(kept),
        too_long=tuple(too_long),
        retokenised=retokenised,
        max_length=max_length,
        refused=tuple(refused),
        refusal=reason,
    )


def _tokenise_row(
    row: Row,
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    start: list[int],
    end_of_turn_ids: frozenset[int],
) -> tuple[TokenRow, bool]:
    """The row's tokens, and whether prompt and completion had to be tokenised apart."""
    answer = answer_turn(row.completion, calls_tools=row.calls_tools, reasoning=row.reasoning)
    *messages, answer = template.neutral((*row.messages, answer))
    prompt_text, answer_text = template.exchange(messages, answer, row.tools)
    prompt = begun(token_ids(tokenizer, prompt_text), start)
    together = begun(token_ids(tokenizer, prompt_text + answer_text), start)
    apart = together[: len(prompt)] != prompt
    completion = token_ids(tokenizer, answer_text) if apart else together[len(prompt) :]
    system = messages[0].content if messages[0].role == "system" else ""
    tokens = TokenRow(
        id=row.id,
        prompt=tuple(prompt),
        completion=_up_to_end_of_turn(completion, end_of_turn_ids, tokenizer),
        head=system,
    )
    return tokens, apart


def _up_to_end_of_turn(
    completion: list[int], end_of_turn_ids: frozenset[int], tokenizer: PreTrainedTokenizerBase
) -> tuple[int, ...]:
    """Drop what the template puts after the turn (a newline, often): serving stops before it."""
    for position in range(len(completion) - 1, -1, -1):
        if completion[position] in end_of_turn_ids:
            return tuple(completion[: position + 1])
    if tokenizer.eos_token_id is None:
        return tuple(completion)
    return (*completion, int(tokenizer.eos_token_id))


def chained(rows: Sequence[TokenRow]) -> tuple[TokenRow, ...]:
    """The same answers in fewer rows: one that another one's prompt begins with is trained there.

    The answers of a conversation are rows that each begin with the one before. Tokens see those
    before them alone, so in one pass each answer gets the loss that it has by itself, and what
    stands before it is computed once. The order is that of the rows that stay.
    """
    beginnings: list[TokenRow] = []
    chained_in: set[int] = set()
    answers: dict[int, tuple[tuple[int, int], ...]] = {}
    # In this order a row stands before all that begin with it, with nothing else between them.
    for row in sorted(rows, key=lambda row: row.ids):
        while beginnings and not _begins(beginnings[-1], row):
            beginnings.pop()
        earlier = row.earlier
        if beginnings and id(beginnings[-1]) not in chained_in:
            before = beginnings[-1]
            chained_in.add(id(before))
            earlier = (*answers[id(before)], (len(before.prompt), len(before)), *earlier)
        answers[id(row)] = earlier
        beginnings.append(row)
    return tuple(
        replace(row, earlier=answers[id(row)]) for row in rows if id(row) not in chained_in
    )


def _begins(before: TokenRow, row: TokenRow) -> bool:
    return before.head == row.head and row.prompt[: len(before)] == before.ids


def shared_prefix_length(rows: Sequence[TokenRow]) -> int:
    """Tokens at the start that all rows have in common, leaving each an own prompt token.

    The first trained token of a row is thus never predicted from the shared part.
    """
    if len(rows) < 2:
        return 0
    first, last = min(row.ids for row in rows), max(row.ids for row in rows)
    limit = min(row.spans[0][0] for row in rows) - 1
    # In sorted order every other row lies between these two, so it shares what they share.
    for position, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b or position >= limit:
            return max(0, min(position, limit))
    return max(0, limit)


def rendered_mask(row: TokenRow, tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[str, bool]]:
    """Each token's text and whether it is trained on, in order; texts join to the whole row."""
    decoded = [tokenizer.decode(row.ids[:end]) for end in range(len(row) + 1)]
    for index, (before, after) in enumerate(pairwise(decoded)):
        yield after[len(before) :], any(start <= index < end for start, end in row.spans)


def end_of_turn_ids(tokenizer: PreTrainedTokenizerBase, generation_config: Any) -> frozenset[int]:
    """Token ids at which serving stops, from the tokenizer and the generation config."""
    listed = getattr(generation_config, "eos_token_id", None)
    ids = listed if isinstance(listed, list) else [listed]
    return frozenset(int(i) for i in (*ids, tokenizer.eos_token_id) if i is not None)
