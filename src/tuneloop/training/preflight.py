"""Looks at everything that can go wrong before time is spent on training (T4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tuneloop.errors import TrainingError
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
    chosen_dtype,
    chosen_threads,
    load_tokenizer,
)
from tuneloop.training.rows import (
    TokenisedRows,
    TokenRow,
    end_of_turn_ids,
    read_rows,
    rendered_mask,
    tokenise,
)
from tuneloop.training.spec import TrainingSpec


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
    memory: MemoryPlan
    device: str
    threads: int
    warnings: tuple[str, ...]
    """Unusual settings, each with its reason."""
    notes: tuple[str, ...]
    """What a person should know, including the warnings."""


def look_before(spec: TrainingSpec) -> Preflight:
    """Check data, template, mask, settings and memory; trains nothing.

    Raises:
        TuneloopError: for whatever would make the run fail or train nothing.
    """
    config = spec.config
    device = chosen_device(config)
    architecture = read_architecture(spec.base_folder)
    limit = min(config.max_length, architecture.context_tokens)
    train, evaluation, example = _tokens(spec, limit)
    plan = plan_memory(
        architecture,
        config,
        device=device,
        compute_bytes=chosen_dtype(config, device).itemsize,
        free_bytes=free_memory_bytes(device),
        longest_row=max(len(row) for row in (*train.rows, *evaluation.rows)),
    )
    require_fit(plan)
    warnings = unusual_values(config, rows=len(train.rows))
    notes = [
        *warnings,
        *train.notes("train"),
        *evaluation.notes("eval"),
        *_without_evaluation(evaluation, config),
        f"Memory: {plan.sentence()}.",
    ]
    return Preflight(
        train=train,
        evaluation=evaluation,
        example=example,
        memory=plan,
        device=device,
        threads=chosen_threads(config),
        warnings=tuple(warnings),
        notes=tuple(notes),
    )


def _tokens(
    spec: TrainingSpec, limit: int
) -> tuple[TokenisedRows, TokenisedRows, tuple[ShownToken, ...]]:
    from transformers import GenerationConfig

    tokenizer = load_tokenizer(spec.base_folder)
    try:
        generation = GenerationConfig.from_pretrained(spec.base_folder)
    except OSError:  # The file is optional.
        generation = None
    stops = end_of_turn_ids(tokenizer, generation)
    train = tokenise(read_rows(spec.train_file), tokenizer, max_length=limit, end_of_turn_ids=stops)
    evaluation = tokenise(
        [] if spec.eval_file is None else read_rows(spec.eval_file),
        tokenizer,
        max_length=limit,
        end_of_turn_ids=stops,
    )
    if not train.rows:
        count = len(train.too_long)
        raise TrainingError(
            f"No row is left to train on: {count} rows, {count} longer than {limit} tokens.",
            remedy="Raise training.max_length, or shorten the rows.",
        )
    example = tuple(
        ShownToken(text=text, trained=trained)
        for text, trained in rendered_mask(train.rows[0], tokenizer)
    )
    refuse_untrained([*train.rows, *evaluation.rows], example)
    return train, evaluation, example


def marked(example: Sequence[ShownToken]) -> str:
    """An example as one text, with marks around what is trained."""
    parts = []
    for trained, tokens in groupby(example, key=lambda token: token.trained):
        text = "".join(token.text for token in tokens)
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


def _without_evaluation(evaluation: TokenisedRows, config: TrainingConfig) -> list[str]:
    if evaluation.rows:
        return []
    early = " and training cannot stop early" if config.early_stopping_patience else ""
    return [f"No evaluation rows: overfitting goes unnoticed{early}."]
