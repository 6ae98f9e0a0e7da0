"""The window: how many tokens prompt and answer may have together, and whether it is one.

Training leaves out what is longer, a server refuses a prompt that is; neither cuts a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tuneloop.modelfile.settings import WINDOWS
from tuneloop.setup.finding import Finding, UnseenError, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.setup.written import RowTokens

_STEP = 256
"""llama.cpp gives every request the next multiple of this."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The most tokens that something takes, prompt and answer together."""

    tokens: int
    said: int
    """What is declared of it, or less where the base was made for less."""
    setting: str
    """What limits it, for people."""


def window_of(said: int, setting: str, *, known: int | None, step: int = 1) -> Window:
    """The window that comes of a setting: in steps, and never more than the base was made for."""
    if known is not None and said > known:
        return Window(tokens=known, said=known, setting="the base's context")
    tokens = rounded_up(said, step)
    return Window(tokens=min(tokens, known or tokens), said=said, setting=setting)


def rounded_up(tokens: int, step: int = _STEP) -> int:
    """The next multiple of `step`, in which windows are given."""
    return -(-tokens // step) * step


def trained(look: Look) -> Window:
    """The longest row that is trained on."""
    setting = "training.max_length" if look.model.context_tokens is None else "context_tokens"
    return window_of(look.model.training.max_length, setting, known=look.base.context_tokens)


def served(look: Look) -> Window:
    """What the evaluation and production have room for, each request by itself.

    Raises:
        UnseenError: a server elsewhere decides it.
    """
    if not look.served_here:
        raise UnseenError("The server elsewhere does not say how much it takes.")
    setting = "endpoint.context_tokens" if look.model.context_tokens is None else "context_tokens"
    known = look.base.context_tokens
    return window_of(look.model.endpoint.context_tokens, setting, known=known, step=_STEP)


def longest_row(look: Look) -> int:
    """Tokens of the longest row that is trained on; what is allowed where nobody can tell."""
    limit = trained(look).tokens
    try:
        fitting = [len(row) for row in look.tokens if len(row) <= limit]
    except UnseenError:
        return limit
    return max(fitting, default=limit)


def window(look: Look) -> Iterator[Finding]:
    """Training and serving have one window, or no row for which it makes a difference."""
    learns, takes = trained(look), served(look)
    if learns.tokens == takes.tokens:
        yield ok("window", f"{takes.tokens:,} tokens in training, evaluation and production.")
        return
    if all(len(row) > learns.tokens for row in look.tokens):
        return  # There is nothing to train on, which the rows' lengths tell.
    low, high = sorted((learns.tokens, takes.tokens))
    between = [row for row in look.tokens if low < len(row) <= high]
    said = _two_windows(learns, takes)
    if not between:
        yield ok("window", f"{said}; no row is between.")
        return
    if learns.said == takes.said:
        yield warning(
            "window",
            f"{said}: {len(between):,} of {len(look.tokens):,} {look.rows.which} are between, "
            f"{_what_happens(between, learns, takes)}, first {between[0].example.place}.",
            f"Say a multiple of {_STEP}: {said_once(look, takes.tokens)}.",
        )
        return
    # What was trained before may be all that is asked for.
    yield (error if look.is_first else warning)(
        "window",
        f"{said}: {len(between):,} of {len(look.tokens):,} {look.rows.which} are between, "
        f"{_what_happens(between, learns, takes)}, first {between[0].example.place}.",
        f"Say it once: {said_once(look, max(learns.said, takes.said))}.",
    )


def _two_windows(learns: Window, takes: Window) -> str:
    if learns.said != takes.said:
        return (
            f"{learns.said:,} tokens in training ({learns.setting}), {takes.said:,} where it is "
            f"served ({takes.setting})"
        )
    return (
        f"{learns.tokens:,} tokens in training ({learns.setting}), {takes.tokens:,} where it is "
        f"served, since llama.cpp gives each request a multiple of {_STEP}"
    )


def said_once(look: Look, tokens: int) -> str:
    """How a window is declared, and what goes out of the model file for it."""
    origin = look.project.model_file.origin
    keys = [".".join(path) for path in WINDOWS]
    written = [] if look.model.context_tokens else [k for k in keys if origin(k) != "default"]
    return f"context_tokens: {tokens}" + (
        f", in place of {' and '.join(written)}" if written else ""
    )


def _what_happens(between: Sequence[RowTokens], learns: Window, takes: Window) -> str:
    if learns.tokens < takes.tokens:
        return "which are not learnt, and asked in the evaluation and in production"
    refused = sum(len(row.prompt) >= takes.tokens for row in between)
    if refused == len(between):
        return "which are learnt, and refused in the evaluation and in production"
    if not refused:
        return "which are learnt, and whose answers are cut off when they are served"
    return f"which are learnt; {refused:,} are refused when they are served, others are cut off"
