"""Lengths in tokens: rows against training, prompts and answers against what is served."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tuneloop.evaluation import gates
from tuneloop.evaluation.plan import HELD_OUT
from tuneloop.modelfile.sections.data import LARGEST_SHARE
from tuneloop.setup.finding import Finding, UnseenError, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.setup.written import RowTokens

_WHOLE_ANSWERS = ("accuracy", "format", "json_field.")
"""Metrics that an answer which was cut off cannot pass."""


def longest_row(look: Look) -> int:
    """Tokens of the longest row that is trained on; what is allowed where nobody can tell."""
    limit = _limit(look)
    try:
        fitting = [len(row) for row in look.tokens if len(row) <= limit]
    except UnseenError:
        return limit
    return max(fitting, default=limit)


def row_length(look: Look) -> Iterator[Finding]:
    """Rows are not longer than what is trained on."""
    tokens, limit = look.tokens, _limit(look)
    long = [row for row in tokens if len(row) > limit]
    longest = max(map(len, tokens), default=0)
    name = (
        "training.max_length" if limit == look.model.training.max_length else "the base's context"
    )
    if not long:
        yield ok("row length", f"At most {longest:,} tokens; {name} is {limit:,}.")
        return
    said = (
        f"{len(long):,} of {len(tokens):,} {look.rows.which} are longer than {name}, {limit:,} "
        f"tokens, first {long[0].example.place} (longest: {longest:,})."
    )
    remedy = "Raise training.max_length, or shorten them: what is longer is left out."
    yield (error if len(long) == len(tokens) else warning)("row length", said, remedy)


def answer_length(look: Look) -> Iterator[Finding]:
    """Answers are not cut off when they are served."""
    tokens, most = look.tokens, look.model.endpoint.max_tokens
    # The end token may be missing: a text that was told whole is whole.
    longest = max((len(row.answer) for row in tokens), default=1) - 1
    cut = [row for row in tokens if len(row.answer) - 1 > most]
    if not cut:
        yield ok("answer", f"At most {longest:,} tokens; endpoint.max_tokens is {most:,}.")
        return
    barred = _barred(look, _surely(len(cut), of=len(tokens)))
    said = (
        f"{len(cut):,} of {len(tokens):,} answers are longer than endpoint.max_tokens, {most:,}: "
        f"they will be cut off, first {cut[0].example.place} (longest: {longest:,})."
    )
    remedy = f"Set endpoint.max_tokens to {longest:,} or more."
    if barred and look.is_first:  # What was trained before may be all that is asked for.
        yield error("answer", f"{said} {barred} cannot pass.", remedy)
    elif barred:
        yield warning("answer", f"{said} {barred} can hardly pass.", remedy)
    else:
        yield warning("answer", said, remedy)


def context(look: Look) -> Iterator[Finding]:
    """Prompts and answers fit where they are served."""
    endpoint, base = look.model.endpoint, look.base
    if not look.served_here:
        raise UnseenError("The server elsewhere does not say how much it takes.")
    served, known = endpoint.context_tokens, base.context_tokens
    if known is not None and served > known:
        yield warning(
            "context",
            f"endpoint.context_tokens is {served:,}, and the base was made for {known:,}.",
            f"Set it to {known:,} or less: beyond that answers get worse.",
        )
    tokens = look.tokens
    longest = max((len(row.prompt) for row in tokens), default=0)
    refused = [row for row in tokens if len(row.prompt) >= served]
    tight = [row for row in tokens if len(row) > served]
    remedy = f"Set endpoint.context_tokens to {longest + endpoint.max_tokens:,} or more."
    if refused:
        yield _refused(refused, tokens, served, remedy)
    elif tight:
        yield warning(
            "context",
            f"In {len(tight):,} of {len(tokens):,} rows prompt and answer together are longer "
            f"than endpoint.context_tokens, {served:,}, first {tight[0].example.place}.",
            remedy,
        )
    elif longest + endpoint.max_tokens > served:
        yield ok(
            "context",
            f"Every row fits into {served:,} tokens; a longer answer to the longest prompt "
            f"({longest:,}) would be cut off.",
        )
    else:
        yield ok(
            "context",
            f"Prompts have at most {longest:,} tokens; with an answer they fit into {served:,}.",
        )


def _refused(
    refused: Sequence[RowTokens], tokens: Sequence[RowTokens], served: int, remedy: str
) -> Finding:
    said = (
        f"{len(refused):,} of {len(tokens):,} prompts do not fit into endpoint.context_tokens, "
        f"{served:,}: the server refuses them, first {refused[0].example.place}."
    )
    return (error if len(refused) == len(tokens) else warning)("context", said, remedy)


def _limit(look: Look) -> int:
    known = look.base.context_tokens
    most = look.model.training.max_length
    return most if known is None else min(most, known)


def _surely(count: int, *, of: int) -> float:
    """The share that is left of `count` rows where a split is lucky: two standard deviations less
    than what the largest held-out side has on average."""
    share = count / of
    return max(0.0, share - 2 * math.sqrt(share * (1 - share) / (LARGEST_SHARE * of)))


def _barred(look: Look, cut: float) -> str:
    """The gate that cannot pass where so many answers are cut off; empty: there is none."""
    names = [HELD_OUT, *(suite.name for suite in look.model.evaluation.suites)]
    for key, condition in look.model.evaluation.gates.items():
        suite, _, metric = key.partition(".")
        name = metric if suite == HELD_OUT else key
        if (suite in names and suite != HELD_OUT) or not name.startswith(_WHOLE_ANSWERS):
            continue
        gate = gates.condition_of(key, condition)
        if gate.comparison in (">", ">=") and cut > 1 - gate.bound:
            return f"The gate {key} ({gate.condition})"
    return ""
