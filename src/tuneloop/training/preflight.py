"""Looks at everything that can go wrong before time is spent on training (T4)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from tuneloop.errors import TrainingError
from tuneloop.foreign_text import shortened
from tuneloop.training import trackers
from tuneloop.training.config import TrainingConfig, unusual_values
from tuneloop.training.memory import (
    MemoryPlan,
    free_memory_bytes,
    plan_memory,
    read_architecture,
    require_fit,
)
from tuneloop.training.model import (
    chosen_device,
    chosen_threads,
    load_tokenizer,
)
from tuneloop.training.pairs import read_pairs, require_pairs, tokenise_pairs
from tuneloop.training.precision import (
    Precision,
    began_with,
    chosen_precision,
    measured_gflops,
)
from tuneloop.training.rows import (
    Row,
    TokenisedRows,
    TokenRow,
    chained,
    end_of_turn_ids,
    read_rows,
    rendered_mask,
    tokenise,
)
from tuneloop.training.spec import TrainingSpec
from tuneloop.training.validation import draw

T = TypeVar("T")

_SHOWN_CHARACTERS = 130
"""Of each piece of the example; its beginning and its end show the template."""


@dataclass(frozen=True, kw_only=True)
class ShownToken:
    """One token of an example, for people to look at."""

    text: str
    trained: bool
    """Whether it counts in the loss."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What a run will do, known before it starts."""

    train: TokenisedRows
    evaluation: TokenisedRows
    example: tuple[ShownToken, ...]
    """The first training row with its loss mask."""
    train_rejected: tuple[TokenRow, ...] = ()
    """DPO: the worse answers to the prompts of `train.rows`, in their order."""
    evaluation_rejected: tuple[TokenRow, ...] = ()
    """The same for `evaluation.rows`."""
    memory: MemoryPlan
    device: str
    threads: int
    precision: Precision
    warnings: tuple[str, ...]
    """Unusual settings, each with its reason."""
    notes: tuple[str, ...]
    """What a person should know, including the warnings."""


def look_before(spec: TrainingSpec, *, checkpoints: Path | None = None) -> Preflight:
    """Check data, template, mask, settings and memory; trains nothing.

    `checkpoints` is where those of an interrupted run lie that is to be continued.

    Raises:
        TuneloopError: for whatever would make the run fail or train nothing.
    """
    config = spec.config
    trackers.chosen(config.trackers)
    device = chosen_device(config)
    architecture = read_architecture(spec.base_folder)
    limit = min(config.max_length, architecture.context_tokens)
    tokens = _tokens(spec, limit)
    train, evaluation, longest = tokens.train, tokens.evaluation, tokens.longest
    threads = chosen_threads(config)
    precision = chosen_precision(
        config,
        device=device,
        widest_layer=architecture.widest_layer,
        began=None if checkpoints is None else began_with(checkpoints, device=device),
        measure=partial(measured_gflops, threads=threads),
    )
    plan = plan_memory(
        architecture,
        config,
        device=device,
        # In bf16 on a CPU only products are; what runs between them is fp32.
        compute_bytes=4 if device == "cpu" else precision.dtype.itemsize,
        weight_bytes=precision.dtype.itemsize,
        free_bytes=free_memory_bytes(device),
        # Of a pair both answers go through the model together, padded to the longer one.
        longest_row=2 * longest if config.method == "dpo" else longest,
    )
    require_fit(plan)
    warnings = unusual_values(config, rows=len(train.rows))
    notes = [
        *warnings,
        *train.notes(spec.train_file.stem),
        *evaluation.notes(spec.eval_file.stem if spec.eval_file else "validation"),
        *_on_evaluation(evaluation, spec),
        f"Computes in {precision.sentence()}.",
        f"Memory: {plan.sentence()}.",
    ]
    return Preflight(
        train=train,
        evaluation=evaluation,
        example=tokens.example,
        train_rejected=tokens.train_rejected,
        evaluation_rejected=tokens.evaluation_rejected,
        memory=plan,
        device=device,
        threads=threads,
        precision=precision,
        warnings=tuple(warnings),
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Tokens:
    """What the two files hold, as tokens."""

    train: TokenisedRows
    evaluation: TokenisedRows
    example: tuple[ShownToken, ...]
    train_rejected: tuple[TokenRow, ...] = ()
    evaluation_rejected: tuple[TokenRow, ...] = ()

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        rows = (*self.train.rows, *self.evaluation.rows)
        return max(map(len, (*rows, *self.train_rejected, *self.evaluation_rejected)))


def _tokens(spec: TrainingSpec, limit: int) -> _Tokens:
    from transformers import GenerationConfig

    tokenizer = load_tokenizer(spec.base_folder)
    try:
        generation = GenerationConfig.from_pretrained(spec.base_folder)
    except OSError:  # The file is optional.
        generation = None
    stops = end_of_turn_ids(tokenizer, generation)
    rejected: list[tuple[TokenRow, ...]] = []

    def of_rows(rows: Sequence[Row]) -> TokenisedRows:
        tokenised = tokenise(rows, tokenizer, max_length=limit, end_of_turn_ids=stops)
        return replace(tokenised, rows=chained(tokenised.rows))

    def of_pairs(pairs: Sequence[tuple[Row, Row]]) -> TokenisedRows:
        both = tokenise_pairs(pairs, tokenizer, max_length=limit, end_of_turn_ids=stops)
        rejected.append(both.rejected)
        return both.chosen

    if spec.config.method == "dpo":
        chosen_pairs = _sides(spec, read_pairs, lambda pair: pair[0])
        train, evaluation = (of_pairs(pairs) for pairs in chosen_pairs)
    else:
        train, evaluation = (of_rows(rows) for rows in _sides(spec, read_rows, lambda row: row))
    aside = len(evaluation.rows) if spec.draws_validation else 0
    _require_enough(train, spec.config, limit, aside=aside)
    example = tuple(
        ShownToken(text=text, trained=trained)
        for text, trained in rendered_mask(train.rows[0], tokenizer)
    )
    refuse_untrained([*train.rows, *evaluation.rows, *itertools.chain(*rejected)], example)
    return _Tokens(
        train=train,
        evaluation=evaluation,
        example=example,
        train_rejected=rejected[0] if rejected else (),
        evaluation_rejected=rejected[1] if rejected else (),
    )


def _sides(
    spec: TrainingSpec, read: Callable[[Path], list[T]], row_of: Callable[[T], Row]
) -> tuple[list[T], list[T]]:
    """What is trained on, and what the evaluation loss is measured on."""
    rows = read(spec.train_file)
    if spec.eval_file is not None:
        return rows, read(spec.eval_file)
    if not spec.draws_validation:
        return rows, []
    drawn = draw([(row_of(row).kept_together, row_of(row).completion) for row in rows])
    return (
        [row for at, row in enumerate(rows) if at not in drawn],
        [row for at, row in enumerate(rows) if at in drawn],
    )


def _require_enough(
    train: TokenisedRows, config: TrainingConfig, limit: int, *, aside: int
) -> None:
    """Refuse to train on nothing, or on fewer pairs than declared; `aside` are for validation.

    Raises:
        TrainingError: with the counts.
    """
    count = len(train.too_long)
    if config.method == "dpo":
        require_pairs(len(train.rows) + aside, config.minimum_pairs, too_long=count)
    if not train.rows:
        raise TrainingError(
            f"No row is left to train on: {count} rows, {count} longer than {limit} tokens.",
            remedy="Raise context_tokens (or training.max_length), or split the rows.",
        )


def marked(example: Sequence[ShownToken]) -> str:
    """An example as one text, with marks around what is trained; long pieces are shortened."""
    parts = []
    for trained, tokens in groupby(example, key=lambda token: token.trained):
        text = shortened("".join(token.text for token in tokens), _SHOWN_CHARACTERS)
        parts.append(f"\u27e6{text}\u27e7" if trained else text)
    return "".join(parts)


def refuse_untrained(rows: Sequence[TokenRow], example: Sequence[ShownToken]) -> None:
    """Refuse rows of which no token counts in the loss, or that have no prompt.

    Raises:
        TrainingError: naming the rows and showing the tokens of the first example.
    """
    empty = [row.id for row in rows if not row.completion or not row.prompt]
    if empty:
        shown = " | ".join(f"{t.text!r}{' (trained)' if t.trained else ''}" for t in example[:80])
        raise TrainingError(
            f"{len(empty)} rows have no token to train on or no prompt, first {empty[0]}. "
            f"Tokens of the first row: {shown}",
            remedy="Check the base's chat template and that every row has an answer.",
        )


def _on_evaluation(evaluation: TokenisedRows, spec: TrainingSpec) -> list[str]:
    """Which rows pick the checkpoint, or that none does."""
    if evaluation.rows:
        if not spec.draws_validation:
            return []
        return [
            f"{evaluation.answers} of the rows to train on are set aside for validation: they pick "
            "the checkpoint, and what is held out does not."
        ]
    early = " and training cannot stop early" if spec.config.early_stopping_patience else ""
    if spec.draws_validation:
        return [
            "No rows could be set aside for validation (they are few, or too much alike): the last "
            f"checkpoint is taken, overfitting goes unnoticed{early}."
        ]
    return [f"No evaluation rows: overfitting goes unnoticed{early}."]
