"""A few questions to one model server, one after the other, asked as the gateway asks them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tuneloop.conversation import ToolCall, calls_text, thoughts
from tuneloop.deployment.observation import Prompt, request_of
from tuneloop.gateway.answers import Facts, read_completion
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.requests import CHAT, parse, upstream_body
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream import Request, Upstream
from tuneloop.progress import Progress
from tuneloop.registry.routes import Target

_TOTAL_SECONDS = 120.0
_RETRY_STATUS = (429, 502, 503, 504)
_RETRY_PAUSES_SECONDS = (0.25, 0.5)


def texts(target: Target, prompts: Sequence[Prompt], *, progress: Progress) -> list[str]:
    """A server's answer to each prompt, as evaluations keep it; empty where it gives none."""
    return asyncio.run(_texts(target, prompts, progress))


async def _texts(target: Target, prompts: Sequence[Prompt], progress: Progress) -> list[str]:
    sweep = Sweep(asyncio.get_running_loop())
    upstream = Upstream(sweep)
    try:
        answers: list[str] = []
        for prompt in prompts:
            progress.update(len(answers), len(prompts), "questions")
            answers.append(await _text(upstream, _request(target, prompt)))
        return answers
    finally:
        await upstream.close()
        sweep.close()


def _request(target: Target, prompt: Prompt) -> Request:
    body = {"model": target.served_name, **request_of(prompt)}
    call = parse(CHAT, msgspec.json.encode(body), {})
    return Request(
        target=target,
        path=CHAT.path,
        body=upstream_body(call, target),
        total_seconds=_TOTAL_SECONDS,
    )


async def _text(upstream: Upstream, request: Request) -> str:
    for pause in (*_RETRY_PAUSES_SECONDS, None):
        text, again = await _attempt(upstream, request)
        if not again or pause is None:
            return text
        await asyncio.sleep(pause)
    return ""


async def _attempt(upstream: Upstream, request: Request) -> tuple[str, bool]:
    """The text, and whether asking again may help."""
    facts = Facts()
    try:
        answer = await upstream.ask(request)
        if answer.status != 200:
            return "", answer.status in _RETRY_STATUS
        read_completion(answer.body, request.target.served_name, facts)
    except ApiError as e:
        return "", e.status in _RETRY_STATUS
    return _said(facts), False


def _said(facts: Facts) -> str:
    """The answer as evaluations keep it: without its thought, calls of tools as one text."""
    text = thoughts.answer_in(facts.text)
    if facts.tool_calls is None:
        return text
    calls = [ToolCall.from_row(call) for call in msgspec.json.decode(facts.tool_calls)]
    return calls_text(calls, text)
