"""Preference pairs as tokens: a prompt, a better and a worse answer, each as it will be served."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.errors import DataError, TrainingError
from tuneloop.training.rows import Row, TokenisedRows, TokenRow, tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class TokenisedPairs:
    """Pairs that can be trained on, and what happened to the others."""

    chosen: TokenisedRows
    """The better answers; a pair of which either is too long counts as too long."""
    rejected: tuple[TokenRow, ...]
    """The worse answers, in the order of `chosen.rows`."""


def read_pairs(path: Path) -> list[tuple[Row, Row]]:
    """Better and worse answers of preferences.jsonl.

    Raises:
        DataError: naming file and line of the first pair that cannot be used.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            return [_parse(line, f"{path}, line {n}") for n, line in enumerate(file, start=1)]
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"Cannot read {path}: {e}", remedy="Prepare the dataset again.") from e


def _parse(line: str, where: str) -> tuple[Row, Row]:
    try:
        value = json.loads(line)
        better, worse = (Row.of(value, value[key]) for key in ("chosen", "rejected"))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise DataError(
            f"{where}: expected id, messages, chosen and rejected; {e!r}.",
            remedy="Prepare the dataset again: `tuneloop prepare` writes this format.",
        ) from e
    return better, worse


def require_pairs(count: int, minimum: int, *, too_long: int = 0) -> None:
    """Refuse to train on fewer pairs than declared.

    Raises:
        TrainingError: with the counts.
    """
    if count < minimum:
        also = f" ({too_long} more are longer than training.max_length)" if too_long else ""
        raise TrainingError(
            f"There are {count} preference pairs{also}; training.minimum_pairs asks for {minimum}.",
            remedy="Review more corrections (tuneloop review), add rows with chosen and rejected, "
            "or train with training.method: lora.",
        )


def tokenise_pairs(
    pairs: Sequence[tuple[Row, Row]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    end_of_turn_ids: frozenset[int],
) -> TokenisedPairs:
    """Tokenise both answers as they will be served; leave out pairs with one over the limit.

    Raises:
        TrainingError: when the tokenizer has no chat template or it drops an answer.
    """
    # Numbered, because one example may have been answered wrongly in several ways.
    numbered = [[replace(row, id=str(number)) for row in pair] for number, pair in enumerate(pairs)]
    names = [better.id for better, _ in pairs]
    better, worse = (
        tokenise(
            [pair[side] for pair in numbered],
            tokenizer,
            max_length=max_length,
            end_of_turn_ids=end_of_turn_ids,
        )
        for side in (0, 1)
    )
    rejected = {row.id: row for row in worse.rows}
    kept = [row for row in better.rows if row.id in rejected]
    long = sorted({*better.too_long, *worse.too_long}, key=int)
    return TokenisedPairs(
        chosen=replace(
            better,
            rows=tuple(replace(row, id=names[int(row.id)]) for row in kept),
            too_long=tuple(names[int(number)] for number in long),
        ),
        rejected=tuple(rejected[row.id] for row in kept),
    )
