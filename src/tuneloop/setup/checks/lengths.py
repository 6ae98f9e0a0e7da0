"""Lengths in tokens: rows against training, prompts and answers against what is served."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tuneloop.conversation import Message
from tuneloop.conversation.template import TemplateRefusalError
from tuneloop.deployment.export.disk import in_megabytes
from tuneloop.errors import TuneloopError
from tuneloop.evaluation import gates
from tuneloop.evaluation.planned_metrics import suite_names
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import HELD_OUT
from tuneloop.modelfile.sections.data import LARGEST_SHARE
from tuneloop.setup.checks.room import cache_bytes, training_plan
from tuneloop.setup.checks.window import longest_row, rounded_up, said_once, served, trained
from tuneloop.setup.finding import Finding, UnseenError, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.setup.written import RowTokens, prompt_tokens

_WHOLE_ANSWERS = ("accuracy", "format", "json_field.")
"""Metrics that an answer which was cut off cannot pass."""
_HOW_TO = "docs/how-to/prose.md"
"""Where it stands what to do with documents that are longer than the window."""


def row_length(look: Look) -> Iterator[Finding]:
    """Rows are not longer than what is trained on."""
    tokens, window = look.tokens, trained(look)
    long = [row for row in tokens if len(row) > window.tokens]
    longest = max(tokens, key=len, default=None)
    if longest is None or not long:
        most = 0 if longest is None else len(longest)
        yield ok("row length", f"At most {most:,} tokens; {window.setting} is {window.tokens:,}.")
        return
    least = min(map(len, long)) - window.tokens
    said = (
        f"{len(long):,} of {len(tokens):,} {look.rows.which} are longer than {window.setting}, "
        f"{window.tokens:,} tokens, by {least:,} to {len(longest) - window.tokens:,}, first "
        f"{long[0].example.place}. Training leaves them out whole."
    )
    verdict = error if len(long) == len(tokens) else warning
    yield verdict("row length", said, _what_helps(look, [len(row) for row in long]))


def _what_helps(look: Look, long: Sequence[int]) -> str:
    """What can be done about rows that are longer than the window, and what it costs."""
    known = look.base.context_tokens
    wanted = max(_wanted(look, max(long)), look.model.endpoint.context_tokens)
    window = wanted if known is None else min(wanted, known)
    if window < min(long):
        return _split(window)
    rest = ", all that the base was made for" if window < wanted else ""
    return f"Set {said_once(look, window)}{rest}{_costs(look, window)}; or split them ({_HOW_TO})."


def _wanted(look: Look, longest: int) -> int:
    """The window that has room for so many tokens, and for the longest answer to every row."""
    prompts = max((len(row.prompt) for row in look.tokens), default=0)
    return rounded_up(max(longest, prompts + look.model.endpoint.max_tokens))


def _split(known: int) -> str:
    return (
        f"The base was made for {known:,} tokens: split the documents, or choose a base with a "
        f"longer context ({_HOW_TO})."
    )


def _costs(look: Look, window: int) -> str:
    """What a larger window takes, as far as it can be told from here."""
    learnt = sum(len(row) for row in look.tokens if len(row) <= trained(look).tokens)
    would_be = [len(row) for row in look.tokens if len(row) <= window]
    more = f", {sum(would_be) / learnt - 1:.0%} more tokens an epoch" if learnt else ""
    try:
        sizes = look.base.architecture
        now = training_plan(look, sizes, longest=longest_row(look)).needed_bytes
        then = training_plan(look, sizes, longest=max(would_be, default=window)).needed_bytes
        cache = cache_bytes(look, sizes, window=window)
        cache_now = cache_bytes(look, sizes, window=look.model.endpoint.context_tokens)
    except (UnseenError, TuneloopError):  # Told where memory is looked at.
        return f" (training reads{more[1:]})" if more else ""
    serving = f", a server's cache {in_megabytes(cache_now)} → {in_megabytes(cache)}"
    return (
        f" (memory {in_megabytes(now)} → {in_megabytes(then)}{more}"
        f"{serving if cache != cache_now else ''})"
    )


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
    endpoint, known = look.model.endpoint, look.base.context_tokens
    window = served(look)
    if known is not None and endpoint.context_tokens > known:
        yield warning(
            "context",
            f"endpoint.context_tokens is {endpoint.context_tokens:,}, and the base was made for "
            f"{known:,}.",
            f"Set it to {known:,} or less: more is not served.",
        )
    tokens = look.tokens
    longest = max((len(row.prompt) for row in tokens), default=0)
    refused = [row for row in tokens if len(row.prompt) >= window.tokens]
    tight = [row for row in tokens if len(row) > window.tokens]
    remedy = _larger(look, max((len(row) for row in tokens), default=0))
    if refused:
        yield _refused(look, refused, remedy)
    elif tight:
        yield warning(
            "context",
            f"In {len(tight):,} of {len(tokens):,} rows prompt and answer together are longer "
            f"than {window.setting}, {window.tokens:,}: such answers are cut off, first "
            f"{tight[0].example.place}.",
            remedy,
        )
    elif longest + endpoint.max_tokens > window.tokens:
        yield ok(
            "context",
            f"Every row fits into {window.tokens:,} tokens; a longer answer to the longest prompt "
            f"({longest:,}) would be cut off.",
        )
    else:
        yield ok(
            "context",
            f"Prompts have at most {longest:,} tokens; with an answer they fit into "
            f"{window.tokens:,}.",
        )


def case_length(look: Look) -> Iterator[Finding]:
    """The cases of every declared suite fit where they are asked."""
    window, most = served(look).tokens, look.model.endpoint.max_tokens
    for declared in look.model.evaluation.suites:
        lengths = _case_tokens(look, look.suite(declared).cases)
        refused = {case: length for case, length in lengths.items() if length >= window}
        longest = max(lengths.values(), default=0)
        if not refused:
            yield ok("context", f"{declared.name}: cases have at most {longest:,} tokens.")
            continue
        yield (error if len(refused) == len(lengths) else warning)(
            "context",
            f"{declared.name}: {len(refused):,} of {len(lengths):,} cases do not fit into "
            f"{window:,} tokens, first {next(iter(refused))} (longest: {longest:,}). The server "
            "refuses them; they count as wrong, with the reason context_length_exceeded.",
            _larger(look, longest + most),
        )


def _case_tokens(look: Look, cases: Sequence[Case]) -> dict[str, int]:
    """Case id → tokens of its prompt; without those that the template does not take."""
    template = look.base.template
    if template is None:
        return {}
    written: dict[str, str] = {}
    for case in cases:
        messages = template.neutral([Message.from_row(message) for message in case.messages])
        try:
            written[case.id] = template.prompt(messages, case.tools)
        except TemplateRefusalError:  # The evaluation tells what its server says of them.
            continue
    tokens = prompt_tokens(look.base, list(written.values()))
    return dict(zip(written, map(len, tokens), strict=True))


def _larger(look: Look, longest: int) -> str:
    """How so many tokens fit where they are served, beside what is there already."""
    known, wanted = look.base.context_tokens, _wanted(look, longest)
    if known is not None and longest > known:
        return _split(known)
    return f"Set {said_once(look, min(wanted, known or wanted))}."


def _refused(look: Look, refused: Sequence[RowTokens], remedy: str) -> Finding:
    tokens, window = look.tokens, served(look)
    said = (
        f"{len(refused):,} of {len(tokens):,} prompts do not fit into {window.setting}, "
        f"{window.tokens:,}: the server refuses them, in the evaluation and in production, first "
        f"{refused[0].example.place}."
    )
    barred = _barred(look, _surely(len(refused), of=len(tokens)))
    if barred and look.is_first:
        return error("context", f"{said} {barred} cannot pass.", remedy)
    return (error if len(refused) == len(tokens) else warning)("context", said, remedy)


def _surely(count: int, *, of: int) -> float:
    """The share that is left of `count` rows where a split is lucky: two standard deviations less
    than what the largest held-out side has on average."""
    share = count / of
    return max(0.0, share - 2 * math.sqrt(share * (1 - share) / (LARGEST_SHARE * of)))


def _barred(look: Look, cut: float) -> str:
    """The gate that cannot pass where so many answers are cut off; empty: there is none."""
    names = suite_names(look.model.evaluation)
    for key, condition in look.model.evaluation.gates_in_force.items():
        suite, _, metric = key.partition(".")
        name = metric if suite == HELD_OUT else key
        if (suite in names and suite != HELD_OUT) or not name.startswith(_WHOLE_ANSWERS):
            continue
        gate = gates.condition_of(key, condition)
        if gate.comparison in (">", ">=") and cut > 1 - gate.bound:
            return f"The gate {key} ({gate.condition})"
    return ""
