"""Reads what production was asked, and asks a candidate the same, as a shadow would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tuneloop.conversation import thoughts
from tuneloop.deployment.backtest import Answer, correction_in
from tuneloop.gateway.answers import Facts, read_completion
from tuneloop.gateway.errors import ApiError, UpstreamError, beyond_context
from tuneloop.gateway.requests import CHAT, parse, upstream_body
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream import Request, Upstream
from tuneloop.personal_data import redacted, redacted_value
from tuneloop.progress import Progress
from tuneloop.registry.routes import Target
from tuneloop.storage.captured import chats, feedback, first_of_conversations, probe, whole
from tuneloop.storage.traffic import Traffic
from tuneloop.task.answer_form import Fits

AT_A_TIME = 2
"""As many questions as a gateway process has under way with a shadow."""

_COLUMNS = (
    "id",
    "messages",
    "request",
    "status",
    "error",
    "response",
    "tool_calls",
    "latency_ms",
    "completion_tokens",
)
_NOT_REPLAYED = {
    # The whole answer is asked for, whether or not the client had it streamed.
    "stream",
    "stream_options",
    # Who the client is, and what a server shall keep of it, is nobody's business here.
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "store",
    "user",
}


@dataclass(frozen=True, kw_only=True)
class Captured:
    """Requests that can be asked again, and what became of all the others."""

    rows: tuple[Mapping[str, Any], ...]
    """Of the interactions table, one a conversation, in the order in which they began."""
    chats: int
    """All chats that were captured on the endpoint since then."""
    left_out: Mapping[str, int]
    """Reason → chats: probe, failover, other_bundle (answered), not_answered, same_conversation
    (a later answer), beyond_limit (conversations that began earlier)."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a server is asked."""

    at_a_time: int = AT_A_TIME
    total_seconds: float = 600.0
    """Longest wait for an answer."""
    redact: bool = False
    """Keep answers as the endpoint keeps them: personal data replaced by its kind."""


def captured(
    traffic: Traffic, *, endpoint: str, bundle: str, since: datetime, limit: int
) -> Captured:
    """The first answer of each conversation that `bundle` gave, the `limit` newest of them.

    Only what was answered is asked again: a client that left, or an outage, says nothing about a
    bundle. So, unlike in shadow, a failure counts against the candidate alone.

    Raises:
        StoreError: the tables cannot be read.
    """
    import polars as pl

    reason = (
        pl.when(probe())
        .then(pl.lit("probe"))
        .when(pl.col("failover_from").is_not_null())
        .then(pl.lit("failover"))
        .when(pl.col("bundle") != bundle)
        .then(pl.lit("other_bundle"))
        .when(~whole())
        .then(pl.lit("not_answered"))
        .alias("reason")
    )
    every_chat = chats(traffic, endpoint=endpoint, since=since, probes=True)
    sorted_out = every_chat.select("id", "conversation", reason)
    usable = sorted_out.filter(pl.col("reason").is_null())
    # Texts are read for the chosen ones only: a week of traffic may not fit into memory.
    counted, first = pl.collect_all(
        [sorted_out.group_by("reason").len(), first_of_conversations(usable).select("id")]
    )
    counts = dict(counted.iter_rows())
    answered = counts.pop(None, 0)
    chosen = first["id"].tail(limit)
    left_out = counts | {
        "same_conversation": answered - len(first),
        "beyond_limit": len(first) - len(chosen),
    }
    rows = (
        every_chat.filter(pl.col("id").is_in(chosen.to_list()))
        .select(_COLUMNS)
        .sort("id")
        .collect()
    )
    return Captured(
        rows=tuple(rows.iter_rows(named=True)),
        chats=answered + sum(counts.values()),
        left_out={name: left_out[name] for name in sorted(left_out) if left_out[name]},
    )


def corrections(
    traffic: Traffic, interactions: Sequence[str], *, since: datetime, fits: Fits
) -> dict[str, str]:
    """Interaction → the right answer, where feedback has one; the last edit, else the last label.

    Raises:
        StoreError: the tables cannot be read.
    """
    import polars as pl

    said = (
        feedback(traffic, "edit", "label", since=since)
        .filter(pl.col("interaction").is_in(list(interactions)))
        .sort(pl.col("kind") == "edit", "time", "id")
        .select("interaction", "kind", "value")
        .collect()
    )
    return {
        interaction: right
        for interaction, kind, value in said.iter_rows()
        if (right := correction_in(kind, value, fits)) is not None
    }


def answer_in(row: Mapping[str, Any]) -> Answer:
    """The answer that a row of the interactions table holds."""
    return Answer(
        status=row["status"],
        error=row["error"],
        response=thoughts.answer_in(row["response"] or ""),
        tool_calls=row["tool_calls"],
        latency_ms=row["latency_ms"],
        completion_tokens=row["completion_tokens"],
    )


def ask(
    target: Target, rows: Sequence[Mapping[str, Any]], asking: Asking, *, progress: Progress
) -> list[Answer]:
    """What the server at `target` makes of captured requests, in their order.

    Failures are answers too. A captured answer is neither sent nor shown to it.
    """
    return asyncio.run(_ask_all(target, rows, asking, progress))


async def _ask_all(
    target: Target, rows: Sequence[Mapping[str, Any]], asking: Asking, progress: Progress
) -> list[Answer]:
    sweep = Sweep(asyncio.get_running_loop())
    upstream = Upstream(sweep)
    turn, done = asyncio.Semaphore(asking.at_a_time), 0

    async def one(row: Mapping[str, Any]) -> Answer:
        nonlocal done
        async with turn:
            answer = await _ask(upstream, _request(target, row, asking), asking)
        done += 1
        progress.update(done, len(rows))
        return answer

    try:
        return list(await asyncio.gather(*[one(row) for row in rows]))
    finally:
        await upstream.close()
        sweep.close()


def _request(target: Target, row: Mapping[str, Any], asking: Asking) -> Request:
    fields = msgspec.json.decode(row["request"] or "{}", type=dict[str, msgspec.Raw])
    kept = {name: raw for name, raw in fields.items() if name not in _NOT_REPLAYED}
    asked = kept | {"model": target.served_name, "messages": msgspec.Raw(row["messages"].encode())}
    call = parse(CHAT, msgspec.json.encode(asked), {})
    return Request(
        target=target,
        path=CHAT.path,
        body=upstream_body(call, target),
        total_seconds=asking.total_seconds,
    )


async def _ask(upstream: Upstream, request: Request, asking: Asking) -> Answer:
    facts, began = Facts(), time.perf_counter()
    status, error = 200, None
    try:
        answer = await upstream.ask(request)
        if answer.status != 200:
            too_long = beyond_context(answer.status, answer.body, param=CHAT.input)
            raise too_long or UpstreamError(answer.status, "upstream_error", "no answer")
        read_completion(answer.body, request.target.served_name, facts)
    except ApiError as e:
        status, error = e.status, e.code
    text, calls = thoughts.answer_in(facts.text), facts.tool_calls
    if asking.redact:
        text, calls = redacted(text)[0], calls and _redacted_json(calls)
    return Answer(
        status=status,
        error=error,
        response=text,
        tool_calls=calls,
        latency_ms=round((time.perf_counter() - began) * 1_000, 3),
        completion_tokens=facts.completion_tokens,
    )


def _redacted_json(text: str) -> str:
    return msgspec.json.encode(redacted_value(msgspec.json.decode(text))).decode()
